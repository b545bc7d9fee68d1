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

// machine is the one that this runs on: where its cache and the sources are, and which Docker daemon is used.
type machine struct {
	cache    string // folder for all that is kept
	source   string // the folder test/e2e
	docker   string // what DOCKER_HOST has to be; empty: what it is anyway
	progress io.Writer
	started  time.Time

	published bool // the nodes are of kind's published image
}

// open prepares a machine for this process alone: others wait until it is unlocked.
func open(ctx context.Context, progress io.Writer) (*machine, func(), error) {
	source, err := findSource()
	if err != nil {
		return nil, nil, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, nil, err
	}
	m := &machine{
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
	unlock, err := lockedfile.MutexAt(m.path("lock")).Lock()
	return m, unlock, err
}

// findSource returns the folder test/e2e of the repository that the working directory lies in.
func findSource() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		source := filepath.Join(dir, "test", "e2e")
		if exists(filepath.Join(source, "kubernetes", "go.mod")) {
			return source, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no test/e2e in the working directory or above it: run within the repository")
		}
		dir = filepath.Dir(dir)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// path is one below the cache's folder.
func (m *machine) path(elements ...string) string {
	return filepath.Join(append([]string{m.cache}, elements...)...)
}

// say tells of a step that begins, and when.
func (m *machine) say(format string, args ...any) {
	fmt.Fprintf(m.progress, "%6s  %s\n", time.Since(m.started).Round(time.Second), fmt.Sprintf(format, args...))
}

// env is the environment of every command.
func (m *machine) env() []string {
	return append(os.Environ(), m.settings()...)
}

// settings are the variables that lead to the cluster, and to the programs that speak to it.
func (m *machine) settings() []string {
	settings := []string{
		"KUBECONFIG=" + m.path("kubeconfig"),
		"PATH=" + m.path("bin") + string(os.PathListSeparator) + os.Getenv("PATH"),
	}
	if m.docker != "" {
		settings = append(settings, "DOCKER_HOST="+m.docker)
	}
	return settings
}

// command is a program from the cache, or else from the machine. It is asked to end when ctx does, so that it can clean up.
func (m *machine) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	if own := m.path("bin", program); exists(own) {
		program = own
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = m.env()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// run runs a command that says nothing of interest unless it fails.
func run(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	return commandError(cmd, out, err)
}

// output runs a command and returns what it wrote to its standard output.
func output(cmd *exec.Cmd) ([]byte, error) {
	var errors strings.Builder
	cmd.Stderr = &errors
	out, err := cmd.Output()
	return out, commandError(cmd, []byte(errors.String()), err)
}

// commandError names the command that failed, and ends with the last lines that it wrote.
func commandError(cmd *exec.Cmd, written []byte, err error) error {
	if err == nil {
		return nil
	}
	const most = 15
	lines := strings.Split(strings.TrimSpace(string(written)), "\n")
	lines = lines[max(0, len(lines)-most):]
	what := append([]string{filepath.Base(cmd.Path)}, cmd.Args[1:]...)
	return fmt.Errorf("%s: %w\n%s", strings.Join(what[:min(len(what), 8)], " "), err, strings.Join(lines, "\n"))
}

// until asks again and again until the answer is yes, for as long as patience lasts; what names what it waits for.
func until(ctx context.Context, patience time.Duration, what string, ask func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("%s took more than %s", what, patience))
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
