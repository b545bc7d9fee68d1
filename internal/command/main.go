package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"imagemirror/internal/cgroup"
	"imagemirror/internal/secret"
	"imagemirror/internal/text"
)

// Main runs c with the arguments of the process, and ends the process.
func Main(c *Command) {
	limitMemory()
	os.Exit(c.Execute(os.Args[1:]))
}

// limitMemory lets Go's heap take three quarters of what the process may take, unless
// GOMEMLIMIT is set: beyond that, garbage is collected at once. Without it, Go lets garbage
// grow until the kernel kills the process. The rest is for stacks, the program and sockets.
func limitMemory() {
	if limit := cgroup.MemoryLimit(); limit > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit / 4 * 3)
	}
}

// Execute runs c with args and returns the exit status. It handles signals, sets the default logger
// and writes errors to standard error. A process calls it once.
func (c *Command) Execute(args []string) int {
	ctx, stop := c.signals()
	defer stop()
	if c.Aside {
		aside := NewAside(os.Stderr)
		defer aside.Flush(time.Second)
		c.stderr = aside
	}
	err := c.parse(args)
	if err == nil {
		err = c.setLogger()
	}
	switch {
	case errors.Is(err, errShown):
		return 0
	case err == nil:
		err = c.Run(ctx, c.Flags.Args())
	case c.Refused != nil:
		err = c.Refused(ctx, err)
	}
	c.printError(err)
	return ExitStatus(err)
}

// signals returns a context that ends on SIGINT or SIGTERM. A second signal ends the process at
// once. SIGPIPE is ignored, so that writing to a reader that is gone fails like any other
// write.
func (c *Command) signals() (context.Context, context.CancelFunc) {
	signal.Ignore(syscall.SIGPIPE)
	if c.IgnoreInterrupt {
		signal.Ignore(os.Interrupt)
		return context.WithCancel(context.Background())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// setLogger sets the default logger, so that libraries log in the same format.
func (c *Command) setLogger() error {
	log, err := c.log.logger(c.standardError())
	if err != nil {
		return Refuse(err)
	}
	slog.SetDefault(log)
	return nil
}

// printError writes each line of err to standard error.
func (c *Command) printError(err error) { c.printLines(slog.LevelError, "", err) }

// Warn writes a warning to standard error.
func (c *Command) Warn(message string) { c.printLine(slog.LevelWarn, warning, message) }

// WarnAbout writes each line of err to standard error, as a warning.
func (c *Command) WarnAbout(err error) { c.printLines(slog.LevelWarn, warning, err) }

const warning = "warning: "

// printLines writes each line of an error, which may be nil, as printLine does.
func (c *Command) printLines(level slog.Level, kind string, err error) {
	if err == nil {
		return
	}
	for line := range strings.SplitSeq(strings.TrimRight(err.Error(), "\n"), "\n") {
		c.printLine(level, kind, line)
	}
}

// standardError returns a writer of whole lines without secrets and commands to CI systems.
func (c *Command) standardError() io.Writer {
	var w io.Writer = os.Stderr
	if c.stderr != nil {
		w = c.stderr
	}
	return secret.NewWriter(text.NewCIWriter(w))
}

// printLine writes a line for people, with the command's name before it, or a JSON log line if
// MIRROR_LOG_FORMAT asks for that. It reads the variable itself, because the line may be about
// a flag or another variable that was refused before the environment was read.
func (c *Command) printLine(level slog.Level, kind, line string) {
	line = text.Printable(secret.Hide(line))
	w := c.standardError()
	if os.Getenv(formatVariable) == jsonFormat {
		slog.New(slog.NewJSONHandler(w, nil)).Log(context.Background(), level, line, "command", c.Name)
		return
	}
	fmt.Fprintf(w, "%s: %s%s\n", c.Name, kind, line)
}
