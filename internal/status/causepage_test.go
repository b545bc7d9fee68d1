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
