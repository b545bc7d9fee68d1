package execute

import (
	"fmt"
	"strings"

	"imagemirror/internal/reference"
	"imagemirror/internal/stream"
)

// maxImages bounds what Tally.Say names, in bytes: all results of a Tekton Task have 4096 bytes together.
const maxImages = 3 << 10

// Tally is what a copy did, for the results of its Task.
type Tally struct {
	shards                   []string
	mappings, copied, failed int
	images                   []string // that were newly copied, each once, as HOST/REPOSITORY@DIGEST
	named                    map[string]bool
}

// Add counts the results of a shard.
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

// Say is the images that were newly copied, a line each, as Tekton Chains reads them (https://tekton.dev/docs/chains/slsa-provenance/),
// as many as there is room for, and a sentence that counts all.
func (t *Tally) Say() (images, sentence string) {
	n, size := 0, 0
	for n < len(t.images) && size+len(t.images[n])+1 <= maxImages {
		size += len(t.images[n]) + 1
		n++
	}
	sentence = fmt.Sprintf("%s: %d of %d mappings copied, %d failed", strings.Join(t.shards, ","), t.copied, t.mappings, t.failed)
	if more := len(t.images) - n; more > 0 {
		sentence += fmt.Sprintf("; %d images more than the result images names", more)
	}
	return strings.Join(t.images[:n], "\n"), sentence
}
