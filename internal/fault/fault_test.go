package fault

import (
	"os"
	"strings"
	"testing"
)

func TestKindsAreDocumentedAndHaveATitle(t *testing.T) {
	doc, err := os.ReadFile("../../docs/reference/reports.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range Kinds() {
		if !strings.Contains(string(doc), "\n| `"+string(k)+"` |") {
			t.Errorf("docs/reference/reports.md does not say what the kind %q is", k)
		}
		if k != Internal && k.Title("h") == Internal.Title("h") {
			t.Errorf("the kind %q has no title", k)
		}
		if Parse(string(k)) != k {
			t.Errorf("the kind %q is read as %q", k, Parse(string(k)))
		}
	}
	if len(titles) != len(Kinds()) {
		t.Errorf("%d titles for %d kinds", len(titles), len(Kinds()))
	}
}

func TestUnknownKindsAreInternal(t *testing.T) {
	for _, name := range []string{"", "Missing", "new", "\x1b[2J"} {
		if k := Parse(name); k != Internal {
			t.Errorf("%q is read as %q", name, k)
		}
	}
}
