//go:build e2e

// Package e2e runs the Tasks and the Pipeline on a real cluster, between real registries that demand tokens.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"imagemirror/test/e2e/cluster"
)

// world is what the tests share: the cluster, and what is made of the tree that they stand in.
type world struct {
	*cluster.Cluster
	yaml   []byte // the Tasks and the Pipeline, with the digests of their images
	report string // the command, for this machine
}

var bringUp = sync.OnceValues(func() (*world, error) {
	ctx := context.Background() // it outlives the test that asks first
	c, err := cluster.Up(ctx, os.Stderr)
	if err != nil {
		return nil, err
	}
	w := &world{Cluster: c}
	base, err := w.run(ctx, nil, "go", "run", "./images/base", cluster.Registry+"/imagemirror/base:e2e")
	if err != nil {
		return nil, err
	}
	w.yaml, err = w.run(ctx, []string{
		"KO_DOCKER_REPO=" + cluster.Registry + "/imagemirror",
		"KO_DEFAULTBASEIMAGE=" + strings.TrimSpace(string(base)),
	}, "ko", "resolve", "--base-import-paths", "--platform=linux/"+runtime.GOARCH, "--recursive",
		"--filename", "tasks", "--filename", "pipelines/mirror.yaml")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "imagemirror-e2e-")
	if err != nil {
		return nil, err
	}
	w.report = filepath.Join(dir, "report")
	_, err = w.run(ctx, nil, "go", "build", "-o", w.report, "./cmd/report")
	return w, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if w, err := bringUp(); err == nil {
		os.RemoveAll(filepath.Dir(w.report))
	}
	os.Exit(code)
}

// up skips a test where there can be no cluster, unless CI is to have one.
func up(t *testing.T) *world {
	t.Helper()
	w, err := bringUp()
	var unavailable *cluster.Unavailable
	if errors.As(err, &unavailable) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// run runs a program in the root of the repository, and returns what it writes.
func (w *world) run(ctx context.Context, env []string, program string, args ...string) ([]byte, error) {
	cmd := w.Command(ctx, program, args...)
	cmd.Dir = "../.."
	cmd.Env = append(cmd.Env, env...)
	return output(cmd)
}

// output runs a command; the error has what it wrote to its standard error.
func output(cmd *exec.Cmd) ([]byte, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = errors.New(strings.Join(cmd.Args, " ") + ": " + err.Error() + "\n" + stderr.String())
	}
	return out, err
}
