package plan

import (
	"fmt"
	"sync"

	"imagemirror/internal/fault"
	"imagemirror/internal/manifest"
	"imagemirror/internal/reference"
)

// maxPlan is the memory that the manifests of a run take at most, in bytes, packed as the archive
// keeps them.
const maxPlan = 96 << 20

// smallImage is what any image may take while there is room, in bytes.
const smallImage = 64 << 10

// An archiveBudget divides maxPlan among the images of a run, so that a few that are very large
// leave room for all others: an image gets at most an eighth of what is left, and a repository at
// most as much as is left for all others.
type archiveBudget struct {
	mu    sync.Mutex
	room  int64            // that is left
	taken map[string]int64 // by source repository
}

// An overError is the error of an image that takes too much of a budget.
type overError struct{ error }

func (e overError) Unwrap() error { return e.error }

// add adds a manifest of an image to the archive. It fails if the image takes too much.
func (b *archiveBudget) add(im *imageTree, digest string, content []byte, parsed manifest.Manifest) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	name := im.from.Name()
	room := min(max((b.room+im.taken)/8, smallImage)-im.taken, (b.room-b.taken[name])/2)
	_, takes, ok := im.archive.AddWithin(digest, content, parsed, room)
	if !ok {
		return overError{fault.New(fault.Fault{
			Kind: fault.TooLarge, Side: reference.Source, Host: im.from.Registry(),
			Advice: "mirror fewer or smaller images of the repository in one run",
		}, fmt.Sprintf("the plan has %d KiB left for the manifests of this image, and they take %d KiB or more", max(im.taken+room, 0)>>10, (im.taken+takes)>>10))}
	}
	im.taken += takes
	b.taken[name] += takes
	b.room -= takes
	return nil
}
