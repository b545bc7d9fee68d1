package plan

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"imagemirror/internal/record"
)

// A plan reads the record of each set once. What is recorded of a destination is found under its
// name, which has a digest if it has no tag. A record that cannot be read is a warning.
func TestRecordsAreRead(t *testing.T) {
	const a, b = "quay.io/org/a:v1", "quay.io/org/b"
	digest := "sha256:" + strings.Repeat("a", 64)
	sets := load(t, "example.com/ci/a:v1 "+a, "example.com/ci/b@"+digest+" "+b, "example.com/ci/c:v1 quay.io/org/c:v1")
	name := sets[0].Name
	known := record.New(name)
	known.Destinations = []*record.Destination{{Name: a}, {Name: b + "@" + digest}}
	var asked []string
	o := options(t)
	o.Recall = func(_ context.Context, set string) (*record.Record, error) {
		asked = append(asked, set)
		return known, nil
	}
	r := newResolver(o)
	ctx := t.Context()
	r.recall(ctx, append(slices.Clone(sets), sets...))
	var targets []*target
	for _, m := range sets[0].Mappings {
		targets = append(targets, newTarget(sets[0], m, m.Source, m.Destination))
	}
	r.remember(targets)
	if targets[0].recorded != known.Destinations[0] || targets[1].recorded != known.Destinations[1] || targets[2].recorded != nil {
		t.Errorf("recorded are %v, %v and %v", targets[0].recorded, targets[1].recorded, targets[2].recorded)
	}
	if !slices.Equal(asked, []string{name}) || r.unread() != nil {
		t.Errorf("records of %q are read, warnings %q", asked, r.unread())
	}

	o.Recall = func(context.Context, string) (*record.Record, error) { return nil, errors.New("reading records: no") }
	p, _ := Make(ctx, o, load(t))
	if w := p.Header.Warnings; len(w) != 1 || w[0] != "reading records: no: the run knows nothing of earlier ones, and no tag moves that may be held" {
		t.Errorf("the warnings are %q", w)
	}
}
