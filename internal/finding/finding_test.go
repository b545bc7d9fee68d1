package finding

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
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

// hostile has names and words that would break each of the forms.
func hostile() *Report {
	return &Report{
		Files: []string{"sets/a/mapping_a", "sets/b/mapping_b"},
		Findings: []Finding{
			{Rule: odd, Warning: true, File: "sets/a/mapping_a", Line: 7, Message: "100% odd"},
			{Rule: twice, File: "sets/a/mapping_a", Line: 3, Message: "line\r\n::set-env name=x::y & <b>]]>"},
			{Rule: twice, File: "sets/a b/x:1,y%/map\u202e", Line: 2, Message: "\x1b[31mred"},
			{Rule: twice, File: "../other/OWNERS", Message: "not below the working directory"},
			{Rule: odd, Message: "about no file"},
		},
	}
}

func write(t *testing.T, r *Report, form string) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.Write(&b, form); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestText(t *testing.T) {
	if got := write(t, hostile(), Text); got != "" {
		t.Errorf("got %q, want nothing", got)
	}
}

func TestGitHub(t *testing.T) {
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

// What GitHub and other readers demand of SARIF 2.1.0: https://docs.github.com/en/code-security/reference/code-scanning/sarif-files/sarif-support
func TestSARIF(t *testing.T) {
	for name, report := range map[string]*Report{"hostile": hostile(), "nothing found": {}} {
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
	if f.File == "" {
		if len(at) != 0 {
			t.Errorf("%s: got a place %+v", f, at)
		}
		return
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

func TestPathsAreRelative(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for file, want := range map[string]sarifArtifact{
		"a/b":                         {"a/b", "%SRCROOT%"},
		filepath.Join(dir, "a", "b"):  {"a/b", "%SRCROOT%"},
		"a:b":                         {"./a:b", "%SRCROOT%"},
		"..":                          {"..", ""},
		filepath.Join(dir, "..", "b"): {"file://" + filepath.Join(filepath.Dir(dir), "b"), ""},
	} {
		got := locations(Finding{Rule: odd, File: file})[0].PhysicalLocation.ArtifactLocation
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("place of %s (-want +got):\n%s", file, diff)
		}
	}
}

func TestJUnit(t *testing.T) {
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

func TestParse(t *testing.T) {
	for line, want := range map[string]Finding{
		"a/b:12: destination q.io/x:1 has it at c:3: leave one": {File: "a/b", Line: 12, Message: "destination q.io/x:1 has it at c:3: leave one"},
		"image-sets: the directory has no mapping file: name":   {File: "image-sets", Message: "the directory has no mapping file: name"},
		"no PATH is given: name a mapping file":                 {Message: "no PATH is given: name a mapping file"},
		"a PATH is empty: name one":                             {Message: "a PATH is empty: name one"},
		"a b/mapping_x:1: no such file or directory":            {File: "a b/mapping_x", Line: 1, Message: "no such file or directory"},
		"a:99999999999999999999: x":                             {File: "a:99999999999999999999", Message: "x"},
	} {
		got := Parse(nil, line)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", line, diff)
		}
		if got.String() != line {
			t.Errorf("%q is written %q", line, got)
		}
	}
}
