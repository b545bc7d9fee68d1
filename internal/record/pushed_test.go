package record

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/report"
	"imagemirror/internal/stream"
)

// withTags gives the results of a run additional tags.
func withTags(u Update, kept string, tags ...report.Tagged) Update {
	for _, m := range u.Report.Results {
		m.Tags, m.Kept = tags, kept
	}
	return u
}

// A record tells what runs have pushed from what they have seen, with the additional tags.
func TestPushesAreRecorded(t *testing.T) {
	r := New("tekton").Apply(run(0, line{"v1", stream.Current, "a", "a"}))
	if r.Destinations[0].Pushed() {
		t.Error("a tag that was only seen counts as pushed")
	}
	r = r.Apply(withTags(run(1, line{"v1", stream.Copied, "b", "a"}), "v1-previous", report.Tagged{Tag: "v1-bbbb"}, report.Tagged{Error: "no"}, report.Tagged{Tag: "../x"}))
	r = r.Apply(run(2, line{"v1", stream.Current, "c", "c"}))
	r = r.Apply(withTags(run(3, line{"v1", stream.Copied, "c", ""}), "", report.Tagged{Tag: "v1-cccc"}))
	var got []Move
	for _, m := range r.Destinations[0].Moves {
		got = append(got, Move{Digest: m.Digest, Wrote: m.Wrote, Tags: m.Tags, Kept: m.Kept})
	}
	want := []Move{
		{Digest: sha("a")}, {Digest: sha("b"), Wrote: true, Tags: []string{"v1-bbbb"}, Kept: "v1-previous"},
		{Digest: sha("c"), Wrote: true, Tags: []string{"v1-cccc"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("moves (-want +got):\n%s", diff)
	}
	wantReadAgain(t, r)
}

// wantReadAgain checks that a record is the same once it was written and read.
func wantReadAgain(t *testing.T, r *Record) {
	t.Helper()
	content, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Decode(content)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, again); diff != "" {
		t.Errorf("read again (-written +read):\n%s", diff)
	}
}

// What runs have pushed stays in the record until it is pruned; anything else is dropped.
func TestGoneDestinationsAreKeptIfTheyWerePushed(t *testing.T) {
	r := New("tekton").Apply(run(0, line{"v1", stream.Copied, "a", ""}, line{"v2", stream.Current, "b", "b"}, line{"v3", stream.Copied, "c", ""}))
	r = r.Apply(run(1, line{"v3", stream.Current, "c", "c"}))
	r = r.Apply(run(2+24*400, line{"v3", stream.Current, "c", "c"}))
	if gone := r.Destination("quay.io/org/a:v1"); len(r.Destinations) != 2 || gone == nil || gone.Gone.IsZero() {
		t.Errorf("after a year the record has %v, want v1, which was pushed, and v3", brief(r))
	}
	less := r.Without(func(d *Destination) bool { return !d.Gone.IsZero() })
	if len(less.Destinations) != 1 || len(r.Destinations) != 2 || less.Without(func(*Destination) bool { return false }) != less {
		t.Errorf("without what is gone it is %v", brief(less))
	}
}

// Of what is gone, what went first is kept: it is pruned first.
func TestGoneDestinationsAreBounded(t *testing.T) {
	var all []*Destination
	for i := range MaxGone + 10 {
		all = append(all, &Destination{Name: fmt.Sprintf("q.io/a:gone-%05d", i), Gone: noon.Add(time.Duration(i) * time.Minute)}, &Destination{Name: fmt.Sprintf("q.io/a:used-%05d", i)})
	}
	kept := capDestinations(all)
	if len(kept) != 2*MaxGone+10 {
		t.Fatalf("%d are kept, want %d in use and %d that are gone", len(kept), MaxGone+10, MaxGone)
	}
	if last := kept[MaxGone-1]; last.Name != fmt.Sprintf("q.io/a:gone-%05d", MaxGone-1) {
		t.Errorf("the last one that is gone is %s", last.Name)
	}
}
