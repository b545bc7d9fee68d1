//go:build e2e

// Package e2e runs the Tasks and the Pipeline on a real cluster, between real registries that demand tokens.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"flag"
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
	*api
	yaml []byte // release.yaml, of this machine's platform
	bin  string // a folder with the commands report, start and newset, for this machine
}

var bringUp = sync.OnceValues(func() (*world, error) {
	ctx := context.Background() // it outlives the test that asks first
	c, err := cluster.Up(ctx, os.Stderr)
	if err != nil {
		return nil, err
	}
	w := &world{Cluster: c}
	if w.api, err = newAPI(c.Kubeconfig); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "imagemirror-e2e-")
	if err != nil {
		return nil, err
	}
	w.bin, made = dir, dir
	if _, err := w.run(ctx, nil, "go", "run", "./images/release", "-out", dir,
		"-registry", cluster.Registry+"/imagemirror", "-version", "e2e", "-platforms", "linux/"+runtime.GOARCH); err != nil {
		return nil, err
	}
	if w.yaml, err = os.ReadFile(filepath.Join(dir, "release.yaml")); err != nil {
		return nil, err
	}
	_, err = w.run(ctx, nil, "go", "build", "-o", w.bin, "./cmd/report", "./cmd/start", "./newset")
	return w, err
})

// made is the folder that bringUp has made, if it was called.
var made string

// nodes is locked by a test that takes a node away, and locked for reading by one whose pods are to be spread over all.
var nodes sync.RWMutex

// atOnce is how many tests run at a time. They mostly wait for pods, so more of them than the machine has cores.
const atOnce = "6"

func TestMain(m *testing.M) {
	given := false
	flag.Parse()
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		flag.Set("test.parallel", atOnce)
	}
	code := m.Run()
	if made != "" {
		os.RemoveAll(made)
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
