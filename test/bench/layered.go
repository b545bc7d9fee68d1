package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"

	"imagemirror/internal/digest"
	"imagemirror/internal/manifest"
)

// The images of a layered registry: an index and a manifest for each platform, of manifestSize
// each. No two have a layer in common, so that nothing can be known once for several.
const (
	platforms    = 4
	manifestSize = 8 * kilobyte
	tagsPerRepo  = 5
)

// A layered registry serves images with many small layers from memory.
type layered struct {
	manifests map[string][]byte // by digest
	tags      []string          // by image: its digest
	blobs     map[string]uint32 // by digest: what the content is made from
	bytes     int64             // of all manifests
}

func newLayered(images int) *layered {
	r := &layered{manifests: map[string][]byte{}, blobs: map[string]uint32{}}
	random := rand.New(rand.NewPCG(1, 2))
	for range images {
		r.tags = append(r.tags, r.add(r.index(random)))
	}
	return r
}

func (r *layered) add(content []byte) string {
	id := digest.Of(content)
	r.manifests[id] = content
	r.bytes += int64(len(content))
	return id
}

// index makes an image. Its annotations are commits, which are random, as those of images
// often are.
func (r *layered) index(random *rand.Rand) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `{"schemaVersion":2,"mediaType":%q,"manifests":[`, manifest.OCIIndex)
	for i := range platforms {
		content := r.image()
		fmt.Fprintf(&b, `%s{"mediaType":%q,"digest":%q,"size":%d,"platform":{"architecture":"arch-%d","os":"linux"}}`,
			comma(i), manifest.OCIManifest, r.add(content), len(content), i)
	}
	b.WriteString(`],"annotations":{`)
	for i := 0; b.Len() < manifestSize; i++ {
		var commit [20]byte
		for n := range commit {
			commit[n] = byte(random.Uint32())
		}
		fmt.Fprintf(&b, `%s"org.example.component-%02d.revision":"%x"`, comma(i), i, commit)
	}
	b.WriteString(`}}`)
	return []byte(b.String())
}

func (r *layered) image() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[`, manifest.OCIManifest, r.blob("application/vnd.oci.image.config.v1+json"))
	for i := 0; b.Len() < manifestSize; i++ {
		b.WriteString(comma(i) + r.blob("application/vnd.oci.image.layer.v1.tar+gzip"))
	}
	b.WriteString(`]}`)
	return []byte(b.String())
}

func comma(i int) string {
	if i == 0 {
		return ""
	}
	return ","
}

// blob makes one more blob and returns its descriptor.
func (r *layered) blob(mediaType string) string {
	seed := uint32(len(r.blobs))
	content := blobContent(seed)
	id := digest.Of(content)
	r.blobs[id] = seed
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, mediaType, id, len(content))
}

// blobContent returns some hundred bytes.
func blobContent(seed uint32) []byte {
	sum := sha256.Sum256(binary.BigEndian.AppendUint32(nil, seed))
	return []byte(strings.Repeat(hex.EncodeToString(sum[:]), 2+int(sum[0]%8)))
}

// mappings maps every image to a name of its own.
func (r *layered) mappings(source, destination string) []byte {
	var b strings.Builder
	for i := range r.tags {
		name := fmt.Sprintf("team/image-%d:t%d", i/tagsPerRepo, i%tagsPerRepo)
		fmt.Fprintf(&b, "%s/%s %s/mirror/%s\n", strings.TrimPrefix(source, "http://"), name, strings.TrimPrefix(destination, "http://"), name)
	}
	return []byte(b.String())
}

func (r *layered) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	parts := strings.Split(q.URL.Path, "/")
	kind, id := "", parts[len(parts)-1]
	if len(parts) > 2 {
		kind = parts[len(parts)-2]
	}
	switch kind {
	case "manifests":
		if !strings.HasPrefix(id, "sha256:") {
			id = r.tagged(parts[len(parts)-3], id)
		}
		content := r.manifests[id]
		if content == nil {
			http.NotFound(w, q)
			return
		}
		w.Header().Set("Docker-Content-Digest", id)
		w.Header().Set("Content-Type", manifest.OCIIndex)
		if !strings.Contains(string(content[:100]), manifest.OCIIndex) {
			w.Header().Set("Content-Type", manifest.OCIManifest)
		}
		_, _ = w.Write(content)
	case "blobs":
		if seed, ok := r.blobs[id]; ok {
			_, _ = w.Write(blobContent(seed))
			return
		}
		http.NotFound(w, q)
	case "tags": // no signatures
		_, _ = io.WriteString(w, `{"tags":[]}`)
	default: // no referrers API
		http.NotFound(w, q)
	}
}

// tagged returns the digest that a tag is at, or "".
func (r *layered) tagged(repository, tag string) string {
	var n, t int
	if _, err := fmt.Sscanf(repository+" "+tag, "image-%d t%d", &n, &t); err != nil || n*tagsPerRepo+t >= len(r.tags) {
		return ""
	}
	return r.tags[n*tagsPerRepo+t]
}

// An emptyRegistry is empty, and accepts everything.
type emptyRegistry struct{}

func (emptyRegistry) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	_, _ = io.Copy(io.Discard, q.Body)
	switch q.Method {
	case http.MethodHead:
		w.WriteHeader(http.StatusNotFound)
	case http.MethodPost:
		w.Header().Set("Location", q.URL.Path+"one")
		w.WriteHeader(http.StatusAccepted)
	case http.MethodPatch:
		w.Header().Set("Location", q.URL.Path)
		w.WriteHeader(http.StatusAccepted)
	case http.MethodPut:
		w.WriteHeader(http.StatusCreated)
	}
}
