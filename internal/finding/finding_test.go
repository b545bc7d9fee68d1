package finding

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/junit"
)

var (
	twice = &Rule{"twice", "A destination has one source."}
	odd   = &Rule{"odd", "Nothing is without effect."}
)

// hostile returns findings whose names and words would break each of the forms.
func hostile() *Document {
	return &Document{
		Files: []string{"sets/a/mapping_a", "sets/b/mapping_b"},
		Findings: []Finding{
			{Rule: odd, Warning: true, File: "sets/a/mapping_a", Line: 7, Err: errors.New("100% odd")},
			{Rule: twice, File: "sets/a/mapping_a", Line: 3, Err: errors.New("line\r\n::set-env name=x::y & <b>]]>")},
			{Rule: twice, File: "sets/a b/x:1,y%/map\u202e", Line: 2, Err: errors.New("\x1b[31mred")},
			{Rule: twice, File: "../other/OWNERS", Err: errors.New("not below the working directory")},
			{Rule: odd, Err: errors.New("about no file")},
		},
	}
}

func write(t *testing.T, r *Document, form string) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.Write(&b, form); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTextWritesNothing(t *testing.T) {
	if got := write(t, hostile(), Text); got != "" {
		t.Errorf("got %q, want nothing", got)
	}
}

func TestGitHubAnnotationsAreEscaped(t *testing.T) {
	want := `::error file=sets/a/mapping_a,line=3,title=twice::line\r\n::set-env name=x::y & <b>]]>
::error file=sets/a b/x%3A1%2Cy%25/map\u202e,line=2,title=twice::\x1b[31mred
::error file=../other/OWNERS,line=1,title=twice::not below the working directory
::error title=odd::about no file
::warning file=sets/a/mapping_a,line=7,title=odd::100%25 odd
`
	if diff := cmp.Diff(want, write(t, hostile(), "github")); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
}

// What GitHub and other readers demand of SARIF 2.1.0:
// https://docs.github.com/en/code-security/reference/code-scanning/sarif-files/sarif-support
func TestSARIFIsComplete(t *testing.T) {
	for name, report := range map[string]*Document{"hostile": hostile(), "nothing found": {}} {
		t.Run(name, func(t *testing.T) {
			text := write(t, report, "sarif")
			var log sarifLog
			in := json.NewDecoder(strings.NewReader(text))
			in.DisallowUnknownFields()
			if err := in.Decode(&log); err != nil {
				t.Fatal(err)
			}
			if log.Version != "2.1.0" || !strings.HasSuffix(log.Schema, "sarif-schema-2.1.0.json") || len(log.Runs) != 1 || log.Runs[0].Tool.Driver.Name == "" {
				t.Errorf("the head is %+v", log)
			}
			if strings.Contains(text, "null") {
				t.Errorf("an array is missing:\n%s", text)
			}
			run := log.Runs[0]
			if len(run.Results) != len(report.Findings) {
				t.Errorf("got %d results, want %d", len(run.Results), len(report.Findings))
			}
			for i, r := range run.Results {
				f := report.Findings[i]
				if r.RuleID != f.Rule.ID || run.Tool.Driver.Rules[r.RuleIndex].ID != r.RuleID || r.Message.Text == "" {
					t.Errorf("result %d is %+v", i, r)
				}
				if !slices.Contains([]string{"error", "warning"}, r.Level) || r.Level == "warning" != f.Warning {
					t.Errorf("result %d has the level %s", i, r.Level)
				}
				checkPlace(t, f, r.Locations)
			}
		})
	}
}

func checkPlace(t *testing.T, f Finding, at []sarifLocation) {
	t.Helper()
	if len(at) != 1 {
		t.Fatalf("%s: got %d places, and GitHub refuses an upload with a result that has none", f, len(at))
	}
	place := at[0].PhysicalLocation
	u, err := url.Parse(place.ArtifactLocation.URI)
	if err != nil || u.IsAbs() || u.Path == "" {
		t.Errorf("%s: %q is no relative URI reference: %v", f, place.ArtifactLocation.URI, err)
	}
	inside := !strings.HasPrefix(f.File, "../")
	if inside != (place.ArtifactLocation.URIBaseID == "%SRCROOT%") || place.Region.StartLine < 1 {
		t.Errorf("%s: the place is %+v", f, place)
	}
}

func TestSARIFPathsAreRelative(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for file, want := range map[string]sarifArtifact{
		"a/b":                         {"a/b", "%SRCROOT%"},
		filepath.Join(dir, "a", "b"):  {"a/b", "%SRCROOT%"},
		"a:b":                         {"./a:b", "%SRCROOT%"},
		"..":                          {"..", ""},
		"":                            {".", "%SRCROOT%"},
		filepath.Join(dir, "..", "b"): {"file://" + filepath.Join(filepath.Dir(dir), "b"), ""},
	} {
		got := (&Document{}).locations(Finding{Rule: odd, File: file})[0].PhysicalLocation.ArtifactLocation
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("place of %s (-want +got):\n%s", file, diff)
		}
	}
}

