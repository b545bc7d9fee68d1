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
		{"Prow's other keys", "approvers: [ada]\nrequired_reviewers: [alan]\nemeritus_reviewers: [kurt]\noptions: {auto_approve_unowned_subfolders: true}\n", []string{"ada"}},
		{"another program's key", "approvers: [ada]\ncomponent: Registry\nsubcomponent: x\nnested: {a: [1]}\n", []string{"ada"}},
		{"a filter for all files", "filters:\n  \".*\":\n    approvers: [ada]\n    required_reviewers: [alan]\n", []string{"ada"}},
		{"filters that match", "filters:\n  \"_a$\": {approvers: [ada, grace]}\n  \"^mapping\": {approvers: [grace, alan]}\n  \"\\\\.go$\": {approvers: [kurt]}\n", []string{"ada", "grace", "alan"}},
		{"a filter that matches nothing", "filters:\n  \"\\\\.go$\": {approvers: [kurt]}\n", nil},
		{"approvers beside filters", "approvers: [kurt]\nfilters:\n  \".*\": {approvers: [ada]}\n", []string{"ada"}},
		{"nested aliases", bomb(), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, found := parseOwners("OWNERS", []byte(c.text))
			if err := found.Err(); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(c.want, got.of([]string{"mapping_a", "mapping_b"})); diff != "" {
				t.Errorf("approvers (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseOwnersRefuses(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"a filter that is not a regular expression", "filters:\n  \"*\": {approvers: [ada]}\n", `2: the filter "*" is not a regular expression`},
		{"a filter twice", "filters:\n  a: {approvers: [ada]}\n  a: {approvers: [alan]}\n", `3: the key "a" is there twice`},
		{"a name instead of a list", "reviewers: [alan]\napprovers: ada\n", `2: approvers is not a list: write [ONE, ANOTHER]`},
		{"an option that is not a bool", "options:\n  no_parent_owners: always\n", `2: options.no_parent_owners is "always": write true or false`},
		{"a list alone", "- ada\n", "1: the file is not a mapping: write a line KEY: VALUE for each of approvers"},
		{"a key twice", "approvers: [ada]\napprovers: [alan]\n", `2: the key approvers is there twice`},
		{"a tab", "approvers:\n- ada\n\t- alan\n", "2: the file is not YAML: found a tab"},
		{"an empty name", "\napprovers:\n-\n", `3: an entry of approvers has no value`},
		{"a name that is a text", "approvers:\n- " + strings.Repeat("a", 101) + "\n", `2: the name "` + strings.Repeat("a", 100) + `" has more than 100 bytes`},
		{"a name with an escape", "approvers:\n- \"\\e[1m\"\n", `2: an entry of approvers is "\x1b[1m"`},
		{"a binary file", "\x00\x01", "1: the file is not YAML: control characters"},
		{"a large file", strings.Repeat("#", maxOwners+1), "1: the file has more than 1024 KiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, found := parseOwners("OWNERS", []byte(c.text))
			err := found.Err()
			if err == nil {
				t.Fatalf("got %v and no error", got)
			}
			if got, want := err.Error(), "OWNERS:"+c.want; !strings.HasPrefix(got, want) {
				t.Errorf("got %s, want it to begin with %s", got, want)
			}
		})
	}
}

func TestUnknownKeysInOwnersAreWarnings(t *testing.T) {
	_, found := parseOwners("OWNERS", []byte("approvers:\n- ada\napprover: alan\noptions:\n  no_parents: true\nfilters:\n  a:\n    aprovers: []\n"))
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range found.Warnings() {
		got = append(got, w.Error())
	}
	want := []string{
		"OWNERS:1: approvers beside filters have no effect: move them to a filter such as \".*\"",
		`OWNERS:3: unknown key "approver": write approvers, reviewers, required_reviewers, emeritus_approvers, emeritus_reviewers, labels, options, filters, component or subcomponent`,
		`OWNERS:5: unknown key "no_parents": write no_parent_owners or auto_approve_unowned_subfolders`,
		`OWNERS:8: unknown key "aprovers": write approvers, reviewers, required_reviewers, emeritus_approvers, emeritus_reviewers or labels`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

// Prow reads OWNERS_ALIASES at the repository's root only, and compares names without case.
func TestAliasesAtTheRootOfTheRepositoryAreResolved(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, map[string]string{
		"repo/.git/HEAD":             "ref: refs/heads/main\n",
		"repo/OWNERS_ALIASES":        "aliases:\n  Mirror-Team: [ada, grace]\n  others: [grace, alan]\n  empty: []\n",
		"repo/sets/OWNERS_ALIASES":   "aliases: {kurt: [nobody]}\n",
		"repo/sets/one/OWNERS":       "approvers: [\"@mirror-team\", OTHERS, kurt, empty]\n",
		"repo/sets/one/mapping_one":  pair("a"),
		"repo/sets/two/OWNERS":       "filters: {mapping_two: {approvers: [others]}}\n",
		"repo/sets/two/mapping_two":  pair("b"),
		"broken/.git":                "gitdir: elsewhere\n",
		"broken/OWNERS_ALIASES":      "aliases:\n  team: ada\n  good: [alan]\nfoo: bar\n",
		"broken/three/OWNERS":        "approvers: [team, good]\n",
		"broken/three/mapping_three": pair("c"),
		"outside/OWNERS_ALIASES":     "aliases: {team: [nobody]}\n",
		"outside/four/OWNERS":        "approvers: [team]\n",
		"outside/four/mapping_four":  pair("d"),
	})
	in, err := Load([]string{"repo/sets", "broken/three", "outside/four"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, s := range in.Sets {
		got[s.Name] = s.Owners
	}
	want := map[string][]string{"one": {"ada", "grace", "alan", "kurt"}, "two": {"grace", "alan"}, "three": {"team", "alan"}, "four": {"team"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("owners (-want +got):\n%s", diff)
	}
	warnings := strings.Join(in.Warnings(), "\n")
	for _, says := range []string{"OWNERS_ALIASES:2: aliases.team is not a list", "OWNERS_ALIASES:4: unknown key \"foo\"", "reports name teams instead of people"} {
		if !strings.Contains(warnings, says) {
			t.Errorf("the warnings are %s, want one that says %s", warnings, says)
		}
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
