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

// program is one that is built from source.
type program struct {
	name    string
	folder  string // of its module or package below test/e2e
	path    string // of the package; empty: the folder's own
	version string // "PACKAGE.VARIABLE=VALUE", as many as it has, for the linker
	takes   string // how long, with cold caches on two cores
}

// The programs of the cluster.
var (
	kubernetes = program{
		name: "kubernetes", folder: "kubernetes", takes: "5 to 10 minutes",
		version: "k8s.io/component-base/version.gitVersion=" + Kubernetes +
			" k8s.io/component-base/version.gitMajor=1 k8s.io/component-base/version.gitMinor=35",
	}
	kubectl   = program{name: "kubectl", folder: "kubernetes", path: "k8s.io/kubernetes/cmd/kubectl", version: kubernetes.version, takes: "2 minutes"}
	coredns   = program{name: "coredns", folder: "coredns", takes: "a minute"}
	localpath = program{name: "local-path-provisioner", folder: "localpath", path: "github.com/rancher/local-path-provisioner", takes: "a minute"}
	pause     = program{name: "pause", folder: "pause", takes: "seconds"}
	runc      = program{name: "runc-without-sys-resource", folder: "runc", takes: "seconds"}
	kind      = program{name: "kind", folder: "tools", path: "sigs.k8s.io/kind", takes: "a minute"}
	ko        = program{name: "ko", folder: "tools", path: "github.com/google/ko", takes: "a minute"}
	tkn       = program{name: "tkn", folder: "tkn", takes: "4 minutes"}

	nodePrograms = []program{kubernetes, coredns, localpath, pause}
)

// haveTools builds what is used on this machine, whatever the nodes are made of. kubectl is there by itself: the one program with all of
// Kubernetes takes twice as long to start.
func (m *machine) haveTools(ctx context.Context) error {
	for _, p := range []program{kind, ko, tkn, kubectl} {
		if _, err := m.build(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// build returns the path of a program, which is in bin, too, for people and commands to find.
func (m *machine) build(ctx context.Context, p program) (string, error) {
	key, err := m.programKey(p)
	if err != nil {
		return "", err
	}
	dir, err := m.part(p.name, key, func(dir string) error { return m.compile(ctx, p, filepath.Join(dir, p.name)) })
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, p.name)
	return file, m.link(p.name, file)
}

func (m *machine) programKey(p program) (string, error) {
	source, err := m.folder(p.folder)
	return keyOf(source, fmt.Sprint(p), runtime.Version(), runtime.GOARCH), err
}

func (m *machine) compile(ctx context.Context, p program, file string) error {
	m.say("building %s (%s where nothing is cached)", p.name, p.takes)
	ldflags := "-s -w"
	for _, set := range strings.Fields(p.version) {
		ldflags += " -X " + set
	}
	// Packages of one version, with -trimpath as ko has it, are compiled once for all programs.
	cmd := m.goCommand(ctx, p.folder, "build", "-trimpath", "-buildvcs=false", "-ldflags="+ldflags, "-o", file)
	if p.path != "" {
		cmd.Args = append(cmd.Args, p.path)
	}
	return run(cmd)
}

// goCommand is the Go command, in the module in a folder of the sources.
func (m *machine) goCommand(ctx context.Context, folder string, args ...string) *exec.Cmd {
	cmd := m.command(ctx, "go", args...)
	cmd.Dir = filepath.Join(m.source, folder)
	cmd.Env = append(cmd.Env, "GOWORK=off", "CGO_ENABLED=0")
	return cmd
}

// link gives a file a name in bin.
func (m *machine) link(name, file string) error {
	path := m.path("bin", name)
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	return os.Symlink(file, path)
}

// moduleDir is where the Go command keeps the source of a module that the one in folder requires.
func (m *machine) moduleDir(ctx context.Context, folder, module string) (string, error) {
	out, err := output(m.goCommand(ctx, folder, "mod", "download", "-json", module))
	if err != nil {
		return "", err
	}
	var found struct{ Dir string }
	return found.Dir, json.Unmarshal(out, &found)
}