func TestJUnitHasACaseForEachFile(t *testing.T) {
	text := write(t, hostile(), "junit")
	var got junit.Suites
	if err := xml.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if got.Tests != 5 || got.Failures != 4 {
		t.Errorf("got %d cases and %d failures, want 5 and 4:\n%s", got.Tests, got.Failures, text)
	}
	a := got.Suites[0].Cases[0]
	if a.Name != "mapping_a" || a.Failure == nil || a.Line != 3 || a.Failure.Type != "twice" || a.Output != "sets/a/mapping_a:7: 100% odd" {
		t.Errorf("the case of mapping_a is %+v with failure %+v", a, a.Failure)
	}
	if b := got.Suites[1].Cases[0]; b.Name != "mapping_b" || b.Failure != nil || b.Output != "" {
		t.Errorf("the case of mapping_b is %+v, want one that passed", b)
	}
}

func TestFindingIsALine(t *testing.T) {
	gone := errors.New("gone")
	for want, f := range map[string]Finding{
		"a/b:12: gone":     {File: "a/b", Line: 12, Err: gone},
		"image-sets: gone": {File: "image-sets", Err: gone},
		"gone":             {Err: gone},
		`a\nb:1: c\x1b`:    {File: "a\nb", Line: 1, Err: errors.New("c\x1b")},
	} {
		if got := f.Error(); got != want {
			t.Errorf("%#v: got the line %q, want %q", f, got, want)
		}
	}
	if err := error(Finding{File: "a", Err: gone}); !errors.Is(err, gone) {
		t.Errorf("%v does not wrap its cause", err)
	}
}

func TestListKeepsMistakesApartFromWarnings(t *testing.T) {
	var l List
	if err := l.Err(); err != nil {
		t.Errorf("an empty list has the error %v", err)
	}
	l.Warn(odd, "b", 2, "odd")
	if err := l.Err(); err != nil {
		t.Errorf("a warning is the error %v", err)
	}
	l.Refuse(twice, "b", 1, "one")
	l.Refuse(twice, "a", 3, "two")
	l.Sort()
	if got, want := l.Err().Error(), "a:3: two\nb:1: one"; got != want {
		t.Errorf("got the error %q, want %q", got, want)
	}
	if w := l.Warnings(); len(w) != 1 || w[0].Error() != "b:2: odd" {
		t.Errorf("got the warnings %v", w)
	}
}

func TestPromotedWarningsAreMistakes(t *testing.T) {
	var l List
	for i := range MaxKept + 3 {
		l.Warn(odd, "a", i+1, "odd")
	}
	l.Warn(twice, "b", 1, "perhaps twice")
	l.Promote(odd)
	if w := l.Warnings(); len(w) != 1 || w[0].Rule != twice {
		t.Errorf("got the warnings %v, want that of the other rule", w)
	}
	lines := strings.Split(l.Err().Error(), "\n")
	if got, want := lines[len(lines)-1], fmt.Sprintf("a:%d: there are 3 more", MaxKept+1); len(lines) != MaxKept+1 || !strings.HasPrefix(got, want) {
		t.Errorf("got %d mistakes and %q at last, want %q", len(lines), got, want)
	}
}

// Of each kind the first findings are kept and the rest is counted, even over merged lists.
func TestListIsBounded(t *testing.T) {
	fill := func(file string, n int) *List {
		l := &List{}
		for i := range n {
			l.Refuse(twice, file, i+1, "twice")
			l.Warn(twice, file, i+1, "perhaps twice")
		}
		l.Refuse(odd, file, n, "odd")
		return l
	}
	l := &List{}
	for _, one := range []*List{fill("a", MaxKept/2), fill("b", MaxKept+5), fill("c", MaxKept+7)} {
		l.Merge(one)
	}
	all := l.All()
	if got, want := len(all), 2*(MaxKept+1)+3; got != want {
		t.Fatalf("got %d findings, want %d", got, want)
	}
	want := fmt.Sprintf("b:%d: there are %d more findings of the rule \"twice\", the first of them here: correct those before and check again",
		MaxKept/2+1, MaxKept/2+MaxKept+5+MaxKept+7-MaxKept)
	for _, f := range all[len(all)-2:] {
		if got := f.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if mistake, warning := all[len(all)-2], all[len(all)-1]; mistake.Warning || !warning.Warning {
		t.Errorf("the rests are %+v and %+v, want a mistake and a warning", mistake, warning)
	}
}
