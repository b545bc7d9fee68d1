package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/lockedfile"
)

// A machine is the one that this process runs on: its cache, its sources and its Docker daemon.
type machine struct {
	cache    string // directory for everything that is kept
	source   string // directory of this module
	docker   string // value for DOCKER_HOST; empty: the environment's
	progress io.Writer
	started  time.Time

	published bool // the nodes are made of kind's published image
}

// open prepares the machine for this process. Other processes wait until it calls unlock.
func open(ctx context.Context, progress io.Writer) (m *machine, unlock func(), err error) {
	source, err := findSource()
	if err != nil {
		return nil, nil, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, nil, err
	}
	m = &machine{
		cache:    filepath.Join(cache, "imagemirror", "e2e"),
		source:   source,
		progress: progress,
		started:  time.Now(),
	}
	for _, dir := range []string{"bin", "parts", "run"} {
		if err := os.MkdirAll(m.path(dir), 0o755); err != nil {
			return nil, nil, err
		}
	}
	unlock, err = lockedfile.MutexAt(m.path("lock")).Lock()
	return m, unlock, err
}

// findSource returns the directory of this module: the working directory or one above it.
func findSource() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for !exists(filepath.Join(dir, "kubernetes", "go.mod")) {
		if dir == filepath.Dir(dir) {
			return "", errors.New("finding the cluster's sources: run this in test/e2e/cluster")
		}
		dir = filepath.Dir(dir)
	}
	return dir, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// path returns a path in the cache.
func (m *machine) path(elements ...string) string {
	return filepath.Join(append([]string{m.cache}, elements...)...)
}

// logf writes a line of progress, with the time since the start.
func (m *machine) logf(format string, args ...any) {
	since := time.Since(m.started).Round(time.Second)
	fmt.Fprintf(m.progress, "%6s  %s\n", since, fmt.Sprintf(format, args...))
}

// settings returns the variables by which programs, and the tests, find the cluster.
func (m *machine) settings() []string {
	settings := []string{
		"IMAGEMIRROR_E2E_KUBECONFIG=" + m.path("kubeconfig"),
		"IMAGEMIRROR_E2E_REGISTRY=" + registryHost,
		"KUBECONFIG=" + m.path("kubeconfig"),
		"PATH=" + m.path("bin") + string(os.PathListSeparator) + os.Getenv("PATH"),
	}
	if m.docker != "" {
		settings = append(settings, "DOCKER_HOST="+m.docker)
	}
	return settings
}

// command returns a program from the cache, or otherwise from PATH. When ctx ends it gets SIGTERM
// and ten seconds to clean up.
func (m *machine) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	if own := m.path("bin", program); exists(own) {
		program = own
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), m.settings()...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// run runs a command. Its output matters only if it fails.
func run(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	return commandError(cmd, out, err)
}

// output runs a command and returns its standard output.
func output(cmd *exec.Cmd) ([]byte, error) {
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	return out, commandError(cmd, []byte(stderr.String()), err)
}

// commandError adds the command and the last lines of its output to the error that it ended with.
func commandError(cmd *exec.Cmd, written []byte, err error) error {
	if err == nil {
		return nil
	}
	const words, limit = 8, 15
	lines := strings.Split(strings.TrimSpace(string(written)), "\n")
	lines = lines[max(0, len(lines)-limit):]
	command := append([]string{filepath.Base(cmd.Path)}, cmd.Args[1:]...)
	command = command[:min(len(command), words)]
	return fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, strings.Join(lines, "\n"))
}

// until calls ask until it returns true, for as long as patience. What it waits for is named in the
// error.
func until(ctx context.Context, patience time.Duration, what string, ask func() bool) error {
	late := fmt.Errorf("%s took more than %s", what, patience)
	ctx, cancel := context.WithTimeoutCause(ctx, patience, late)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for !ask() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	return nil
}
