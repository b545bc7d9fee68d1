// Package command is what all commands share: signals, flags and environment, help and version, the
// logger, errors of one line, and the exit status.
//
//	0  the command did its work; for report: no mapping failed, and each has a result
//	1  it could not finish; for report: a mapping failed or has no result
//	2  the input was refused, and nothing was done
package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/kelseyhightower/envconfig"
)

// Prefix is how the name of every environment variable begins, before an underscore.
const Prefix = "MIRROR"

// A Command is one command: its help, its flags and environment, and what it does. Env and all
// fields below Run may be left out.
type Command struct {
	Name     string       // as people type it, such as "copy" or "imagemirror copy"
	Synopsis string       // what follows the name, such as "[-out FILE] [SHARD...]"
	About    string       // a paragraph
	Flags    flag.FlagSet // the command's own; -h and -version are added
	Env      any          // pointer to an envconfig struct

	// Run does the work. Flags and Env have been read. The context ends when the process is told to
	// stop. Run marks an error that is the input's fault with Refuse.
	Run func(ctx context.Context, args []string) error

	// Refused runs instead of Run if the command line or the environment is refused. It returns the
	// reason that it is given, and its own errors.
	Refused func(ctx context.Context, reason error) error

	// IgnoreInterrupt keeps the command running on Ctrl-C, which a shell sends to every command
	// of a pipe. SIGTERM, which is sent to one process, then ends it at once.
	IgnoreInterrupt bool

	// Anywhere allows flags behind arguments too.
	Anywhere bool

	// Aside keeps the command from waiting for the reader of standard error: see type Aside.
	Aside bool

	log    logging
	stderr io.Writer // instead of os.Stderr
}

// errShown means that the command line asked for help or the version, and that it was printed.
var errShown = errors.New("help or version was printed")

// A refusal is an error that is the input's fault.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// Refuse marks err as the input's fault, so that the command exits 2. Refuse(nil) returns nil.
func Refuse(err error) error {
	if err == nil {
		return nil
	}
	return refusal{err}
}

// ExitStatus returns the exit status for err.
func ExitStatus(err error) int {
	var r refusal
	switch {
	case err == nil:
		return 0
	case errors.As(err, &r):
		return 2
	}
	return 1
}

// parse reads args and the environment into c.Flags and c.Env. Its errors are refusals or errShown.
func (c *Command) parse(args []string) error {
	showVersion := c.addVersion()
	c.Flags.Init(c.Name, flag.ContinueOnError)
	c.Flags.SetOutput(io.Discard)
	c.Flags.Usage = func() {}
	switch err := c.parseFlags(args); {
	case errors.Is(err, flag.ErrHelp):
		return shownError(c.help(os.Stdout))
	case err != nil:
		return Refuse(fmt.Errorf("%w: see %s -h", err, c.Name))
	case *showVersion:
		_, err := fmt.Println(c.versionLine())
		return shownError(err)
	}
	if err := c.checkOrder(args); err != nil && !c.Anywhere {
		return Refuse(err)
	}
	for _, env := range c.environments() {
		if err := readEnvironment(env); err != nil {
			return Refuse(err)
		}
	}
	return nil
}

// parseFlags parses the flags. With c.Anywhere, those behind arguments too, up to a "--".
func (c *Command) parseFlags(args []string) error {
	err := c.Flags.Parse(args)
	if !c.Anywhere {
		return err
	}
	all := []string{"--"}
	for err == nil && c.Flags.NArg() > 0 {
		rest := c.Flags.Args()
		if n := len(args) - len(rest); n > 0 && args[n-1] == "--" {
			all = append(all, rest...)
			break
		}
		all, args = append(all, rest[0]), rest[1:]
		err = c.Flags.Parse(args)
	}
	if err != nil {
		return err
	}
	return c.Flags.Parse(all)
}

func (c *Command) addVersion() *bool {
	return c.Flags.Bool("version", false, "print the version and exit")
}

// shownError returns errShown, or the error of printing.
func shownError(err error) error {
	if err == nil {
		return errShown
	}
	return err
}

// environments returns the envconfig structs: the command's own, and that of all commands.
func (c *Command) environments() []any {
	if c.Env == nil {
		return []any{&c.log}
	}
	return []any{c.Env, &c.log}
}

// checkOrder refuses a flag after the first argument. The flag package takes it for an
// argument, so that it would be opened as a file. After "--" everything is an argument.
func (c *Command) checkOrder(args []string) error {
	rest := c.Flags.Args()
	if given := len(args) - len(rest); given > 0 && args[given-1] == "--" {
		return nil
	}
	for _, arg := range rest {
		if len(arg) > 1 && arg[0] == '-' {
			return fmt.Errorf("flag %s must come before %q", arg, rest[0])
		}
	}
	return nil
}

func (c *Command) help(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintf(out, "Usage: %s\n\n%s\n", strings.TrimSpace(c.Name+" "+c.Synopsis), c.About)
	fmt.Fprint(out, "\nFlags:\n")
	c.Flags.VisitAll(func(f *flag.Flag) {
		arg, usage := flag.UnquoteUsage(f)
		if arg != "" {
			arg = " " + arg
		}
		fmt.Fprintf(out, "  -%s%s\t%s%s\n", f.Name, arg, usage, defaultOf(f))
	})
	fmt.Fprint(out, "\nEnvironment:\n")
	for _, env := range c.environments() {
		if err := envconfig.Usaget(Prefix, env, out, variableTable); err != nil {
			return err
		}
	}
	return out.Flush()
}

func defaultOf(f *flag.Flag) string {
	if f.DefValue == "" || f.DefValue == "false" {
		return ""
	}
	return " (default " + f.DefValue + ")"
}
