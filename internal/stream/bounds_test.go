package stream_test

import (
	"testing"

	"imagemirror/internal/manifest"
	"imagemirror/internal/stream"
)

// What split reads from a registry has to fit into the plan, and the other way round.
func TestBoundsAgree(t *testing.T) {
	if stream.MaxManifest != manifest.MaxSize {
		t.Errorf("a stream takes manifests of %d bytes, and registries may give %d", stream.MaxManifest, manifest.MaxSize)
	}
}
