package registrytest

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"math/rand/v2"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// A Layer is the content of a blob. It is generated each time it is read, so a large one takes no
// memory, and it is the same in every process.
type Layer struct {
	MediaType types.MediaType
	URLs      []string // of the content of a foreign layer
	Digest    v1.Hash
	Size      int64   // in bytes, compressed
	DiffID    v1.Hash // of the uncompressed content

	write func(io.Writer) error
}

// NewLayer returns a gzip'd tar with one file of size bytes. The bytes are random, and depend
// only on name and size.
func NewLayer(name string, size int64) Layer {
	unpacked := func(w io.Writer) error { return writeTar(w, name, size) }
	packed := func(w io.Writer) error { return writeGzip(w, unpacked) }
	l := newLayer(types.OCILayer, packed)
	l.DiffID, _ = hashOf(unpacked)
	return l
}

// NewBlob returns size bytes of any media type. The bytes are random, and depend only on name and
// size.
func NewBlob(name string, size int64, mediaType types.MediaType) Layer {
	return newLayer(mediaType, func(w io.Writer) error { return writeRandom(w, name, size) })
}

// NewText returns a blob with the given content.
func NewText(content string, mediaType types.MediaType) Layer {
	return newLayer(mediaType, func(w io.Writer) error {
		_, err := io.WriteString(w, content)
		return err
	})
}

// Foreign returns the layer as one that registries do not store: its manifest says where to get it.
func (l Layer) Foreign(urls ...string) Layer {
	l.MediaType, l.URLs = types.OCIRestrictedLayer, urls
	return l
}

func newLayer(mediaType types.MediaType, write func(io.Writer) error) Layer {
	l := Layer{MediaType: mediaType, write: write}
	l.Digest, l.Size = hashOf(write)
	l.DiffID = l.Digest
	return l
}

// descriptor returns the layer as a manifest names it.
func (l Layer) descriptor() v1.Descriptor {
	return v1.Descriptor{MediaType: l.MediaType, Size: l.Size, Digest: l.Digest, URLs: l.URLs}
}

// A layerCore is a Layer with the methods that go-containerregistry asks for.
type layerCore struct{ l Layer }

var _ partial.CompressedLayer = layerCore{}

func (c layerCore) Digest() (v1.Hash, error)            { return c.l.Digest, nil }
func (c layerCore) DiffID() (v1.Hash, error)            { return c.l.DiffID, nil }
func (c layerCore) Size() (int64, error)                { return c.l.Size, nil }
func (c layerCore) MediaType() (types.MediaType, error) { return c.l.MediaType, nil }
func (c layerCore) Compressed() (io.ReadCloser, error)  { return c.l.Open(), nil }

// Open returns a reader of the compressed layer.
func (l Layer) Open() io.ReadCloser {
	r, w := io.Pipe()
	// After the reader's Close the next write fails, and the writer ends.
	go func() { w.CloseWithError(l.write(w)) }()
	return r
}

// A hashCounter counts and hashes what is written to it.
type hashCounter struct {
	hash hash.Hash
	n    int64
}

func (c *hashCounter) Write(b []byte) (int, error) {
	c.n += int64(len(b))
	return c.hash.Write(b)
}

func hashOf(write func(io.Writer) error) (v1.Hash, int64) {
	c := &hashCounter{hash: sha256.New()}
	must(write(c))
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(c.hash.Sum(nil))}, c.n
}

func writeTar(w io.Writer, name string, size int64) error {
	tw := tar.NewWriter(w)
	if err := tw.WriteHeader(&tar.Header{Name: "data/" + name, Mode: 0o644, Size: size}); err != nil {
		return err
	}
	if err := writeRandom(tw, name, size); err != nil {
		return err
	}
	return tw.Close()
}

// writeGzip stores and does not deflate, since random bytes do not get smaller.
func writeGzip(w io.Writer, write func(io.Writer) error) error {
	zw, err := gzip.NewWriterLevel(w, gzip.NoCompression)
	if err != nil {
		return err
	}
	if err := write(zw); err != nil {
		return err
	}
	return zw.Close()
}

func writeRandom(w io.Writer, name string, size int64) error {
	_, err := io.CopyN(w, rand.NewChaCha8(sha256.Sum256([]byte(name))), size)
	return err
}

// must panics if err is not nil. It is for errors that only a mistake in this package causes.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
