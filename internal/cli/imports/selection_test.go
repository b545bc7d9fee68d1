package imports

import (
	"regexp"
	"strings"
	"testing"

	"imagemirror/internal/settings"
)

// What is selected of a repository is what the other tool selects. Their rules are written down
// here as they are in their sources.
func TestSelectionsAreThoseOfTheOtherTools(t *testing.T) {
	tags := strings.Fields("latest edge edge-2 v1 v1.2 v1.20 v1.2-rc.1 v2 3 3.9 3.20.1 3x9 1.0.0 1.0.0-alpine vv1 V1")
	any := func(list []string, tag string) bool {
		for _, e := range list {
			if regexp.MustCompile("^" + e + "$").MatchString(tag) {
				return true
			}
		}
		return false
	}
	for _, lists := range [][2][]string{
		{{"latest", "3", "3.9"}, nil},
		{{"v1|v2"}, nil},
		{{"(v1|v2)"}, {".*2"}},
		{{"v1.*", "latest|edge"}, {".*-rc.*"}},
		{nil, {"v.*", "[0-9]+"}},
		{{"(?i)v1", "3\\..*"}, {"3\\.9$"}},
		{{"^3$", "^$|edge"}, nil},
	} {
		quoted := func(list []string) string { return "['" + strings.Join(list, "', '") + "']" }
		text := "sync: [{source: a.io/x, target: b.io/x, type: repository, tags: {allow: " + quoted(lists[0]) + ", deny: " + quoted(lists[1]) + "}}]"
		text = strings.NewReplacer("allow: [''], ", "", ", deny: ['']", "").Replace(text)
		admits := admitted(t, text)
		for _, tag := range tags {
			want := (lists[0] == nil || any(lists[0], tag)) && !any(lists[1], tag)
			if admits(tag) != want {
				t.Errorf("of allow %q, deny %q, regsync selects %s: %t", lists[0], lists[1], tag, want)
			}
		}
	}
	for _, expression := range []string{"^v1", "alpine", "v1|2$", "^3$", "^v1\\.[0-9]+$", "(rc|edge)"} {
		admits := admitted(t, "a.io/x:/"+expression+"/: b.io/x")
		for _, tag := range tags {
			if want := regexp.MustCompile(expression).MatchString(tag); admits(tag) != want {
				t.Errorf("%q matches %s: %t", expression, tag, want)
			}
		}
	}
}

// admitted returns what the settings of the set that a file becomes select.
func admitted(t *testing.T, text string) func(tag string) bool {
	t.Helper()
	sets, warnings, err := imported(t, text)
	if err != nil || len(sets) != 1 || len(warnings) > 0 {
		t.Fatalf("%s: %d sets, %q, %v", text, len(sets), warnings, err)
	}
	head := "apiVersion: " + settings.APIVersion + "\nkind: " + settings.Kind + "\nmetadata: {name: x}\nspec:\n"
	s, found := settings.Parse("settings.yaml", []byte(head+sets[0].spec(0)))
	if found.Err() != nil || len(s.Select) != 1 {
		t.Fatal(found.Err(), sets[0].spec(0))
	}
	return s.Select[0].Admits
}
