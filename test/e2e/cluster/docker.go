package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ensureDocker finds a Docker daemon that answers, or starts one.
func (m *machine) ensureDocker(ctx context.Context) error {
	if m.findDocker(ctx) {
		return nil
	}
	if runtime.GOOS != "linux" {
		return &Unavailable{"no Docker daemon answers, and only Linux can start one: start Docker"}
	}
	if os.Geteuid() != 0 {
		return &Unavailable{"no Docker daemon answers, and only root can start one: start Docker"}
	}
	err := m.install(ctx, map[string]string{"dockerd": "docker.io", "iptables": "iptables"})
	if err != nil {
		return err
	}
	// With an init system, the package has started its daemon.
	if m.findDocker(ctx) {
		return nil
	}
	return m.startDocker(ctx)
}

// findDocker reports whether a daemon answers: the one that was started here, or the machine's.
// Later commands use that one.
func (m *machine) findDocker(ctx context.Context) bool {
	for _, host := range []string{"unix://" + m.path("run", "docker.sock"), ""} {
		m.docker = host
		if m.dockerAnswers(ctx) {
			return true
		}
	}
	return false
}

func (m *machine) dockerAnswers(ctx context.Context) bool {
	// A busy machine takes seconds to start the command. No daemon at all is known at once.
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return run(m.command(ctx, "docker", "version")) == nil
}

// startDocker starts a daemon that keeps all its data in the cache and outlives this process.
func (m *machine) startDocker(ctx context.Context) error {
	m.logf("starting a Docker daemon")
	m.docker = "unix://" + m.path("run", "docker.sock")
	log, err := os.Create(m.path("run", "dockerd.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	// A daemon that was killed leaves its process ID, which may belong to another process now.
	if err := os.RemoveAll(m.path("run", "dockerd.pid")); err != nil {
		return err
	}
	args, err := m.dockerArgs(ctx)
	if err != nil {
		return err
	}
	daemon := m.command(context.WithoutCancel(ctx), "dockerd", args...)
	daemon.Stdout, daemon.Stderr = log, log
	daemon.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := daemon.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() { daemon.Wait(); close(ended) }()
	return m.awaitDocker(ctx, ended)
}

func (m *machine) dockerArgs(ctx context.Context) ([]string, error) {
	args := []string{
		"--host", m.docker,
		"--data-root", m.path("docker"),
		"--exec-root", m.path("run", "docker"),
		"--pidfile", m.path("run", "dockerd.pid"),
		// Names other than the containers' get no answer, so that no query leaves the machine.
		"--dns", "127.0.0.1",
	}
	may, err := mayGrantSysResource()
	if err != nil || may {
		return args, err
	}
	wrapper, err := m.build(ctx, runc)
	return append(args, "--add-runtime", "limited="+wrapper, "--default-runtime", "limited"), err
}

// mayGrantSysResource reports whether this process can pass on CAP_SYS_RESOURCE, as --privileged
// does.
func mayGrantSysResource() (bool, error) {
	const sysResource = 24 // its number in linux/capability.h
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false, err
	}
	_, rest, _ := strings.Cut(string(b), "\nCapBnd:")
	line, _, _ := strings.Cut(rest, "\n")
	set, err := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
	return set&(1<<sysResource) != 0, err
}

func (m *machine) awaitDocker(ctx context.Context, ended <-chan struct{}) error {
	answers := false
	err := until(ctx, 3*time.Minute, "the start of the Docker daemon", func() bool {
		select {
		case <-ended:
			return true
		default:
			answers = m.dockerAnswers(ctx)
			return answers
		}
	})
	if err == nil && !answers {
		err = errors.New("the Docker daemon exited at once")
	}
	if err != nil {
		return fmt.Errorf("%w: see %s", err, m.path("run", "dockerd.log"))
	}
	return nil
}

// stopDocker stops the daemon if startDocker started it.
func (m *machine) stopDocker(ctx context.Context) error {
	if m.docker == "" {
		return nil
	}
	b, err := os.ReadFile(m.path("run", "dockerd.pid"))
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return err
	}
	m.logf("stopping the Docker daemon")
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return err
	}
	err = until(ctx, 3*time.Minute, "the end of the Docker daemon", func() bool {
		return syscall.Kill(pid, 0) != nil
	})
	// An earlier daemon that was killed leaves its directory mounted on itself.
	for err == nil && run(m.command(ctx, "umount", m.path("docker"))) == nil {
	}
	return err
}

// install installs the Debian packages of the commands that are missing. packages maps each command
// to its package.
func (m *machine) install(ctx context.Context, packages map[string]string) error {
	var missing []string
	for command, name := range packages {
		if _, err := exec.LookPath(command); err != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	names := strings.Join(missing, ", ")
	if os.Geteuid() != 0 {
		return &Unavailable{names + " is missing, and only root can install it"}
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return &Unavailable{names + " is missing, and there is no apt-get to install it"}
	}
	m.logf("installing %s", names)
	// A machine that has just started may be installing updates.
	install := append([]string{"install", "-qqy", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"}, missing...)
	for _, args := range [][]string{{"update", "-qq"}, install} {
		cmd := m.command(ctx, "apt-get", args...)
		cmd.Env = append(cmd.Env, "DEBIAN_FRONTEND=noninteractive")
		if err := run(cmd); err != nil {
			return &Unavailable{err.Error()}
		}
	}
	return nil
}
