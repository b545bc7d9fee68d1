package command

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tools returns a group of two commands.
func tools() *Group {
	member := func(name, about string) Member {
		return Member{Name: name, About: about, New: func() *Command {
			return &Command{Name: name, Run: func(context.Context, []string) error { return nil }}
		}}
	}
	return &Group{Name: "tools", About: "Tools for things.", Members: []Member{
		member("move", "moves things"), member("drop", "drops things"), member("re-do", "does them again"),
	}}
}

func TestGroupHelp(t *testing.T) {
	want := `Usage: tools COMMAND [ARG...]

Tools for things.

Commands:
  move   moves things
  drop   drops things
  re-do  does them again

tools COMMAND -h describes a command, and tools -version prints the version.
`
	var got strings.Builder
	if err := tools().help(&got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("help (-want +got):\n%s", diff)
	}
}

func TestGroupChoosesACommand(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		want string // name of the command
		rest []string
	}{
		{"alone", []string{"move"}, "tools move", []string{}},
		{"with its arguments", []string{"drop", "-out", "x", "-h"}, "tools drop", []string{"-out", "x", "-h"}},
		{"help", []string{"help", "re-do"}, "tools re-do", []string{"-h"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, rest, err := tools().choose(c.args)
			if err != nil {
				t.Fatal(err)
			}
			if got.Name != c.want {
				t.Errorf("got the command %q, want %q", got.Name, c.want)
			}
			if diff := cmp.Diff(c.rest, rest); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGroupRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"nothing", nil, "no command is given: name move, drop or re-do"},
		{"a command that it does not have", []string{"remove"}, `unknown command "remove": name move, drop or re-do`},
		{"help for one", []string{"help", "remove"}, `unknown command "remove": name move, drop or re-do`},
		{"a flag before the command", []string{"-out", "move"}, `unknown flag "-out": name move, drop or re-do`},
		{"help for several", []string{"help", "move", "drop"}, "help describes one command: tools help move"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := tools().choose(c.args)
			if err == nil || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
			if status := ExitStatus(err); status != 2 {
				t.Errorf("exit status %d, want 2", status)
			}
		})
	}
}
