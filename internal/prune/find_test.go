package prune

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"imagemirror/internal/record"
	"imagemirror/internal/reference"
)

var now = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func sha(c string) string { return "sha256:" + strings.Repeat(c, 64) }

func ago(days int) time.Time { return now.Add(-time.Duration(days) * 24 * time.Hour) }

func destination(tag string, gone time.Time, moves ...*record.Move) *record.Destination {
	return &record.Destination{Name: "q.io/org/a:" + tag, Gone: gone, Moves: moves, File: "mapping_a", Line: 3, Source: "ci.io/a:" + tag}
}

func TestFind(t *testing.T) {
	r := record.New("set")
	r.Destinations = []*record.Destination{
		destination("gone", ago(31), &record.Move{Digest: sha("0")}, &record.Move{Digest: sha("a"), Wrote: true, Tags: []string{"gone-aaaa", "shared", "named"}, Kept: "of-others"},
			&record.Move{Digest: sha("b"), Wrote: true, Tags: []string{"gone-bbbb"}, Kept: "gone-previous"}),
		destination("live", time.Time{}, &record.Move{Digest: sha("a"), Wrote: true, Tags: []string{"shared"}}),
		destination("again", ago(31), &record.Move{Digest: sha("a"), Wrote: true}),
		destination("elsewhere", ago(31), &record.Move{Digest: sha("a"), Wrote: true}),
		destination("lately", ago(31), &record.Move{Digest: sha("a"), Wrote: true}),
		destination("seen", ago(31), &record.Move{Digest: sha("a")}),
		destination("young", ago(29), &record.Move{Digest: sha("a"), Wrote: true}),
		{Name: "q.io/org/a@" + sha("a"), Gone: ago(31), Moves: []*record.Move{{Digest: sha("a"), Wrote: true}}},
	}
	r.Destinations[0].Hold = record.NewHold(sha("b"), ago(40), "ann", "v2 crashes")
	other := record.New("other")
	other.Destinations = []*record.Destination{destination("elsewhere", time.Time{}), destination("lately", ago(3))}
	wants := map[string]bool{"q.io/org/a:again": true, "q.io/org/a:named": true}
	found, left := Find(Question{Record: r, Others: []*record.Record{other}, Now: now, After: 30 * 24 * time.Hour, Wanted: func(name string) bool { return wants[name] }})
	if len(found) != 1 || found[0].Tag.Tag != "gone" {
		t.Fatalf("found %+v, want the tag gone alone", found)
	}
	want := []With{{Additional, "gone-aaaa", sha("a")}, {Additional, "gone-bbbb", sha("b")}, {Kept, "gone-previous", sha("a")}}
	if !slices.Equal(found[0].With, want) || !slices.Equal(found[0].Digests, []string{sha("a"), sha("b")}) {
		t.Errorf("with it go %v of %v, want %v", found[0].With, found[0].Digests, want)
	}
	if !strings.Contains(found[0].Reason, "the last was mapping_a:3, with the source ci.io/a:gone; it is held at bbbbbbbbbbbb") || !strings.HasSuffix(found[0].Reason, "by ann: v2 crashes") {
		t.Errorf("the reason is %s", found[0].Reason)
	}
	var why []string
	for _, l := range left {
		why = append(why, l.Tag[len("q.io/org/a"):]+" "+l.Why)
	}
	for i, says := range []string{
		":again a mapping names it now", ":elsewhere by the records it is a destination of another set", ":lately by the records it is",
		":seen no run of the set has pushed it", ":young no mapping has named it since 2026-10-31", "@" + sha("a") + " it has no tag",
	} {
		if len(why) != 6 || !strings.HasPrefix(why[i], says) {
			t.Fatalf("left %q, want one that says %s", why, says)
		}
	}
}

// Whatever a record has, nothing is found that a mapping wants, that a destination in use has as an
// additional tag, or that no run of the set has pushed.
func TestNothingIsFoundThatIsWanted(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	tag := func() string { return fmt.Sprintf("t%c", 'a'+random.IntN(12)) }
	digest := func() string { return sha(fmt.Sprintf("%x", random.IntN(5))) }
	found := 0
	for range 2000 {
		records := []*record.Record{record.New("set"), record.New("other")}
		used := map[string]bool{}
		for _, r := range records {
			for i := range 12 {
				if random.IntN(2) == 0 {
					continue
				}
				d := destination(fmt.Sprintf("t%c", 'a'+i), time.Time{})
				if random.IntN(2) == 0 {
					d.Gone = ago(random.IntN(60))
				}
				for range random.IntN(4) {
					m := &record.Move{Digest: digest(), Wrote: random.IntN(2) == 0}
					if m.Wrote {
						m.Tags, m.Kept = []string{tag()}, tag()
					}
					d.Moves = append(d.Moves, m)
				}
				r.Destinations = append(r.Destinations, d)
			}
		}
		wants := map[string]bool{}
		for range random.IntN(6) {
			wants["q.io/org/a:"+tag()] = true
		}
		for i, r := range records {
			for _, d := range r.Destinations {
				if now.Sub(d.Gone) < 30*24*time.Hour || d.Gone.IsZero() || i == 0 && wants[d.Name] {
					used[d.Name] = true
					for _, m := range d.Moves {
						for _, tag := range append(slices.Clone(m.Tags), m.Kept) {
							used["q.io/org/a:"+tag] = true
						}
					}
				}
			}
		}
		list, _ := Find(Question{Record: records[0], Others: records[1:], Now: now, After: 30 * 24 * time.Hour, Wanted: func(name string) bool { return wants[name] }})
		for _, c := range list {
			found++
			d := records[0].Destination(c.Tag.String())
			if wants[c.Tag.String()] || used[c.Tag.String()] || now.Sub(d.Gone) < 30*24*time.Hour || !d.Pushed() {
				t.Fatalf("%s is found, and is wanted %v, used %v, gone %v", c.Tag, wants[c.Tag.String()], used[c.Tag.String()], d.Gone)
			}
			for _, digest := range c.Digests {
				if !slices.ContainsFunc(d.Moves, func(m *record.Move) bool { return m.Wrote && m.Digest == digest }) {
					t.Fatalf("%s may be at %s, which no run has pushed", c.Tag, digest)
				}
			}
			for _, w := range c.With {
				if name := (reference.Reference{Registry: "q.io", Repository: "org/a", Tag: w.Tag}).String(); wants[name] || used[name] {
					t.Fatalf("%s goes with %s, and is wanted or used", name, c.Tag)
				}
			}
		}
	}
	if found < 100 {
		t.Errorf("only %d tags were found: the test tests nothing", found)
	}
}
