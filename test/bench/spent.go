package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// spent returns the CPU time that this program, with its proxies, and some other processes
// have used.
func spent(pids []int) time.Duration {
	var self syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &self) // fails for no process that asks about itself
	d := time.Duration(self.Utime.Nano() + self.Stime.Nano())
	for _, pid := range pids {
		d += spentBy(pid)
	}
	return d
}

// spentBy returns a process's CPU time from Linux's /proc (proc_pid_stat(5)), and 0 on other
// systems.
func spentBy(pid int) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The second field is the program's name, in parentheses, with spaces or without; the 14th
	// and the 15th are ticks.
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	return inTicks(fields[11:13])
}

// spentByAll returns the CPU time that the whole machine has used, from Linux's /proc
// (proc_stat(5)).
func spentByAll() time.Duration {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(b), "\n")
	fields := strings.Fields(first)
	if len(fields) < 9 {
		return 0
	}
	// After the name: user, nice, system, idle, iowait, irq, softirq, steal.
	return inTicks(append(fields[1:4:4], fields[6:9]...))
}

// inTicks returns the sum of times in Linux's unit for them.
func inTicks(fields []string) time.Duration {
	const tick = time.Second / 100
	var sum int64
	for _, f := range fields {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0
		}
		sum += n
	}
	return time.Duration(sum) * tick
}
