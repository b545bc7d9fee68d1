package execute

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"imagemirror/internal/stream"
)

const digest = "sha256:0561bce5bdc5fd79af0e51c4f161ed7ab76aca4674e5f906555ff4c676b83e60"

// shardOf returns a plan with one copy for each ID, and one settled mapping where settled is not 0.
func shardOf(t *testing.T, run, name string, settled int, ids ...int) *stream.Content {
	t.Helper()
	var out bytes.Buffer
	all := ids
	if settled != 0 {
		all = append([]int{settled}, ids...)
	}
	w := stream.NewWriter(&out, stream.Header{Stream: stream.Plan, Run: run, Shard: name, Mappings: len(all)})
	w.Set(stream.Set{Name: "set", Owners: []string{"owner"}})
	for _, id := range all {
		w.Mapping(stream.Mapping{ID: id, Source: "a.io/b:c", Destination: "d.io/e:f" + strings.Repeat("f", id), Set: "set", File: "mapping_x", Line: id})
	}
	if settled != 0 {
		w.Result(stream.Result{ID: settled, Status: stream.Current, Digest: digest})
	}
	for _, id := range ids {
		w.Copy(stream.Copy{ID: id, Digest: digest, Bytes: 10})
	}
	if err := w.End(); err != nil {
		t.Fatal(err)
	}
	c, err := stream.Read(&out, name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestGather(t *testing.T) {
	p, err := Gather([]*stream.Content{shardOf(t, "r", "s0", 1, 2, 3), shardOf(t, "r", "s1", 0, 4)})
	if err != nil {
		t.Fatal(err)
	}
	if images, size := p.Work(); images != 3 || size != 30 {
		t.Errorf("the work is %d images and %d bytes, want 3 and 30", images, size)
	}
	if p.header.Mappings != 4 || p.header.Shard != "s0,s1" || p.header.Run != "r" || len(p.sets) != 1 || len(p.results) != 1 {
		t.Errorf("the plan is %+v with %d sets and %d results, want both shards' 4 mappings, one set and one result", p.header, len(p.sets), len(p.results))
	}
}

func TestGatherRefuses(t *testing.T) {
	cut := shardOf(t, "r", "s0", 0, 1)
	cut.End, cut.Cut = nil, errors.New("s0:3: the stream is cut")
	results := shardOf(t, "r", "results", 0, 1)
	results.Header.Stream = stream.Results
	nonsense := shardOf(t, "r", "s0", 0, 1)
	nonsense.Mappings[0].Destination = "HTTP://x"
	for _, c := range []struct {
		name   string
		shards []*stream.Content
		says   string
	}{
		{"a cut", []*stream.Content{cut}, "nothing was copied"},
		{"results", []*stream.Content{results}, "has results, not a plan"},
		{"two runs", []*stream.Content{shardOf(t, "r", "s0", 0, 1), shardOf(t, "q", "s1", 0, 2)}, "of another run"},
		{"a shard twice", []*stream.Content{shardOf(t, "r", "s0", 0, 1), shardOf(t, "r", "s0", 0, 1)}, "name each shard once"},
		{"a name that is none", []*stream.Content{nonsense}, "not an image name"},
	} {
		if _, err := Gather(c.shards); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want an error that says %q", c.name, err, c.says)
		}
	}
}
