package registrytest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// How long a process may take to start and to end.
const (
	startWait = 2 * time.Minute // on a busy machine
	stopWait  = 5 * time.Second
)

// startProcess starts a registry that exits at the end of its standard input. hostOf returns the
// registry's address from the line of its standard output that has it, and "" for other lines.
// Close removes dir.
func startProcess(cmd *exec.Cmd, dir string, hostOf func(line string) string) (*Registry, error) {
	output := &tail{}
	cmd.Stderr = output
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	killer := time.AfterFunc(startWait, func() { cmd.Process.Kill() })
	lines, host := bufio.NewReader(pipe), ""
	for host == "" && err == nil {
		var line string
		line, err = lines.ReadString('\n')
		if host = hostOf(strings.TrimSpace(line)); host == "" {
			io.WriteString(output, line)
		}
	}
	killer.Stop()
	if host == "" {
		input.Close()
		return nil, errors.Join(fmt.Errorf("it ended before it listened: %w", cmd.Wait()), errors.New(output.String()))
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		io.Copy(output, lines)
	}()
	return &Registry{
		Host:   host,
		PID:    cmd.Process.Pid,
		output: output,
		stop:   func() { stop(cmd, input, read, dir) },
	}, nil
}

// stop ends a process. It closes read when all of the process's output is read.
func stop(cmd *exec.Cmd, input io.Closer, read <-chan struct{}, dir string) {
	killer := time.AfterFunc(stopWait, func() { cmd.Process.Kill() })
	defer killer.Stop()
	input.Close()
	<-read
	// The process was told to end, so its status does not matter.
	_ = cmd.Wait()
	os.RemoveAll(dir)
}
