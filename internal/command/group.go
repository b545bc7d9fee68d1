package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
)

// A Group is a command whose first argument names one of its commands, as with go and git.
type Group struct {
	Name    string // as people type it
	About   string // a paragraph
	Members []Member
}

// A Member is one command of a Group.
type Member struct {
	Name  string // as people type it after the group's
	About string // what the command does, in a few words
	New   func() *Command
}

// Main runs the command that the arguments of the process name, and ends the process.
func (g *Group) Main() {
	limitMemory()
	os.Exit(g.Execute(os.Args[1:]))
}

// Execute runs the command that args name, and returns the exit status. A process calls it once.
func (g *Group) Execute(args []string) int {
	chosen, rest, err := g.choose(args)
	switch {
	case chosen != nil:
		return chosen.Execute(rest)
	case errors.Is(err, errShown):
		return 0
	}
	(&Command{Name: g.Name}).printError(err)
	return ExitStatus(err)
}

// choose returns the command that args name and the arguments that are its own. It prints help
// and version of the group itself, and then returns errShown.
func (g *Group) choose(args []string) (*Command, []string, error) {
	if len(args) == 0 {
		return nil, nil, Refuse(fmt.Errorf("no command is given: name %s", g.names()))
	}
	switch name, rest := args[0], args[1:]; name {
	case "-h", "-help", "--help":
		return nil, nil, shownError(g.help(os.Stdout))
	case "-version", "--version":
		_, err := fmt.Println((&Command{Name: g.Name}).versionLine())
		return nil, nil, shownError(err)
	case "help":
		return g.describe(rest)
	default:
		c, err := g.find(name)
		return c, rest, err
	}
}

// describe chooses what "help NAME" shows, which is NAME -h.
func (g *Group) describe(names []string) (*Command, []string, error) {
	switch len(names) {
	case 0:
		return nil, nil, shownError(g.help(os.Stdout))
	case 1:
		c, err := g.find(names[0])
		return c, []string{"-h"}, err
	}
	return nil, nil, Refuse(fmt.Errorf("help describes one command: %s help %s", g.Name, names[0]))
}

func (g *Group) find(name string) (*Command, error) {
	for _, m := range g.Members {
		if m.Name == name {
			c := m.New()
			c.Name = g.Name + " " + name
			return c, nil
		}
	}
	kind := "command"
	if strings.HasPrefix(name, "-") {
		kind = "flag"
	}
	return nil, Refuse(fmt.Errorf("unknown %s %q: name %s", kind, name, g.names()))
}

// names lists the commands in a phrase.
func (g *Group) names() string {
	var all []string
	for _, m := range g.Members {
		all = append(all, m.Name)
	}
	last := len(all) - 1
	return strings.Join(all[:last], ", ") + " or " + all[last]
}

func (g *Group) help(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintf(out, "Usage: %s COMMAND [ARG...]\n\n%s\n\nCommands:\n", g.Name, g.About)
	for _, m := range g.Members {
		fmt.Fprintf(out, "  %s\t%s\n", m.Name, m.About)
	}
	fmt.Fprintf(out, "\n%s COMMAND -h describes a command, and %s -version prints the version.\n", g.Name, g.Name)
	return out.Flush()
}
