package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"imagemirror/internal/text"
)

// Main runs c with the arguments of the process, and ends the process.
func Main(c *Command) { os.Exit(c.Execute(os.Args[1:])) }

// Execute runs c with args, from its signals to its last line on standard error, and returns the
// exit status. It sets the default logger. A process calls it once.
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
	c.complain(err)
	return Status(err)
}

// signals returns a context that ends on SIGINT or SIGTERM. A second of them ends the process at once.
// SIGPIPE is ignored: that the reader of standard output is gone is an error like any other.
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

// setLogger gives what libraries log the same form as our own lines.
func (c *Command) setLogger() error {
	log, err := c.log.logger(c.standardError())
	if err != nil {
		return Refuse(err)
	}
	slog.SetDefault(log)
	return nil
}

// complain writes each line of err to standard error.
func (c *Command) complain(err error) {
	if err == nil {
		return
	}
	for line := range strings.SplitSeq(strings.TrimRight(err.Error(), "\n"), "\n") {
		c.tell(slog.LevelError, "", line)
	}
}

// Warn writes a warning to standard error.
func (c *Command) Warn(message string) { c.tell(slog.LevelWarn, "warning: ", message) }

func (c *Command) standardError() io.Writer {
	if c.stderr == nil {
		return os.Stderr
	}
	return c.stderr
}

// tell writes a line for people, after the command's name, or one for machines if the environment asks
// for that. It reads the environment itself, since the line may be about a flag or the environment.
func (c *Command) tell(level slog.Level, kind, line string) {
	line = text.Printable(line)
	w := c.standardError()
	if os.Getenv(formatVariable) == jsonFormat {
		slog.New(slog.NewJSONHandler(w, nil)).Log(context.Background(), level, line, "command", c.Name)
		return
	}
	fmt.Fprintf(w, "%s: %s%s\n", c.Name, kind, line)
}
