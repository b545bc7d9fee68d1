package script

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

const pipeForm = "pipe [-interrupt|-terminate REGISTRY KIND] COMMAND [ARG...] [| COMMAND [ARG...]]..."

// pipe runs commands as a shell does. With -interrupt all of them get SIGINT, as on Ctrl-C,
// once the registry has seen a request of the kind and each -out exists. With -terminate they
// get SIGTERM, which ends a pod.
func pipe(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) > 0, pipeForm)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	started := func([]*exec.Cmd) {}
	if signal, ok := map[string]os.Signal{"-interrupt": os.Interrupt, "-terminate": syscall.SIGTERM}[args[0]]; ok {
		usage(ts, neg, len(args) > 3, pipeForm)
		r, kind := worldOf(ts).registry(ts, args[1]), args[2]
		started = func(commands []*exec.Cmd) {
			go end(ctx, commands, signal, func() bool { return r.saw(kind) && begun(commands) })
		}
		args = args[3:]
	}
	commands := start(ts, args)
	started(commands)
	var statuses []string
	for _, cmd := range commands {
		statuses = append(statuses, strconv.Itoa(exitStatus(ts, cmd.Wait())))
	}
	worldOf(ts).statuses = strings.Join(statuses, " ")
	ts.Logf("exit statuses: %s", worldOf(ts).statuses)
}

// start starts the commands of a pipe.
func start(ts *testscript.TestScript, args []string) []*exec.Cmd {
	var all []*exec.Cmd
	for rest := args; rest != nil; {
		command := rest
		if i := slices.Index(rest, "|"); i >= 0 {
			command, rest = rest[:i], rest[i+1:]
		} else {
			rest = nil
		}
		usage(ts, false, len(command) > 0, pipeForm)
		cmd := exec.Command(lookPath(ts, command[0]), command[1:]...)
		cmd.Dir = ts.MkAbs(".")
		cmd.Env = environment(ts)
		all = append(all, cmd)
	}
	stderr := &shared{w: ts.Stderr()}
	var ends []*os.File
	for i, cmd := range all {
		cmd.Stderr, cmd.Stdout = stderr, ts.Stdout()
		if i+1 < len(all) {
			r, w, err := os.Pipe()
			check(ts, err)
			cmd.Stdout, all[i+1].Stdin = w, r
			ends = append(ends, r, w)
		}
	}
	for _, cmd := range all {
		check(ts, cmd.Start())
	}
	for _, f := range ends {
		_ = f.Close()
	}
	return all
}

// end sends the signal when it is due. It kills commands that run on after the ten seconds that
// copy promises to end in, which shows in the exit statuses.
func end(ctx context.Context, commands []*exec.Cmd, signal os.Signal, due func() bool) {
	limit := 10 * time.Second
	if withRace {
		limit *= 2 // everything is slower
	}
	for !due() {
		if !wait(ctx, 5*time.Millisecond) {
			return
		}
	}
	for _, cmd := range commands {
		_ = cmd.Process.Signal(signal)
	}
	if wait(ctx, limit) {
		for _, cmd := range commands {
			_ = cmd.Process.Kill()
		}
	}
}

// wait waits for d. It returns false if ctx ends before.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// begun reports whether what the commands write with -out exists. A command makes it after it
// has set up its signals; a signal before that would kill it.
func begun(commands []*exec.Cmd) bool {
	for _, cmd := range commands {
		i := slices.Index(cmd.Args, "-out")
		if i < 0 {
			continue
		}
		if _, err := os.Stat(filepath.Join(cmd.Dir, cmd.Args[i+1])); err != nil {
			return false
		}
	}
	return true
}

// A shared writer is one for several processes.
type shared struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

// lookPath finds a command on the script's PATH.
func lookPath(ts *testscript.TestScript, name string) string {
	for _, dir := range strings.Split(ts.Getenv("PATH"), string(os.PathListSeparator)) {
		if path := dir + string(os.PathSeparator) + name; executable(path) {
			return path
		}
	}
	ts.Fatalf("no command %s", name)
	return ""
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&0o111 != 0 && !info.IsDir()
}

// environment returns the part of the script's environment that the commands get.
func environment(ts *testscript.TestScript) []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "DOCKER_CONFIG", "TMPDIR", "REGISTRY_AUTH_FILE", "HTTPS_PROXY", "GORACE", "KUBECONFIG"} {
		if v := ts.Getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	for _, name := range []string{
		"CONCURRENCY", "RATE", "RETRIES", "STALL", "REGISTRIES_CONF", "REGISTRIES_DIR", "CA_FILE", "PULL_CONFIG", "CLUSTER_REGISTRY", "CLUSTER_TOKEN_FILE", "LOG_FORMAT", "FOREIGN_LAYERS", "CAP", "CAP_RATE", "BANDWIDTH",
		"STATE", "RUN", "RUN_UID", "NAMESPACE", "ATTEMPTS", "RESULTS_DIR", "DRY_RUN", "GRACE", "SPLIT_STATUS", "SPLIT_REASON", "RECORD", "NOTIFY_DIR", "NOTIFY_HOSTS", "STATUS_URL",
	} {
		if v := ts.Getenv("MIRROR_" + name); v != "" {
			env = append(env, "MIRROR_"+name+"="+v)
		}
	}
	return env
}

func exitStatus(ts *testscript.TestScript, err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	check(ts, err)
	return 0
}

// status implements the command status N...: it compares the exit statuses of the last pipe.
func status(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) > 0, "status N...")
	if got := worldOf(ts).statuses; got != strings.Join(args, " ") {
		ts.Fatalf("the exit statuses are %s, want %s", got, strings.Join(args, " "))
	}
}

// compress implements the command compress FILE: it replaces FILE by FILE.gz.
func compress(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 1, "compress FILE")
	out, err := os.Create(ts.MkAbs(args[0]) + ".gz")
	check(ts, err)
	z := gzip.NewWriter(out)
	_, err = io.WriteString(z, ts.ReadFile(args[0]))
	check(ts, errors.Join(err, z.Close(), out.Close(), os.Remove(ts.MkAbs(args[0]))))
}

// expand implements the command expand FILE...: it replaces variables in the files by their values.
func expand(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) > 0, "expand FILE...")
	for _, name := range args {
		text := os.Expand(ts.ReadFile(name), ts.Getenv)
		check(ts, os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
	}
}

// addLine implements the command append FILE LINE: it adds the line at the end.
func addLine(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 2, "append FILE LINE")
	check(ts, os.WriteFile(ts.MkAbs(args[0]), []byte(ts.ReadFile(args[0])+args[1]+"\n"), 0o600))
}

// cut implements the command cut FILE lines|bytes N: it cuts N off the end.
func cut(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 3, "cut FILE lines|bytes N")
	text := ts.ReadFile(args[0])
	n, err := strconv.Atoi(args[2])
	check(ts, err)
	if args[1] == "lines" {
		lines := strings.SplitAfter(text, "\n")
		text = strings.Join(lines[:len(lines)-1-n], "")
	} else {
		text = text[:len(text)-n]
	}
	check(ts, os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}
