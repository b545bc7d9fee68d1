package record

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/stream"
)

// held returns a record in which the tag v1 had the digest a and then b, and is held at a since
// half an hour after noon.
func held(change ...func(*Hold)) *Record {
	r := New("tekton").Apply(run(-2, line{"v1", stream.Copied, "a", ""})).Apply(run(-1, line{"v1", stream.Copied, "b", "a"}))
	h := NewHold(sha("a"), noon.Add(30*time.Minute), "ann", "v1 crashes")
	h.Source = sha("b")
	for _, f := range change {
		f(h)
	}
	name := r.Destinations[0].Name
	r = r.WithHolds(map[string]*Hold{name: h}, h.Since)
	return r.WithRolledBack(map[string]RolledBack{name: {From: sha("b"), To: sha("a")}}, h.Since.Add(time.Second), "rollback-1")
}

// A hold ends with a run that knew of it and moved the tag on, or at its time.
func TestHoldsAfterRuns(t *testing.T) {
	forTime := func(h *Hold) { h.Source, h.Until = "", noon.Add(2*time.Hour) }
	for _, c := range []struct {
		name   string
		before *Record
		run    Update
		digest string // of the tag, as the record has it then
		source string // of the hold; "over" if there is none
	}{
		{"it is held", held(), run(1, line{"v1", stream.Held, "b", "a"}), "a", "b"},
		{"the source moves", held(), run(1, line{"v1", stream.Copied, "c", "a"}), "c", "over"},
		{"the source goes back to the image", held(), run(1, line{"v1", stream.Current, "a", "a"}), "a", "over"},
		{"the source moves, and copying fails", held(), run(1, line{"v1", stream.Failed, "c", "a"}), "a", "b"},
		{"a run fails", held(), run(1, line{"v1", stream.Failed, "", ""}), "a", "b"},
		{"a run puts off", held(), run(1, line{"v1", stream.Deferred, "c", "a"}), "a", "b"},
		{"a run that had begun before", held(), early(run(1, line{"v1", stream.Copied, "c", "b"})), "c", "b"},
		{"a run that knew of no record", held(), run(1, line{"v1", stream.Copied, "b", "a"}), "b", "b"},
		{"for a time, and the source moves", held(forTime), run(1, line{"v1", stream.Held, "c", "a"}), "a", ""},
		{"the time is over", held(forTime), run(3, line{"v1", stream.Copied, "b", "a"}), "b", "over"},
		{"the time is over, and copying fails", held(forTime), run(3, line{"v1", stream.Failed, "b", "a"}), "a", "over"},
		{"the mapping is gone", held(), run(1, line{"v2", stream.Copied, "a", ""}), "a", "b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := c.before.Apply(c.run).Destinations[0]
			source := "over"
			if d.Hold != nil {
				source = d.Hold.Source[min(7, len(d.Hold.Source)):min(8, len(d.Hold.Source))]
			}
			if d.Digest != sha(c.digest) || source != c.source {
				t.Errorf("the tag is at %s, and its hold is for the source %q, want %s and %q", d.Digest, source, sha(c.digest), c.source)
			}
		})
	}
}

// early returns the update of a run that began before noon.
func early(u Update) Update {
	u.Report.Run.Start = noon
	return u
}

func TestHoldIsOver(t *testing.T) {
	h := &Hold{Digest: sha("a"), Source: sha("b")}
	for source, want := range map[string]bool{sha("b"): false, sha("c"): true, sha("a"): true, "": false} {
		if h.IsOver(source, noon) != want {
			t.Errorf("with the source at %q: over is %v", source, !want)
		}
	}
	h = &Hold{Digest: sha("a"), Until: noon}
	if h.IsOver(sha("c"), noon.Add(-time.Second)) || !h.IsOver("", noon) {
		t.Error("a hold for a time ends with the source, or not with the time")
	}
}

// A rollback is in the history, and its hold is kept in each form of the record.
func TestHoldsAreKept(t *testing.T) {
	r := held()
	d := r.Destinations[0]
	var moves []string
	for _, m := range d.Moves {
		moves = append(moves, fmt.Sprint(m.Digest[7:8], " ", m.Run, " ", m.Wrote))
	}
	if diff := cmp.Diff([]string{"a run--2 true", "b run--1 true", "a rollback-1 true"}, moves); diff != "" || d.Hold.Moving {
		t.Errorf("moves (-want +got), moving is %v:\n%s", d.Hold.Moving, diff)
	}
	wantReadAgain(t, r)
	p, err := r.pack(nil, limits{inline: maxInline, segment: maxSegment})
	if err != nil {
		t.Fatal(err)
	}
	if unpacked, err := p.unpack(); err != nil || unpacked.Held()[0].Hold.Story() != "held at aaaaaaaaaaaa until its source moves, since 2026-03-01T12:30:00Z by ann: v1 crashes" {
		t.Errorf("unpacked %v, %v", unpacked, err)
	}
}

func TestDecodeRefusesHolds(t *testing.T) {
	content, err := held().Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, replaced := range map[string][2]string{
		"no digest":      {`"hold":{"digest":"` + sha("a"), `"hold":{"digest":"sha256:../..`},
		"no source":      {`"source":"` + sha("b"), `"source":"x`},
		"no time":        {`"since":"2026-03-01T12:30:00Z","by"`, `"since":"0001-01-01T00:00:00Z","by"`},
		"an escape":      {`"by":"ann"`, `"by":"\u001b[31m"`},
		"a long text":    {`"why":"v1`, `"why":"` + strings.Repeat("x", maxWhy)},
		"an unknown key": {`"by":"ann"`, `"at":"ann"`},
	} {
		changed := strings.Replace(string(content), replaced[0], replaced[1], 1)
		if changed == string(content) {
			t.Errorf("%s: the record has no %s", name, replaced[0])
		} else if _, err := Decode([]byte(changed)); err == nil {
			t.Errorf("%s: it is read", name)
		}
	}
	h := NewHold(sha("a"), noon, strings.Repeat("a", 1000), "x\x1b[31m\n"+strings.Repeat("y", 1000))
	h.Source = sha("b")
	if err := h.check(); err != nil {
		t.Errorf("what people write: %v", err)
	}
}
