// Package command is what the three commands have in common at their edge: flags and environment, help, one-line
// errors and the exit statuses.
//
//	0  the command did its work; for report: every mapping is well
//	1  it could not finish it; for report: some mapping failed
//	2  its input was refused, and nothing was done
package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/kelseyhightower/envconfig"
)

// Prefix begins the name of every environment variable that the commands read.
const Prefix = "MIRROR"

// A Command describes one command for its help text.
type Command struct {
	Name     string
	Synopsis string        // what follows the name, such as "[-out FILE] [SHARD...]"
	About    string        // a paragraph
	Flags    *flag.FlagSet // with what the command takes
	Env      any           // pointer to an envconfig struct, or nil
	Stderr   io.Writer     // instead of os.Stderr
}

// errHelp says that help was asked for and printed.
var errHelp = errors.New("help was printed")

// refusal is an error of the input.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// Refuse marks err as the input's fault: the command exits 2. Refuse(nil) is nil.
func Refuse(err error) error {
	if err == nil {
		return nil
	}
	return refusal{err}
}

// Refused says whether err is the input's fault.
func Refused(err error) bool {
	var r refusal
	return errors.As(err, &r)
}

// Parse reads args and the environment into c.Flags and c.Env. Its errors are refusals.
func (c Command) Parse(args []string) error {
	c.Flags.Init(c.Name, flag.ContinueOnError)
	c.Flags.SetOutput(io.Discard)
	c.Flags.Usage = func() {}
	switch err := c.Flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		if err := c.help(os.Stdout); err != nil {
			return err
		}
		return errHelp
	case err != nil:
		return Refuse(fmt.Errorf("%w: see %s -h", err, c.Name))
	}
	if err := c.misplaced(args); err != nil {
		return Refuse(err)
	}
	if c.Env == nil {
		return nil
	}
	if err := envconfig.Process(Prefix, c.Env); err != nil {
		return Refuse(explain(err))
	}
	return nil
}

// misplaced finds a flag behind the first argument. The flag package takes it for an argument, so it would
// be looked for as a file. Behind "--" all are arguments.
func (c Command) misplaced(args []string) error {
	rest := c.Flags.Args()
	if given := len(args) - len(rest); given > 0 && args[given-1] == "--" {
		return nil
	}
	for _, arg := range rest {
		if len(arg) > 1 && arg[0] == '-' {
			return fmt.Errorf("%q stands behind %q: flags come first", arg, rest[0])
		}
	}
	return nil
}

func (c Command) help(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintf(out, "Usage: %s\n\n%s\n", strings.TrimSpace(c.Name+" "+c.Synopsis), c.About)
	heading := "\nFlags:\n"
	c.Flags.VisitAll(func(f *flag.Flag) {
		fmt.Fprint(out, heading)
		heading = ""
		arg, usage := flag.UnquoteUsage(f)
		if arg != "" {
			arg = " " + arg
		}
		fmt.Fprintf(out, "  -%s%s\t%s%s\n", f.Name, arg, usage, defaultOf(f))
	})
	if c.Env != nil {
		fmt.Fprint(out, "\nEnvironment:\n")
		if err := envconfig.Usaget(Prefix, c.Env, out, environment); err != nil {
			return err
		}
	}
	return out.Flush()
}

func defaultOf(f *flag.Flag) string {
	if f.DefValue == "" || f.DefValue == "false" {
		return ""
	}
	return " (" + f.DefValue + " unless given)"
}

// Exit tells err on standard error, each of its lines on its own, and returns the exit status that it stands for.
func (c Command) Exit(err error) int {
	if err == nil || errors.Is(err, errHelp) {
		return 0
	}
	c.complain(c.stderr(), err)
	if Refused(err) {
		return 2
	}
	return 1
}

func (c Command) complain(w io.Writer, err error) {
	for line := range strings.SplitSeq(strings.TrimRight(err.Error(), "\n"), "\n") {
		c.tell(w, slog.LevelError, "", line)
	}
}

// Warn tells on standard error of something that is suspicious and no mistake.
func (c Command) Warn(message string) { c.tell(c.stderr(), slog.LevelWarn, "warning: ", message) }

func (c Command) stderr() io.Writer {
	if c.Stderr == nil {
		return os.Stderr
	}
	return c.Stderr
}

// tell writes a line for people, behind the command's name, or one for machines where the environment asks for that. It looks
// there itself, since what is wrong may be a flag or the environment.
func (c Command) tell(w io.Writer, level slog.Level, kind, line string) {
	line = Printable(line)
	if os.Getenv(formatVariable) == jsonFormat {
		slog.New(slog.NewJSONHandler(w, nil)).Log(context.Background(), level, line, "command", c.Name)
		return
	}
	fmt.Fprintf(w, "%s: %s%s\n", c.Name, kind, line)
}
