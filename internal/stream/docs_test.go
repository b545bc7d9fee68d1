package stream

import (
	"crypto/sha256"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestDocumentedStreams reads the examples of docs/reference/streams.md, and looks for every
// key there.
func TestDocumentedStreams(t *testing.T) {
	doc, err := os.ReadFile("../../docs/reference/streams.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```jsonl\n(.*?)```").FindAllStringSubmatch(string(doc), -1)
	if len(examples) != 2 {
		t.Fatalf("docs/reference/streams.md has %d examples, want a plan and its results", len(examples))
	}
	plan, results := example(t, examples[0][1]), example(t, examples[1][1])
	if plan.Header.Stream != Plan || results.Header.Stream != Results || plan.Header.Run != results.Header.Run {
		t.Errorf("the examples are %+v and %+v, want a plan and its results", plan.Header, results.Header)
	}
	for m := range plan.Manifests {
		if got := fmt.Sprintf("sha256:%x", sha256.Sum256(m.Content)); got != m.Digest {
			t.Errorf("the manifest has digest %s and says %s", got, m.Digest)
		}
	}
	source, err := os.ReadFile("record.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range regexp.MustCompile("`json:\"([a-zA-Z]+)").FindAllStringSubmatch(string(source), -1) {
		if !strings.Contains(string(doc), "`"+key[1]+"`") && !strings.Contains(string(doc), "."+key[1]+"`") {
			t.Errorf("docs/reference/streams.md does not say what %q is", key[1])
		}
	}
}

func example(t *testing.T, text string) *Content {
	t.Helper()
	c, err := Read(strings.NewReader(text), "docs/reference/streams.md")
	if err != nil {
		t.Fatal(err)
	}
	if c.Cut != nil {
		t.Fatal(c.Cut)
	}
	return c
}
