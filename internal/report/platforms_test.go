package report

import (
	"slices"
	"strings"
	"testing"

	"imagemirror/internal/stream"
)

func TestPartOfAnImage(t *testing.T) {
	index := "sha256:" + strings.Repeat("ab", 32)
	for _, c := range []struct {
		name      string
		platforms []string
		rewritten string
		want      string
		shown     []string
	}{
		{"all", nil, "", "", nil},
		{"sparse", []string{"linux/amd64", "linux/arm64"}, "", "only linux/amd64, linux/arm64", []string{"linux/amd64", "linux/arm64"}},
		{"rewritten", []string{"linux/amd64"}, index, "only linux/amd64, not signed as abababababab is", []string{"linux/amd64"}},
		{"hostile", []string{"linux/\x1b[31m"}, "latest", `only linux/\x1b[31m`, []string{`linux/\x1b[31m`}},
	} {
		e := &pending{}
		e.takePart(c.platforms, c.rewritten)
		if got := e.part(); got != c.want || !slices.Equal(e.Platforms, c.shown) {
			t.Errorf("%s: %q and %q, want %q", c.name, got, e.Platforms, c.want)
		}
	}
	e := &pending{}
	e.takePart(slices.Repeat([]string{"linux/amd64"}, 200), "")
	if len(e.Platforms) != shownPlatforms {
		t.Errorf("%d platforms are kept", len(e.Platforms))
	}
}

// The note is about what this run moves. The count is about all.
func TestRewrittenImagesAreCounted(t *testing.T) {
	index := "sha256:" + strings.Repeat("ab", 32)
	r := &Report{Results: []*Result{
		{Status: stream.Copied, Rewritten: index}, {Status: stream.Current, Rewritten: index}, {Status: stream.Failed, Rewritten: index}, {Status: stream.Copied},
	}}
	r.countRewritten()
	if note := r.rewrittenNote(); r.Summary.Rewritten != 2 || !strings.HasPrefix(note, "1 image has another digest than the source") {
		t.Errorf("%d and %q", r.Summary.Rewritten, note)
	}
	r.Results = append(r.Results, &Result{Status: Planned, Rewritten: index})
	if note := r.rewrittenNote(); !strings.HasPrefix(note, "2 images have another digest") {
		t.Error(note)
	}
	if note := (&Report{Results: r.Results[1:3]}).rewrittenNote(); note != "" {
		t.Error(note)
	}
}
