package status

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imagemirror/internal/link"
	"imagemirror/internal/record"
)

// The causes of a fleet are shown in parts, each once, also as files.
func TestCausesAreShownInParts(t *testing.T) {
	for _, n := range []int{1, destinationsShown, 2*destinationsShown + 1} {
		r := goodSet("many", 1, 1, 1)
		for i := range n {
			r.Causes = append(r.Causes, &record.Cause{
				Key: fmt.Sprintf("source/host-%04d.example/missing", i), Kind: "missing", Host: fmt.Sprintf("host-%04d.example", i), First: now, Last: now,
			})
		}
		dir := t.TempDir()
		if err := WriteFiles(dir, NewSnapshot(Look{Records: []*record.Record{r}}, now), ""); err != nil {
			t.Fatal(err)
		}
		all, _ := filepath.Glob(filepath.Join(dir, "causes", "page-*.html"))
		content := ""
		for _, file := range append(all, filepath.Join(dir, "causes.html")) {
			part, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			content += string(part)
		}
		if parts := (n - 1) / destinationsShown; len(all) != parts {
			t.Errorf("%d causes have %d parts after the first, want %d", n, len(all), parts)
		}
		for _, c := range r.Causes {
			if got := strings.Count(content, link.ID(c.Key)+".html"); got != 1 {
				t.Errorf("%s is linked %d times", c.Key, got)
			}
		}
	}
}

// A set whose run had no plan has no failing destination, but is more urgent than a set that has
// some. It is shown where people look first.
func TestWholeRunsComeFirst(t *testing.T) {
	noPlan := &record.Cause{Key: "-/-/no-plan", Kind: "no-plan", Message: "split: no secret", First: now, Last: now}
	some := fail(goodSet("some", 20, 2, 1), expired, 10, 0)
	none := goodSet("none", 15, 2, 1)
	none.Causes = []*record.Cause{noPlan}
	both := fail(goodSet("both", 9, 2, 1), missing, 9, 0)
	both.Causes = append(both.Causes, noPlan)
	s := NewSnapshot(Look{Records: []*record.Record{some, none, both}}, now)
	var got []string
	for _, c := range s.causes {
		got = append(got, c.Kind)
	}
	if want := "no-plan credentials missing"; strings.Join(got, " ") != want {
		t.Errorf("the causes are %q, want %s", got, want)
	}
	if row := s.set("both").row(); row.Causes[0].Kind != "no-plan" {
		t.Errorf("the set has first %s", row.Causes[0].Kind)
	}
	page, err := view{Snapshot: s}.overview(query{}).render()
	if err != nil || !strings.Contains(string(page), `data-label="Destinations">whole run</td>`) {
		t.Errorf("%v: the overview does not tell that a whole run is hit", err)
	}
}
