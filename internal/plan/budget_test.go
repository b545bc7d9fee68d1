package plan

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"imagemirror/internal/digest"
	"imagemirror/internal/manifest"
	"imagemirror/internal/reference"
)

// Whatever large images of one repository take, ordinary images of others have room.
func TestLargeImagesLeaveRoomForOthers(t *testing.T) {
	o := options(t)
	trees := newTrees()
	trees.budget.room = 4 << 20
	image := func(repository string) *imageTree {
		from, err := o.Client.Source(t.Context(), reference.Reference{Registry: "localhost:1", Repository: repository, Tag: "v1"})
		if err != nil {
			t.Fatal(err)
		}
		return trees.image(from, nil)
	}
	random := rand.NewChaCha8([32]byte{})
	add := func(im *imageTree, size int) error {
		noise := make([]byte, size/2)
		_, _ = random.Read(noise)
		content := fmt.Appendf(nil, `{"mediaType":%q,"a":"%x"}`, manifest.OCIIndex, noise)
		return im.keep(manifest.Raw{Digest: digest.Of(content), Content: content})
	}
	if err := add(image("huge"), 2<<20); !errors.As(err, new(overError)) {
		t.Errorf("an image of half the plan: %v, want that it takes too much", err)
	}
	kept := 0
	for range 100 {
		if add(image("evil"), 400<<10) == nil {
			kept++
		}
	}
	if kept == 0 || kept == 100 {
		t.Errorf("%d of 100 large images have room, want a few", kept)
	}
	many := image("evil")
	for range 100 { // one image of many manifests
		_ = add(many, 64<<10)
	}
	for i := range 20 {
		good := image(fmt.Sprint("good/", i))
		for range 3 {
			if err := add(good, 8<<10); err != nil {
				t.Errorf("a good image has no room: %v", err)
			}
		}
	}
	if trees.budget.room < 0 {
		t.Errorf("%d bytes are left", trees.budget.room)
	}
}
