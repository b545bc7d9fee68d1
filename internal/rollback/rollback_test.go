package rollback

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/imageset"
	"imagemirror/internal/record"
	"imagemirror/internal/report"
	"imagemirror/internal/settings"
	"imagemirror/internal/stream"
)

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func at(hours int) time.Time { return noon.Add(time.Duration(hours) * time.Hour) }

func sha(c byte) string { return "sha256:" + strings.Repeat(string(c), 64) }

// setOf returns a set with the lines of a mapping file, of which tags v*.0 are immutable.
func setOf(t *testing.T, lines ...string) *imageset.Set {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "web")
	files := map[string]string{
		"mapping_x":   strings.Join(lines, "\n"),
		settings.File: "apiVersion: imagemirror/v1\nkind: Settings\nmetadata:\n  name: web\nspec:\n  immutable: [\"v*.0\"]\n",
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	input, err := imageset.Load([]string{dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return input.Sets[0]
}

// destination returns a destination whose tag had digests, an hour after the other from noon on.
func destination(name, digests string) *record.Destination {
	d := &record.Destination{Name: name}
	for i := range len(digests) {
		d.Digest = sha(digests[i])
		d.Moves = append(d.Moves, &record.Move{Digest: d.Digest, When: at(i), Run: fmt.Sprint("run-", i)})
	}
	return d
}

func recordOf(destinations ...*record.Destination) *record.Record {
	r := record.New("web")
	r.Runs = []*record.Run{{ID: "run-0", End: at(0), Verdict: record.Good}, {ID: "run-1", End: at(1), Verdict: record.Good}}
	r.Destinations = destinations
	return r
}

// What is chosen depends on the record, on the names and on what the set's files allow today.
func TestChoose(t *testing.T) {
	set := setOf(t, "ci.example.com/a:v1 quay.io/m/a:v1", "ci.example.com/b:v* quay.io/m/b", "ci.example.com/a:v1.0 quay.io/m/a:v1.0", "ci.example.com/c:v1 docker.io/m/c:v1", "ci.example.com/d:* quay.io/m/d")
	gone := destination("quay.io/m/z:v1", "ab")
	gone.Gone = noon
	r := recordOf(
		destination("docker.io/m/c:v1", "ab"), destination("quay.io/evil/x:v1", "ab"), destination("quay.io/m/a:v1", "abc"), destination("quay.io/m/a:v1.0", "ab"),
		destination("quay.io/m/b:old", "ab"), destination("quay.io/m/b:v2", "a"), destination("quay.io/m/b:v3", "aba"), destination("quay.io/m/b@"+sha('a'), "a"),
		destination("quay.io/m/d", ""), destination("quay.io/m/d:v1", "ab"), destination("quay.io/m/d@"+sha('a'), "a"), destination("quay.io/m/e", ""), gone)
	for _, c := range []struct {
		name  string
		names []string
		to    string
		want  map[string]string // by tag: a digest's character, or the beginning of why not
		err   string
	}{
		{name: "all", want: map[string]string{
			"docker.io/m/c:v1": "a", "quay.io/evil/x:v1": "stays: no mapping", "quay.io/m/a:v1": "b", "quay.io/m/a:v1.0": "stays: its tag is immutable",
			"quay.io/m/b:old": "stays: no mapping", "quay.io/m/b:v2": "stays: the record has no earlier digest", "quay.io/m/b:v3": "b",
			"quay.io/m/b@" + sha('a'): "stays: it has no tag", "quay.io/m/d:v1": "a", "quay.io/m/d@" + sha('a'): "stays: it has no tag",
		}},
		{name: "a repository whose tags could not be listed", names: []string{"quay.io/m/d"}, want: map[string]string{"quay.io/m/d:v1": "a"}},
		{name: "an image without a tag", names: []string{"quay.io/m/d@" + sha('a')}, want: map[string]string{"quay.io/m/d@" + sha('a'): "fails: it has no tag"}},
		{name: "a repository of which nothing is known", names: []string{"quay.io/m/e"}, err: "quay.io/m/e is not among the destinations"},
		{name: "a tag", names: []string{"quay.io/m/a:v1"}, want: map[string]string{"quay.io/m/a:v1": "b"}},
		{name: "a tag by another name", names: []string{"m/c:v1"}, want: map[string]string{"docker.io/m/c:v1": "a"}},
		{name: "a repository", names: []string{"quay.io/m/a"}, want: map[string]string{"quay.io/m/a:v1": "b", "quay.io/m/a:v1.0": "fails: its tag is immutable"}},
		{name: "a tag of no mapping", names: []string{"quay.io/evil/x:v1"}, want: map[string]string{"quay.io/evil/x:v1": "fails: no mapping"}},
		{name: "unknown", names: []string{"quay.io/m/a:v1", "quay.io/m/q:v1", "x\x1b"}, err: "is not among the destinations in the record of web"},
		{name: "gone", names: []string{"quay.io/m/z:v1"}, err: "no mapping of web has named quay.io/m/z:v1 since 2026-11-29T12:00:00Z: restore the mapping"},
		{name: "a repository that is gone", names: []string{"quay.io/m/z"}, err: "no mapping of web has named quay.io/m/z since"},
		{name: "a run", names: []string{"quay.io/m/a:v1"}, to: "run-0", want: map[string]string{"quay.io/m/a:v1": "a"}},
		{name: "a run that only moves have", names: []string{"quay.io/m/a:v1"}, to: "run-2", want: map[string]string{"quay.io/m/a:v1": "c"}},
		{name: "a time", names: []string{"quay.io/m/a:v1"}, to: "2026-11-29T13:59:59Z", want: map[string]string{"quay.io/m/a:v1": "b"}},
		{name: "another form", names: []string{"quay.io/m/a:v1"}, to: "2026-11-29 12:30", want: map[string]string{"quay.io/m/a:v1": "a"}},
		{name: "an age", names: []string{"quay.io/m/a:v1"}, to: "150m", want: map[string]string{"quay.io/m/a:v1": "b"}},
		{name: "an age in days", names: []string{"quay.io/m/a:v1"}, to: "1d", want: map[string]string{"quay.io/m/a:v1": "fails: the record does not know"}},
		{name: "before the record begins", names: []string{"quay.io/m/a:v1"}, to: "2026-11-29", want: map[string]string{"quay.io/m/a:v1": "fails: the record does not know what it was at then: it begins at 2026-11-29T12:00:00Z"}},
		{name: "the future", to: "2027-01-01", err: "which is not over yet"},
		{name: "no time", to: "yesterday\x1b[31m", err: `-to is "yesterday`},
	} {
		t.Run(c.name, func(t *testing.T) {
			back, err := Choose(Options{Set: set, Record: r, Names: c.names, To: c.to, Now: func() time.Time { return at(4) }})
			if (err == nil) != (c.err == "") || err != nil && (!strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "\x1b")) {
				t.Fatalf("got %v, want %q", err, c.err)
			}
			if err != nil {
				return
			}
			got := map[string]string{}
			for _, tag := range back.Tags {
				to, why := back.moment.digestOf(tag.Destination, tag.Digest)
				if why != "" && tag.chosen() {
					back.refuse(tag, why)
				}
				switch {
				case tag.Err != nil:
					got[tag.Name] = "fails: " + tag.Err.Error()
				case tag.Left != "":
					got[tag.Name] = "stays: " + tag.Left
				default:
					got[tag.Name] = to[7:8]
				}
				if want := c.want[tag.Name]; want != "" && strings.HasPrefix(got[tag.Name], want) {
					got[tag.Name] = want
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("chosen (-want +got):\n%s", diff)
			}
		})
	}
}

// A world is the tags of a set, the images that their sources have, and the record of its runs.
type world struct {
	t      *testing.T
	set    *imageset.Set
	random *rand.Rand
	tags   map[string]string
	source map[string]string
	record *record.Record
	clock  int
}

// run mirrors what no hold keeps, as split and copy do, and records it.
func (w *world) run() string {
	w.clock++
	b := report.NewBuilder()
	b.MarkExecuted()
	c := &stream.Content{Header: stream.Header{Stream: stream.Results, Run: "r", Mappings: len(w.tags)}, End: &stream.End{Ended: at(w.clock)}, Sets: []stream.Set{{Name: "web"}}}
	for i, m := range w.set.Mappings {
		name := m.Destination.String()
		c.Mappings = append(c.Mappings, stream.Mapping{ID: i, Source: m.Source.String(), Destination: name, Set: "web", File: "mapping_x", Line: i + 1})
		result := stream.Result{ID: i, Status: stream.Current, Digest: w.source[name], Old: w.tags[name]}
		held := false
		if d := w.record.Destination(name); d != nil && d.Hold != nil {
			held = !d.Hold.IsOver(w.source[name], at(w.clock))
		}
		switch {
		case result.Old == result.Digest:
		case held:
			result.Status = stream.Held
		default:
			result.Status, w.tags[name] = stream.Copied, result.Digest
		}
		c.Results = append(c.Results, result)
	}
	if err := b.Add(c); err != nil {
		w.t.Fatal(err)
	}
	r := b.Report().BySet()["web"]
	r.Run = report.Run{ID: fmt.Sprint("run-", w.clock), Start: at(w.clock).Add(-time.Minute), End: at(w.clock)}
	w.record = w.record.Apply(record.Update{Report: r, Whole: true, Now: at(w.clock).Add(time.Second)})
	return r.Run.ID
}

// A memory is a Store of one record.
type memory struct{ *world }

func (m memory) List(context.Context) ([]record.Item, error)          { return nil, nil }
func (m memory) Load(context.Context, string) (*record.Record, error) { return m.record, nil }
func (m memory) Update(_ context.Context, _ string, change func(*record.Record) *record.Record) error {
	m.record = change(m.record)
	_, err := m.record.Encode()
	return err
}

// back rolls the tags back, as the command does, and returns those that it left as they were.
func (w *world) back(to string) (stayed []string) {
	w.t.Helper()
	w.clock++
	r, err := Choose(Options{Set: w.set, Record: w.record, To: to, Now: func() time.Time { return at(w.clock) }})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, t := range r.Tags {
		if t.chosen() {
			t.From, t.held = w.tags[t.Name], w.source[t.Name]
			if t.To, t.Left = r.moment.digestOf(t.Destination, t.From); t.Left != "" {
				t.To = ""
			}
		}
		if !t.chosen() {
			stayed = append(stayed, t.Name)
		}
	}
	if err := r.Hold(w.t.Context(), memory{w}); err != nil {
		w.t.Fatal(err)
	}
	p := r.Plan()
	results := &stream.Content{Header: p.Header, Mappings: p.Mappings, Results: p.Results}
	for _, c := range p.Copies {
		w.tags[p.Mappings[c.ID-1].Destination] = c.Digest
		results.Results = append(results.Results, stream.Result{ID: c.ID, Status: stream.Copied, Digest: c.Digest, Old: c.Old})
	}
	if err := r.Keep(w.t.Context(), memory{w}, results); err != nil {
		w.t.Fatal(err)
	}
	return stayed
}

// except returns the tags without some.
func (w *world) except(some []string, tags map[string]string) map[string]string {
	tags = maps.Clone(tags)
	maps.DeleteFunc(tags, func(name, _ string) bool { return slices.Contains(some, name) })
	return tags
}

// After any history, a rollback and another one leave each tag where it was. A rollback to a run
// brings back what that left, as often as it is done. No run undoes it before a source moves.
func TestRollbackTwiceIsTheIdentity(t *testing.T) {
	set := setOf(t, "ci.example.com/a:v1 quay.io/m/a:v1", "ci.example.com/b:v1 quay.io/m/b:v1", "ci.example.com/c:v1 quay.io/m/c:v1")
	for seed := range uint64(100) {
		w := &world{t: t, set: set, random: rand.New(rand.NewPCG(seed, 1)), tags: map[string]string{}, source: map[string]string{}, record: record.New("web")}
		image := func() string { return sha("abcdef"[w.random.IntN(6)]) }
		left := map[string]map[string]string{} // tags after runs
		var last string
		for _, m := range set.Mappings {
			w.source[m.Destination.String()] = image()
		}
		for range 2 + w.random.IntN(8) {
			last = w.run()
			left[last] = maps.Clone(w.tags)
			for name := range w.source {
				switch w.random.IntN(6) {
				case 0, 1:
					w.source[name] = image()
				case 2:
					w.tags[name] = image() // by somebody else
				}
			}
			if w.random.IntN(4) == 0 {
				w.back("")
			}
		}
		before := maps.Clone(w.tags)
		stayed := w.back("")
		once := maps.Clone(w.tags)
		w.run()
		if diff := cmp.Diff(w.except(stayed, once), w.except(stayed, w.tags)); diff != "" {
			t.Fatalf("seed %d: a run undid the rollback:\n%s", seed, diff)
		}
		w.back("")
		if diff := cmp.Diff(w.except(stayed, before), w.except(stayed, w.tags)); diff != "" {
			t.Fatalf("seed %d: after two rollbacks (-before +after):\n%s", seed, diff)
		}
		for range 2 {
			w.back(last)
			if diff := cmp.Diff(left[last], w.tags); diff != "" {
				t.Fatalf("seed %d: after a rollback to %s (-then +now):\n%s", seed, last, diff)
			}
		}
	}
}

// A record that changed since the rollback was made is left alone, and nothing moves.
func TestChangedRecordIsLeftAlone(t *testing.T) {
	set := setOf(t, "ci.example.com/a:v1 quay.io/m/a:v1")
	w := &world{t: t, set: set, tags: map[string]string{}, source: map[string]string{"quay.io/m/a:v1": sha('a')}, record: record.New("web")}
	w.run()
	w.source["quay.io/m/a:v1"] = sha('b')
	w.run()
	r, err := Choose(Options{Set: set, Record: w.record, Now: func() time.Time { return at(9) }})
	if err != nil {
		t.Fatal(err)
	}
	w.source["quay.io/m/a:v1"] = sha('c')
	w.run()
	now := w.record
	if err := r.Hold(t.Context(), memory{w}); err == nil || err.Error() != "a run has recorded quay.io/m/a:v1 meanwhile: run rollback again" || w.record != now {
		t.Errorf("got %v", err)
	}
}

// FuzzPointInTime: any -to is a time that is over, or is refused in one printable line.
func FuzzPointInTime(f *testing.F) {
	r := recordOf(destination("quay.io/m/a:v1", "abc"))
	for _, to := range []string{"", "run-1", "2026-11-29", "36h", "-1h", "9999-01-01T00:00:00Z", "run-2", "2026-11-29T12:00:00+14:00", "\x1b"} {
		f.Add(to)
	}
	f.Fuzz(func(t *testing.T, to string) {
		m, err := parsePointInTime(to, r, at(4))
		if err == nil && m.After(at(4)) {
			t.Errorf("%q is %s", to, m)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\n\x1b") {
			t.Errorf("%q: %v", to, err)
		}
	})
}
