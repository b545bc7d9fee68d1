package command

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestExecute(t *testing.T) {
	for _, c := range []struct {
		name   string
		args   []string
		format string // MIRROR_LOG_FORMAT
		err    error  // of Run
		ran    []string
		reason string // that Refused is given
		status int
		stderr string
	}{
		{name: "all well", args: []string{"a", "b"}, format: "text", ran: []string{"a", "b"}},
		{name: "not finished", args: []string{"a"}, format: "text", err: errors.New("the disk is full"), ran: []string{"a"}, status: 1, stderr: "move: the disk is full\n"},
		{name: "refused by the command", args: []string{"a"}, format: "text", err: Refuse(errors.New("no a")), ran: []string{"a"}, status: 2, stderr: "move: no a\n"},
		{name: "unknown flag", args: []string{"-fast"}, format: "text", reason: "flag provided but not defined: -fast: see move -h", status: 2, stderr: "move: flag provided but not defined: -fast: see move -h\nmove: noted\n"},
		{name: "unknown form of log lines", format: "xml", reason: `MIRROR_LOG_FORMAT is "xml": give text or json`, status: 2, stderr: "move: MIRROR_LOG_FORMAT is \"xml\": give text or json\nmove: noted\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("MIRROR_LOG_FORMAT", c.format)
			var ran []string
			reason := ""
			var stderr strings.Builder
			cmd := &Command{
				Name: "move",
				Run:  func(_ context.Context, args []string) error { ran = args; return c.err },
				Refused: func(_ context.Context, err error) error {
					reason = err.Error()
					return errors.Join(err, errors.New("noted"))
				},
				stderr: &stderr,
			}
			if got := cmd.Execute(c.args); got != c.status {
				t.Errorf("exit status %d, want %d", got, c.status)
			}
			if diff := cmp.Diff(c.ran, ran, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("arguments of Run (-want +got):\n%s", diff)
			}
			if reason != c.reason {
				t.Errorf("Refused is given %q, want %q", reason, c.reason)
			}
			if stderr.String() != c.stderr {
				t.Errorf("stderr is\n%swant\n%s", stderr.String(), c.stderr)
			}
		})
	}
}
