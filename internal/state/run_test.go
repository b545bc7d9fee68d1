package state

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"imagemirror/internal/manifest"
	"imagemirror/internal/stream"
)

const digest = "sha256:0561bce5bdc5fd79af0e51c4f161ed7ab76aca4674e5f906555ff4c676b83e60"

// part returns a part of a plan about one mapping, which has to be copied if it has a shard.
func part(shard string, id int) *stream.Content {
	c := &stream.Content{
		Header:   stream.Header{Version: stream.Version, Stream: stream.Plan, Run: "r", Shard: shard, Mappings: 1, Cap: stream.Cap{InFlight: 4}},
		Sets:     []stream.Set{{Name: "set", Owners: []string{"owner"}}},
		Mappings: []stream.Mapping{{ID: id, Source: "a.io/b:c", Destination: "d.io/e:f", Set: "set", File: "mapping_x", Line: id}},
	}
	if shard == "" {
		c.Results = []stream.Result{{ID: id, Status: stream.Current, Digest: digest}}
	} else {
		c.Manifests = slices.Values([]manifest.Raw{{Digest: digest, Content: []byte("{}")}})
		c.Copies = []stream.Copy{{ID: id, Digest: digest, Bytes: 10}}
	}
	return c
}

// results returns the results of a shard that part returns. seconds tells them apart.
func results(plan *stream.Content, seconds int) *stream.Content {
	c := *plan
	c.Header.Stream, c.Manifests, c.Copies = stream.Results, nil, nil
	c.Results = []stream.Result{{ID: c.Mappings[0].ID, Status: stream.Copied, Digest: digest, Seconds: float64(seconds)}}
	return &c
}

