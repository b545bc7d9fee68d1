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

// haveDocker finds a Docker daemon that answers, or else starts one.
func (m *machine) haveDocker(ctx context.Context) error {
	if runtime.GOOS != "linux" && !m.findDocker(ctx) {
		return &Unavailable{"no Docker daemon answers, and one can be started on Linux only"}
	}
	if m.findDocker(ctx) {
		return nil
	}
	if os.Geteuid() != 0 {
		return &Unavailable{"no Docker daemon answers, and one can be started by root only"}
	}
	if err := m.install(ctx, map[string]string{"dockerd": "docker.io", "iptables": "iptables"}); err != nil {
		return err
	}
	// Where there is an init system, the package has brought up its daemon.
	if m.findDocker(ctx) {
		return nil
	}
	return m.startDocker(ctx)
}

// findDocker says whether a daemon answers: the one that was started here, or the machine's. Later commands speak to it.
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
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return run(m.command(ctx, "docker", "version")) == nil
}

// startDocker starts a daemon that keeps all that is its own in the cache, and outlives this process.
func (m *machine) startDocker(ctx context.Context) error {
	m.say("starting a Docker daemon")
	m.docker = "unix://" + m.path("run", "docker.sock")
	log, err := os.Create(m.path("run", "dockerd.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	// One that was killed has left its number, which may be another process's by now.
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
		// Names that are not the containers' have no answer: asked of the machine, they would leave it.
		"--dns", "127.0.0.1",
	}
	may, err := mayGiveSysResource()
	if err != nil || may {
		return args, err
	}
	wrapper, err := m.build(ctx, runc)
	return append(args, "--add-runtime", "limited="+wrapper, "--default-runtime", "limited"), err
}

// mayGiveSysResource says whether this process can pass CAP_SYS_RESOURCE on, as --privileged does.
func mayGiveSysResource() (bool, error) {
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
	err := until(ctx, time.Minute, "the start of the Docker daemon", func() bool {
		select {
		case <-ended:
			return true
		default:
			answers = m.dockerAnswers(ctx)
			return answers
		}
	})
	if err == nil && !answers {
		err = errors.New("the Docker daemon has ended at once")
	}
	if err != nil {
		return fmt.Errorf("%w: see %s", err, m.path("run", "dockerd.log"))
	}
	return nil
}

// stopDocker ends the daemon that answers if startDocker has started it.
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
	m.say("ending the Docker daemon")
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return err
	}
	err = until(ctx, time.Minute, "the end of the Docker daemon", func() bool { return syscall.Kill(pid, 0) != nil })
	// One before it that was killed has left its folder mounted upon itself.
	for err == nil && run(m.command(ctx, "umount", m.path("docker"))) == nil {
	}
	return err
}

// install sees to it that commands are there, by installing the Debian packages that have them.
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
	if os.Geteuid() != 0 {
		return &Unavailable{fmt.Sprintf("it has no %s, which root only can install", strings.Join(missing, ", "))}
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return &Unavailable{fmt.Sprintf("it has no %s, and no apt-get to install it with", strings.Join(missing, ", "))}
	}
	m.say("installing %s", strings.Join(missing, ", "))
	for _, args := range [][]string{{"update", "-qq"}, append([]string{"install", "-qqy", "--no-install-recommends"}, missing...)} {
		cmd := m.command(ctx, "apt-get", args...)
		cmd.Env = append(cmd.Env, "DEBIAN_FRONTEND=noninteractive")
		if err := run(cmd); err != nil {
			return &Unavailable{err.Error()}
		}
	}
	return nil
}
