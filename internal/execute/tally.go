package execute

import (
	"fmt"
	"strings"

	"imagemirror/internal/reference"
	"imagemirror/internal/stream"
)

// maxImages bounds the images that Tally.Say names, in bytes. All results of a Tekton Task
// together have at most 4096 bytes.
const maxImages = 3 << 10

// A Tally counts what copies did, for the results of their Task.
type Tally struct {
	shards                   []string
	mappings, copied, failed int
	images                   []string // copied by this run, each once, as HOST/REPOSITORY@DIGEST
	named                    map[string]bool
}

// Add adds the results of a shard.
func (t *Tally) Add(c *stream.Content) {
	t.shards = append(t.shards, c.Header.Shard)
	t.mappings += len(c.Mappings)
	if t.named == nil {
		t.named = map[string]bool{}
	}
	destinations := map[int]string{}
	for _, m := range c.Mappings {
		destinations[m.ID] = m.Destination
	}
	for _, r := range c.Results {
		switch r.Status {
		case stream.Failed:
			t.failed++
		case stream.Copied:
			t.copied++
			d, err := reference.Parse(destinations[r.ID])
			if image := d.WithDigest(r.Digest).String(); err == nil && !t.named[image] {
				t.named[image] = true
				t.images = append(t.images, image)
			}
		}
	}
}

// Say returns the copied images, as many as fit, and a sentence that counts all of them. The
// images are one per line, as Tekton Chains reads them:
// https://tekton.dev/docs/chains/slsa-provenance/
func (t *Tally) Say() (images, sentence string) {
	n, size := 0, 0
	for n < len(t.images) && size+len(t.images[n])+1 <= maxImages {
		size += len(t.images[n]) + 1
		n++
	}
	sentence = fmt.Sprintf("%s: %d of %d mappings copied, %d failed", strings.Join(t.shards, ","), t.copied, t.mappings, t.failed)
	if more := len(t.images) - n; more > 0 {
		sentence += fmt.Sprintf("; %d more images than the result IMAGES lists", more)
	}
	return strings.Join(t.images[:n], "\n"), sentence
}
