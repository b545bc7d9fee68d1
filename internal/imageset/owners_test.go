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
		{"a number", "approvers:\n- 007\n", []string{"007"}},
		{"an alias", "approvers: &team [ada]\nreviewers: *team\n", []string{"ada"}},
		{"nothing", "", nil},
		{"reviewers only", "reviewers:\n- alan\n", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, found := parseOwners("OWNERS", []byte(c.text))
			if err := found.Err(); err != nil {
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
		{"an unknown option", "options:\n  no_parents: true\n", `2: unknown key "no_parents": write no_parent_owners`},
		{"a name instead of a list", "reviewers: [alan]\napprovers: ada\n", `2: approvers is not a list: write [ONE, ANOTHER]`},
		{"an option that is not a bool", "options:\n  no_parent_owners: always\n", `2: options.no_parent_owners is "always": write true or false`},
		{"a list alone", "- ada\n", "1: the file is not a mapping: write a line KEY: VALUE for each of approvers"},
		{"a key twice", "approvers: [ada]\napprovers: [alan]\n", `2: the key approvers is there twice`},
		{"a tab", "approvers:\n- ada\n\t- alan\n", "2: the file is not YAML: found a tab"},
		{"an empty name", "\napprovers:\n-\n", `3: an entry of approvers has no value`},
		{"a name that is a text", "approvers:\n- " + strings.Repeat("a", 101) + "\n", `2: the name "` + strings.Repeat("a", 100) + `" has more than 100 bytes`},
		{"a name with an escape", "approvers:\n- \"\\e[1m\"\n", `2: an entry of approvers is "\x1b[1m"`},
		{"a binary file", "\x00\x01", "1: the file is not YAML: control characters"},
		{"nested aliases", bomb(), `1: unknown key "a0"`},
		{"a large file", strings.Repeat("#", maxOwners+1), "1: the file has more than 1024 KiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, found := parseOwners("OWNERS", []byte(c.text))
			err := found.Err()
			if err == nil {
				t.Fatalf("got %q and no error", got)
			}
			if got, want := err.Error(), "OWNERS:"+c.want; !strings.HasPrefix(got, want) {
				t.Errorf("got %s, want it to begin with %s", got, want)
			}
		})
	}
}

// bomb returns YAML that exceeds any memory once its aliases are replaced.
func bomb() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x]\n")
	for i := range 20 {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*a%d,", i), 20))
	}
	return b.String()
}
