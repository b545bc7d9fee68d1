//go:build e2e

// Package e2e runs the Tasks and the Pipelines on a real cluster, between real registries that
// demand tokens.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// A world is what the tests share: the cluster, and what is built from the tree.
type world struct {
	*api
	nodes []string // names of the cluster's nodes, the control plane's first
	host  string   // address by which pods reach this machine
	yaml  []byte   // release.yaml, for this machine's platform
	bin   string   // directory with the commands report, start and imagemirror
}

var bringUp = sync.OnceValues(func() (*world, error) {
	ctx := context.Background() // the world outlives the test that asks first
	dir, err := os.MkdirTemp("", "imagemirror-e2e-")
	if err != nil {
		return nil, err
	}
	made = dir
	w := &world{bin: dir}
	if err := findCluster(ctx, dir); err != nil {
		return nil, err
	}
	if w.api, err = newAPI(os.Getenv(kubeconfigVar)); err != nil {
		return nil, err
	}
	if w.nodes, w.host, err = w.findNodes(ctx); err != nil {
		return nil, err
	}
	_, err = w.run(ctx, nil, "go", "run", "./images/release", "-out", dir,
		"-registry", os.Getenv(registryVar)+"/imagemirror", "-version", "e2e",
		"-platforms", "linux/"+runtime.GOARCH)
	if err != nil {
		return nil, err
	}
	if w.yaml, err = os.ReadFile(filepath.Join(dir, "release.yaml")); err != nil {
		return nil, err
	}
	_, err = w.run(ctx, nil, "go", "build", "-o", w.bin,
		"./cmd/report", "./cmd/start", "./cmd/imagemirror")
	return w, err
})

// made is the directory that bringUp has made, if it was called.
var made string

// nodesLock is locked by a test that takes a node away, and read-locked by one that needs all
// nodes.
var nodesLock sync.RWMutex

// atOnce is how many tests run at a time (default of -parallel). They mostly wait for pods, so that
// these are more than the cores of most machines.
const atOnce = "8"

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

// up returns the world. It skips the test if there can be no cluster, unless CI=true demands one.
func up(t *testing.T) *world {
	t.Helper()
	w, err := bringUp()
	if errors.Is(err, errUnavailable) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// requireNodes skips a test that looks into the nodes if they are not containers of this machine's
// Docker daemon, as kind's are, unless CI=true demands all tests.
func requireNodes(t *testing.T) {
	t.Helper()
	node := up(t).nodes[0]
	_, err := output(exec.CommandContext(t.Context(), "docker", "inspect", "--format=ok", node))
	if err != nil && os.Getenv("CI") != "true" {
		t.Skip("the nodes are not containers here:", err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// run runs a program in the root of the repository, and returns its standard output.
func (w *world) run(
	ctx context.Context, env []string, program string, args ...string,
) ([]byte, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), env...)
	return output(cmd)
}

// output runs a command. The error contains what it wrote to its standard error.
func output(cmd *exec.Cmd) ([]byte, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, stderr.String())
	}
	return out, err
}
