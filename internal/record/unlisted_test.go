package record

import (
	"slices"
	"testing"
	"time"

	"imagemirror/internal/stream"
)

// While the tags of a wildcard cannot be listed, its destinations are not gone: nobody knows. What
// other mappings named, and no more do, is.
func TestDestinationsOfAWildcardThatFailsStay(t *testing.T) {
	copied := func(tag string) line { return line{tag, stream.Copied, "a", ""} }
	held := map[string]*Hold{"quay.io/org/a:v1": NewHold(sha("a"), noon, "ann", "it crashes")}
	for _, c := range []struct {
		name, source, destination string
		stay                      bool
	}{
		{"the wildcard", "ci.example.com/a:v*", "quay.io/org/a", true},
		{"one to another repository", "ci.example.com/a:v*", "quay.io/org/b", false},
		{"one to a registry of the repository's name", "ci.example.com/a:v*", "quay.io:443/org/a", false},
		{"one tag", "ci.example.com/a:v9", "quay.io/org/a:v9", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := New("tekton").Apply(run(1, copied("v1"), copied("v2"))).WithHolds(held, noon)
			failed := run(2, line{"x", stream.Failed, "", ""})
			failed.Report.Results[0].Source, failed.Report.Results[0].Destination = c.source, c.destination
			r = r.Apply(failed)
			for _, tag := range []string{"v1", "v2"} {
				if d := r.Destination("quay.io/org/a:" + tag); d == nil || d.Gone.IsZero() != c.stay {
					t.Errorf("%s is %+v, want it gone: %v", tag, d, !c.stay)
				}
			}
			if stays := slices.ContainsFunc(r.Held(), func(d *Destination) bool { return d.Hold.Why == "it crashes" }); stays != c.stay {
				t.Errorf("v1 is held: %v, want %v", stays, c.stay)
			}
			// Once the wildcard is listed, what it does not match is gone.
			r = r.Apply(run(3, line{"v1", stream.Current, "a", "a"}))
			if d := r.Destination("quay.io/org/a:v2"); d == nil || d.Gone.IsZero() {
				t.Errorf("v2 is %+v, want it gone", d)
			}
			if d := r.Destination("quay.io/org/a:v1"); !d.Gone.IsZero() || d.LastGood != noon.Add(3*time.Hour) {
				t.Errorf("v1 is %+v, want it good", d)
			}
		})
	}
}
