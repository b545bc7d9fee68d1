package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"

	"imagemirror/internal/digest"
	"imagemirror/internal/manifest"
)

// good is the number of ordinary images beside the hostile ones.
const good = 20

// A hostile registry serves one case at a time, from memory.
type hostile struct {
	mu        sync.Mutex
	manifests map[string][]byte   // by digest
	blobs     map[string][]byte   // by digest
	tags      map[string]string   // by REPOSITORY:TAG, without the host
	lists     map[string][]string // tags, by repository
	lines     []string            // of the mapping file: REPOSITORY[:TAG]
	random    *rand.Rand
}

// prepare makes the images of a case, and as many good ones, and returns the lines of its mapping
// file.
func (h *hostile) prepare(make func(*hostile), good int) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.manifests, h.blobs = map[string][]byte{}, map[string][]byte{}
	h.tags, h.lists = map[string]string{}, map[string][]string{}
	h.lines, h.random = nil, rand.New(rand.NewPCG(1, 2))
	make(h)
	for i := range good {
		h.tag(fmt.Sprintf("good/%d", i), h.image(fmt.Sprint("good ", i), 3))
	}
	return h.lines
}

// tag gives a repository the tag v1, and maps it.
func (h *hostile) tag(repository, digest string) {
	h.tags[repository+":v1"] = digest
	h.lines = append(h.lines, repository+":v1")
}

// wildcard maps all tags of a repository: the longest ones, as many as a page of the list has room
// for, and then short ones. Each is an image of its own.
func (h *hostile) wildcard(repository string, tags int) {
	for i := range tags {
		tag := fmt.Sprintf("v1.%06d", i)
		if i < 100_000 {
			tag += strings.Repeat("x", 119)
		}
		h.lists[repository] = append(h.lists[repository], tag)
	}
	h.lines = append(h.lines, repository+":*")
}

// taggedManifest makes the image of a tag that a wildcard finds.
func taggedManifest(tag string) string {
	one := fmt.Sprintf(`{"digest":%q,"size":1}`, digest.Of([]byte(tag)))
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s]}`, manifest.OCIManifest, one, one)
}

func (h *hostile) add(content string) string {
	id := digest.Of([]byte(content))
	h.manifests[id] = []byte(content)
	return id
}

// image makes a manifest of its own small layers.
func (h *hostile) image(name string, layers int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[`, manifest.OCIManifest, h.blob(name+" config"))
	for i := range layers {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(h.blob(fmt.Sprint(name, " ", i)))
	}
	b.WriteString(`]}`)
	return h.add(b.String())
}

// blob makes a blob, and returns its descriptor. Only those of good images exist: it is the
// number of the others that takes memory, and there is no need to wait for them.
func (h *hostile) blob(content string) string {
	id := digest.Of([]byte(content))
	if strings.HasPrefix(content, "good ") {
		h.blobs[id] = []byte(content)
	}
	return fmt.Sprintf(`{"mediaType":"a/b","digest":%q,"size":%d}`, id, len(content))
}

// index makes an index of manifests, with annotations of random text that no compressor makes
// smaller than three quarters.
func (h *hostile) index(annotations int, children ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"schemaVersion":2,"mediaType":%q,"manifests":[`, manifest.OCIIndex)
	for i, c := range children {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"mediaType":%q,"digest":%q,"size":%d}`, h.mediaType(c), c, len(h.manifests[c]))
	}
	fmt.Fprintf(&b, `],"annotations":{"a":"%s"}}`, h.noise(annotations))
	return h.add(b.String())
}

func (h *hostile) noise(length int) string {
	raw := make([]byte, length/4*3)
	for i := range raw {
		raw[i] = byte(h.random.Uint32())
	}
	return base64.StdEncoding.EncodeToString(raw)
}

func (h *hostile) mediaType(id string) string {
	if strings.Contains(string(h.manifests[id][:120]), manifest.OCIIndex) {
		return manifest.OCIIndex
	}
	return manifest.OCIManifest
}

func (h *hostile) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	path := strings.TrimPrefix(q.URL.Path, "/v2/")
	if repository, ok := strings.CutSuffix(path, "/tags/list"); ok {
		_ = json.NewEncoder(w).Encode(map[string]any{"name": repository, "tags": h.lists[repository]})
		return
	}
	if _, id, ok := strings.Cut(path, "/blobs/"); ok {
		send(w, q, h.blobs[id], "application/octet-stream", id)
		return
	}
	repository, id, _ := strings.Cut(path, "/manifests/")
	if !strings.HasPrefix(id, "sha256:") {
		tag := id
		if id = h.tags[repository+":"+tag]; id == "" {
			content := taggedManifest(tag)
			send(w, q, []byte(content), manifest.OCIManifest, digest.Of([]byte(content)))
			return
		}
	}
	kind := ""
	if h.manifests[id] != nil {
		kind = h.mediaType(id)
	}
	send(w, q, h.manifests[id], kind, id)
}

func send(w http.ResponseWriter, q *http.Request, content []byte, kind, id string) {
	if content == nil {
		http.NotFound(w, q)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Docker-Content-Digest", id)
	w.Header().Set("Content-Length", fmt.Sprint(len(content)))
	if q.Method != http.MethodHead {
		_, _ = w.Write(content)
	}
}
