package execute

import (
	"fmt"
	"strings"
	"testing"

	"imagemirror/internal/stream"
)

// results returns those of a shard, whose mappings have the destinations, and, in the same order,
// the statuses.
func results(shard string, destinations []string, statuses ...string) *stream.Content {
	c := &stream.Content{Header: stream.Header{Shard: shard}}
	for i, d := range destinations {
		c.Mappings = append(c.Mappings, stream.Mapping{ID: i, Destination: d})
		if i < len(statuses) {
			c.Results = append(c.Results, stream.Result{ID: i, Status: statuses[i], Digest: digest})
		}
	}
	return c
}

func TestTally(t *testing.T) {
	many, all := []string{}, []string{}
	for i := range 40 {
		many = append(many, fmt.Sprintf("d.io/image-%02d:v1", i))
		all = append(all, stream.Copied)
	}
	for _, c := range []struct {
		name             string
		shards           []*stream.Content
		images, sentence string
	}{
		{"nothing copied", []*stream.Content{results("s0", []string{"d.io/a:v1", "d.io/b:v1"}, stream.Failed, stream.Current)},
			"", "s0: 0 of 2 mappings copied, 1 failed"},
		{"two tags of an image, and a mapping without a tag", []*stream.Content{results("s0", []string{"d.io/a:v1", "d.io/a:v2", "d.io/b"}, stream.Copied, stream.Copied, stream.Copied)},
			"d.io/a@" + digest + "\nd.io/b@" + digest, "s0: 3 of 3 mappings copied, 0 failed"},
		{"two shards", []*stream.Content{results("s0", []string{"d.io/a:v1"}, stream.Copied), results("s1", []string{"d.io/b:v1"}, stream.Failed)},
			"d.io/a@" + digest, "s0,s1: 1 of 2 mappings copied, 1 failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var tally Tally
			for _, s := range c.shards {
				tally.Add(s)
			}
			if images, sentence := tally.Say(); images != c.images || sentence != c.sentence {
				t.Errorf("got  %q, %q\nwant %q, %q", images, sentence, c.images, c.sentence)
			}
		})
	}
	t.Run("more than there is room for", func(t *testing.T) {
		var tally Tally
		tally.Add(results("s0", many, all...))
		images, sentence := tally.Say()
		named := strings.Split(images, "\n")
		if len(images) > maxImages || named[len(named)-1] != fmt.Sprintf("d.io/image-%02d@%s", len(named)-1, digest) {
			t.Errorf("the images have %d bytes and end in %s, want at most %d, and whole entries", len(images), named[len(named)-1], maxImages)
		}
		if want := fmt.Sprintf("s0: 40 of 40 mappings copied, 0 failed; %d more images than the result IMAGES lists", 40-len(named)); sentence != want {
			t.Errorf("got %q, want %q", sentence, want)
		}
	})
}
