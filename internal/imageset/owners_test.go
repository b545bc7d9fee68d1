package imageset

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseOwners(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"approvers", "approvers:\n- ada\n- grace\n", []string{"ada", "grace"}},
		{"every key", "# team\napprovers: [ada]\nreviewers: [alan]\nemeritus_approvers: [kurt]\nlabels: [area/x]\noptions:\n  no_parent_owners: true\n", []string{"ada"}},
		{"empty options", "approvers:\n- ada\noptions: {}\n", []string{"ada"}},
		{"a number", "approvers:\n- 007\n", []string{"7"}},
		{"nothing", "", nil},
		{"reviewers only", "reviewers:\n- alan\n", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, _, err := parseOwners([]byte(c.text))
			if err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("approvers (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseOwnersRefuses(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"an unknown key", "approvers:\n- ada\napprover: alan\n", `3: unknown key "approver": write approvers`},
		{"an unknown option", "options:\n  no_parents: true\n", `2: unknown key "no_parents": write approvers`},
		{"a name instead of a list", "reviewers: [alan]\napprovers: ada\n", `2: "approvers" is not of the kind`},
		{"an option that is not a bool", "options:\n  no_parent_owners: always\n", `2: "options.no_parent_owners" is not of the kind`},
		{"a list alone", "- ada\n", "1: the file has no keys: write approvers:"},
		{"a key twice", "approvers: [ada]\napprovers: [alan]\n", `2: the file is not YAML: key "approvers" already set`},
		{"a tab", "approvers:\n- ada\n\t- alan\n", "3: the file is not YAML: found a tab"},
		{"an empty name", "\napprovers:\n-\n", `2: "" is no approver`},
		{"a name that is a text", "approvers:\n- " + strings.Repeat("a", 101) + "\n", `1: "` + strings.Repeat("a", 100) + `" is no approver`},
		{"a name with an escape", "approvers:\n- \"\\e[1m\"\n", `1: "\x1b[1m" is no approver`},
		{"a binary file", "\x00\x01", "1: the file is not YAML: control characters"},
		{"nested aliases", bomb(), "1: the file is not YAML: document contains excessive aliasing"},
		{"a large file", strings.Repeat("#", maxOwners+1), "1: the file has more than 1 MiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, line, err := parseOwners([]byte(c.text))
			if err == nil {
				t.Fatalf("got %q and no error", got)
			}
			if got := fmt.Sprintf("%d: %v", line, err); !strings.HasPrefix(got, c.want) {
				t.Errorf("got %s, want it to begin with %s", got, c.want)
			}
		})
	}
}

// bomb is YAML that grows beyond any memory when its aliases are replaced.
func bomb() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x]\n")
	for i := range 20 {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*a%d,", i), 20))
	}
	return b.String()
}
