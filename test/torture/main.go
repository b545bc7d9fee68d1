// Command torture runs split, copy and report against registries that mean harm, beside 20 good
// images, and prints what each took:
//
//	go run ./test/torture [-run REGEXP] [-cgroup DIRECTORY]
//
// A command that takes more memory than a Task has, or an ordinary image that does not arrive, is
// a failure. With -cgroup, the commands run in a control group, which should have a limit.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// bound is the resident memory that a command may take, and heapLimit what Go is told in a
// container of 256 MiB.
const (
	bound     = 224 << 20
	heapLimit = "GOMEMLIMIT=192MiB"
)

// serving is the environment variable that makes this program the registries. They take much
// memory, and Linux counts that of the process that starts a program as the program's own.
const serving = "TORTURE_SERVE"

func main() {
	if os.Getenv(serving) != "" {
		serve()
		return
	}
	run := flag.String("run", "", "only the cases whose names match `REGEXP`")
	group := flag.String("cgroup", "", "run the commands in the control group of this `DIRECTORY`")
	flag.Parse()
	if err := torture(*run, *group); err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		os.Exit(1)
	}
}

// serve serves the cases, one after the other, as standard input names them.
func serve() {
	h := &hostile{}
	source, destination := listen(h), listen(emptyRegistry{})
	for names := bufio.NewScanner(os.Stdin); names.Scan(); {
		i := slices.IndexFunc(space, func(c hostileCase) bool { return c.name == names.Text() })
		var lines []string
		for _, l := range h.prepare(space[i]) {
			to, _, _ := strings.Cut(l, ":*")
			lines = append(lines, source+"/"+l+" "+destination+"/"+to)
		}
		_ = json.NewEncoder(os.Stdout).Encode(lines)
	}
}

func listen(h http.Handler) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() { panic(http.Serve(l, h)) }()
	return l.Addr().String()
}

// A torturer runs the commands.
type torturer struct {
	dir, group string
	failures   []error
}

func torture(pattern, group string) error {
	only, err := regexp.Compile(pattern)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "torture")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if out, err := exec.Command("go", "build", "-o", dir+"/", "./cmd/split", "./cmd/copy", "./cmd/report").CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	names, prepared, stop, err := startRegistries()
	if err != nil {
		return err
	}
	defer stop()
	t := &torturer{dir: dir, group: group}
	answers := json.NewDecoder(prepared)
	fmt.Println("| case | plan goes to | split | copy | report |\n| :-- | :-- | --: | --: | --: |")
	for _, c := range space {
		if !only.MatchString(c.name) {
			continue
		}
		var lines []string
		if _, err := fmt.Fprintln(names, c.name); err != nil {
			return err
		}
		if err := answers.Decode(&lines); err != nil {
			return err
		}
		t.run(c.name, lines)
	}
	return errors.Join(t.failures...)
}

// startRegistries starts this program again, as the registries: their memory is not that of a
// command. It takes names of cases, and answers each with the lines of a mapping file.
func startRegistries() (names io.WriteCloser, prepared io.Reader, stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, nil, err
	}
	registries := exec.Command(self)
	registries.Env, registries.Stderr = append(os.Environ(), serving+"=1"), os.Stderr
	if names, err = registries.StdinPipe(); err != nil {
		return nil, nil, nil, err
	}
	if prepared, err = registries.StdoutPipe(); err != nil {
		return nil, nil, nil, err
	}
	stop = func() { _ = errors.Join(names.Close(), registries.Process.Kill(), registries.Wait()) }
	return names, prepared, stop, registries.Start()
}

// run mirrors the images of a case in each mode.
func (t *torturer) run(name string, lines []string) {
	work, err := os.MkdirTemp(t.dir, "case")
	mapping := filepath.Join(work, "mapping_torture")
	if err = errors.Join(err, os.WriteFile(mapping, []byte(strings.Join(lines, "\n")+"\n"), 0o600)); err != nil {
		t.failures = append(t.failures, err)
		return
	}
	in := func(name string) string { return filepath.Join(work, name) }
	state := []string{"MIRROR_STATE=" + in("state"), "MIRROR_RUN=torture"}
	for _, mode := range []struct {
		name                string
		env                 []string
		split, copy, report []string
	}{
		{"a pipe", nil, []string{mapping}, []string{"-out", in("results"), in("split.out")}, []string{"-out", in("pipe"), in("split.out"), in("results")}},
		{"a directory state", state, []string{mapping}, []string{"s0"}, []string{"-out", in("kept")}},
	} {
		row := fmt.Sprintf("| %s | %s |", name, mode.name)
		row += t.command(work, "split", 0, mode.env, mode.split)
		row += t.command(work, "copy", 0, mode.env, mode.copy)
		row += t.command(work, "report", 1, mode.env, mode.report)
		fmt.Println(row)
		to := mode.report[1]
		if n, err := arrived(to); err != nil || n != good {
			t.failures = append(t.failures, fmt.Errorf("%s, %s: %d of %d good images arrived (%w)", name, mode.name, n, good, err))
		}
	}
}

// command runs a command, whose standard output goes to NAME.out, and returns a cell of the table.
// Its exit status is status at most.
func (t *torturer) command(work, name string, status int, env, args []string) string {
	all := append([]string{filepath.Join(t.dir, name)}, args...)
	if t.group != "" {
		all = append([]string{"sh", "-c", `echo $$ > "$0"/cgroup.procs && exec "$@"`, t.group}, all...)
	} else {
		env = append(env, heapLimit)
	}
	out, err := os.Create(filepath.Join(work, name+".out"))
	if err != nil {
		t.failures = append(t.failures, err)
		return " |"
	}
	defer out.Close()
	var said strings.Builder
	cmd := exec.Command(all[0], all[1:]...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = append(slices.DeleteFunc(os.Environ(), isGC), env...), work, out, &said
	began := time.Now()
	_ = cmd.Run()
	resident := int64(0)
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		resident = u.Maxrss * 1024
	}
	if got := cmd.ProcessState.ExitCode(); got < 0 || got > status || resident > bound {
		t.failures = append(t.failures, fmt.Errorf("%s %q: %s, %d MiB resident: %s", name, args, cmd.ProcessState, resident>>20, last(said.String())))
	}
	return fmt.Sprintf(" %d MiB, %.1f s |", resident>>20, time.Since(began).Seconds())
}

// isGC reports whether a variable would change how garbage is collected.
func isGC(variable string) bool {
	return strings.HasPrefix(variable, "GOGC=") || strings.HasPrefix(variable, "GOMEMLIMIT=")
}

// last returns the end of what a command said.
func last(said string) string { return said[max(0, len(said)-300):] }

// arrived returns how many good images the report in a directory calls copied. It holds one result
// at a time: Linux counts the memory of this process as that of the next command, too.
func arrived(dir string) (n int, err error) {
	f, err := os.Open(filepath.Join(dir, "report.json"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	in := json.NewDecoder(f)
	for token := json.Token(nil); token != "results"; {
		if token, err = in.Token(); err != nil {
			return 0, err
		}
	}
	if _, err := in.Token(); err != nil {
		return 0, err
	}
	for in.More() {
		var r struct{ Source, Status string }
		if err := in.Decode(&r); err != nil {
			return 0, err
		}
		if strings.Contains(r.Source, "/good/") && r.Status == "copied" {
			n++
		}
	}
	return n, nil
}
