package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// A program is a command that is built from source.
type program struct {
	name    string
	dir     string // of its module or package, relative to this module
	path    string // of the package to build (default: the one in dir)
	version string // PACKAGE.VARIABLE=VALUE for the linker, separated by spaces
	takes   string // time to build on two cores without caches
}

var (
	kubernetes = program{
		name: "kubernetes", dir: "kubernetes", takes: "5 to 10 minutes",
		version: "k8s.io/component-base/version.gitVersion=" + kubernetesVersion +
			" k8s.io/component-base/version.gitMajor=1" +
			" k8s.io/component-base/version.gitMinor=35",
	}
	// kubectl is a program of its own, because the one with all of Kubernetes takes twice as long
	// to start.
	kubectl = program{
		name: "kubectl", dir: "kubernetes", path: "k8s.io/kubernetes/cmd/kubectl",
		version: kubernetes.version, takes: "2 minutes",
	}
	coredns   = program{name: "coredns", dir: "coredns", takes: "a minute"}
	localpath = program{
		name: "local-path-provisioner", dir: "localpath",
		path: "github.com/rancher/local-path-provisioner", takes: "a minute",
	}
	pause    = program{name: "pause", dir: "pause", takes: "seconds"}
	runc     = program{name: "runc-without-sys-resource", dir: "runc", takes: "seconds"}
	kind     = program{name: "kind", dir: "tools", path: "sigs.k8s.io/kind", takes: "a minute"}
	ko       = program{name: "ko", dir: "tools", path: "github.com/google/ko", takes: "a minute"}
	tkn      = program{name: "tkn", dir: "tkn", takes: "4 minutes"}
	chains   = program{name: "tekton-chains", dir: "chains", takes: "3 minutes"}
	registry = program{
		name: "registry", dir: "../../../tools", path: "./registry", takes: "2 minutes",
	}

	nodePrograms = []program{kubernetes, coredns, localpath, pause}
)

// ensureTools builds the programs that this machine needs, whatever the nodes are made of.
func (m *machine) ensureTools(ctx context.Context) error {
	for _, p := range []program{kind, ko, tkn, chains, kubectl} {
		if _, err := m.build(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// build returns the path of a program in the cache, and links it in bin.
func (m *machine) build(ctx context.Context, p program) (string, error) {
	key, err := m.programKey(p)
	if err != nil {
		return "", err
	}
	dir, err := m.part(p.name, key, func(dir string) error {
		return m.compile(ctx, p, filepath.Join(dir, p.name))
	})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, p.name)
	return file, m.link(p.name, file)
}

func (m *machine) programKey(p program) (string, error) {
	source, err := m.sources(p.dir)
	return keyOf(source, fmt.Sprint(p), runtime.Version(), runtime.GOARCH), err
}

func (m *machine) compile(ctx context.Context, p program, file string) error {
	m.logf("building %s (%s without caches)", p.name, p.takes)
	ldflags := "-s -w"
	for _, set := range strings.Fields(p.version) {
		ldflags += " -X " + set
	}
	// ko builds with -trimpath too, so that a package is compiled once for all programs.
	cmd := m.goCommand(ctx, p.dir,
		"build", "-trimpath", "-buildvcs=false", "-ldflags="+ldflags, "-o", file)
	if p.path != "" {
		cmd.Args = append(cmd.Args, p.path)
	}
	return run(cmd)
}

// goCommand returns the Go command, to be run in a directory relative to this module.
func (m *machine) goCommand(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := m.command(ctx, "go", args...)
	cmd.Dir = filepath.Join(m.source, dir)
	cmd.Env = append(cmd.Env, "GOWORK=off", "CGO_ENABLED=0")
	return cmd
}

// link gives a file a name in bin.
func (m *machine) link(name, file string) error {
	link := m.path("bin", name)
	if err := os.Remove(link); err != nil && !os.IsNotExist(err) {
		return err
	}
	return os.Symlink(file, link)
}

// moduleDir returns the directory with the source of a module that the module in dir requires.
func (m *machine) moduleDir(ctx context.Context, dir, module string) (string, error) {
	out, err := output(m.goCommand(ctx, dir, "mod", "download", "-json", module))
	if err != nil {
		return "", err
	}
	var found struct{ Dir string }
	return found.Dir, json.Unmarshal(out, &found)
}