// testRun checks what a run promises in either store.
func testRun(t *testing.T, open func(t *testing.T, run string) Store) {
	ctx := t.Context()
	run := func(t *testing.T, name string) *Run { return &Run{store: open(t, name), name: name, attempts: 3} }
	t.Run("a plan", func(t *testing.T) {
		r := run(t, "plan")
		last := part("s1", 3)
		manifests := last.Manifests
		last.Manifests = func(yield func(manifest.Raw) bool) {
			if _, err := r.Outline(ctx); !errors.Is(err, ErrNotThere) {
				t.Errorf("before the last shard is there, the plan is %v, want %v", err, ErrNotThere)
			}
			manifests(yield)
		}
		split := run(t, "plan")
		if err := errors.Join(split.Begin(ctx), split.PutPlan(ctx, []*stream.Content{part("", 1), part("s0", 2), last}, true)); err != nil {
			t.Fatal(err)
		}
		outline, err := r.Outline(ctx)
		if err != nil || !outline.DryRun || len(outline.Shards) != 2 {
			t.Fatalf("the outline is %+v, %v; want a dry run of two shards", outline, err)
		}
		shard, err := r.Shard(ctx, "s1")
		if err != nil {
			t.Fatal(err)
		}
		if n := len(slices.Collect(shard.Manifests)); n != 1 || shard.Header.Cap.InFlight != 4 {
			t.Errorf("the shard has %d manifests and the header %+v", n, shard.Header)
		}
		ignored := cmpopts.IgnoreFields(stream.Content{}, "Name", "Manifests", "Archive", "End")
		if diff := cmp.Diff(shard, outline.Shards[1], ignored); diff != "" || outline.Shards[1].Manifests != nil {
			t.Errorf("the shard and its outline (-shard +outline):\n%s", diff)
		}
		if settled, err := r.Settled(ctx, outline); err != nil || len(settled.Results) != 1 {
			t.Errorf("what is settled is %+v, %v", settled, err)
		}
		if err := errors.Join(r.Check(ctx, outline, 0), r.Check(ctx, outline, 1)); err != nil {
			t.Error(err)
		}
		if _, err := r.Shard(ctx, "s2"); !errors.Is(err, ErrNotThere) || !strings.HasPrefix(err.Error(), "the run plan has no shard s2") {
			t.Errorf("another shard is %v", err)
		}
	})
	t.Run("a plan that is not whole", func(t *testing.T) {
		r := run(t, "half")
		if err := r.store.Put(ctx, "shard-s1", literal("")); err != nil {
			t.Fatal(err)
		}
		if err := r.PutPlan(ctx, []*stream.Content{part("s0", 1), part("s1", 2)}, false); !errors.Is(err, ErrExists) {
			t.Errorf("putting it is %v, want %v", err, ErrExists)
		}
		if _, err := run(t, "half").Outline(ctx); !errors.Is(err, ErrNotThere) {
			t.Errorf("the outline is %v", err)
		}
	})
	t.Run("a run begins once", func(t *testing.T) {
		if begun, err := run(t, "begun").Begun(ctx); begun || err != nil {
			t.Errorf("before: %v, %v", begun, err)
		}
		if err := run(t, "begun").Begin(ctx); err != nil {
			t.Fatal(err)
		}
		if begun, err := run(t, "begun").Begun(ctx); !begun || err != nil {
			t.Errorf("after: %v, %v", begun, err)
		}
		if err := run(t, "begun").Begin(ctx); err == nil || !strings.Contains(err.Error(), "begun was started before") {
			t.Errorf("again: %v", err)
		}
	})
	t.Run("a refusal", func(t *testing.T) {
		if _, err := run(t, "refusal").Refusal(ctx); !errors.Is(err, ErrNotThere) {
			t.Errorf("before: %v", err)
		}
		if err := run(t, "refusal").Refuse(ctx, errors.New("one\ntwo")); err != nil {
			t.Fatal(err)
		}
		lines, err := run(t, "refusal").Refusal(ctx)
		if diff := cmp.Diff([]string{"one", "two"}, lines); diff != "" || err != nil {
			t.Errorf("%v, lines (-want +got):\n%s", err, diff)
		}
	})
	t.Run("attempts are numbered", func(t *testing.T) {
		r := run(t, "attempts")
		for n := range 3 {
			if err := run(t, "attempts").PutResults(ctx, "s0", results(part("s0", 7), n)); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.PutResults(ctx, "s0", part("s0", 7)); err == nil || !strings.HasPrefix(err.Error(), "the shard s0 has had 3 attempts") {
			t.Errorf("a fourth is %v", err)
		}
		want := "1 0 false\n2 1 false\n3 2 true\n"
		if got := told(r.Attempts(ctx, part("s0", 7))); got != want {
			t.Errorf("the attempts are\n%swant\n%s", got, want)
		}
		if got := told(r.Attempts(ctx, part("s1", 7))); got != "" {
			t.Errorf("the attempts at another shard are\n%s", got)
		}
	})
	t.Run("results that cannot be read", func(t *testing.T) {
		r := run(t, "damaged")
		if err := r.put(ctx, attemptObject("s0", 1), maxResults, literal("garbage\n")); err != nil {
			t.Fatal(err)
		}
		if all := r.Attempts(ctx, part("s0", 7)); len(all) != 1 || all[0].Err == nil || !strings.HasPrefix(all[0].Err.Error(), "results-s0-1 of the run damaged:1: ") {
			t.Errorf("the attempts are %+v", all)
		}
	})
	t.Run("the first report stays", func(t *testing.T) {
		r := run(t, "report")
		for _, text := range []string{"first", "second"} {
			if err := r.PutReport(ctx, "report.json", literal(text)); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := r.get(ctx, "report.json", 9); err != nil || string(got) != "first" {
			t.Errorf("the report is %q, %v", got, err)
		}
	})
}

// testPieces checks what a run promises if the store is another process, or files.
func testPieces(t *testing.T, open func(t *testing.T, run string) Store) {
	t.Run("a plan is put piece by piece", func(t *testing.T) {
		const parts, size = 24, 1 << 20
		before := heap()
		var plan []*stream.Content
		for n := range parts {
			p := part(fmt.Sprintf("s%02d", n), n)
			p.Manifests = func(yield func(manifest.Raw) bool) {
				content := make([]byte, size)
				_, _ = rand.NewChaCha8([32]byte{byte(n)}).Read(content) // does not compress
				yield(manifest.Raw{Digest: digest, Content: content})
				if held := heap() - before; n == parts-1 && held > parts*size/2 {
					t.Errorf("%d bytes are in memory behind %d manifests of %d bytes", held, parts, size)
				}
			}
			plan = append(plan, p)
		}
		if err := (&Run{store: open(t, "large"), name: "large"}).PutPlan(t.Context(), plan, false); err != nil {
			t.Fatal(err)
		}
	})
}

// heap returns the bytes that are in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// told returns a line for each attempt: its number, the seconds of its result, and whether it is
// the last.
func told(all []Attempt) string {
	var b strings.Builder
	for _, a := range all {
		fmt.Fprintln(&b, a.Number, a.Results.Results[0].Seconds, a.Last)
	}
	return b.String()
}
