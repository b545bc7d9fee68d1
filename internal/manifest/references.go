package manifest

import (
	"fmt"
	"strconv"
	"strings"

	"imagemirror/internal/digest"
	"imagemirror/internal/strictjson"
	"imagemirror/internal/text"
)

// references returns what the manifest refers to. An entry of an index that is not a manifest
// is a blob: an index may list content of any type (OCI image spec, "Image Index").
func (f fields) references(kind string) (Manifest, error) {
	r := referenceReader{m: Manifest{MediaType: kind}, index: IsIndex(kind)}
	r.room = 1 + (len(f.manifests)+len(f.layers)+len(f.blobs))/usualEntry
	r.at = make(map[string]int, r.room)
	r.m.Subject, r.m.Artifact = f.about()
	var err error
	switch {
	case r.index:
		err = r.list(f.manifests, "manifests")
	case f.config != nil:
		err = r.add(f.config, entryName{key: "config"})
	}
	if err == nil && !r.index {
		err = r.list(f.layers, "layers")
	}
	if err == nil && !r.index {
		err = r.list(f.blobs, "blobs")
	}
	return r.m, err
}

// A referenceReader collects what a manifest refers to. It drops repeated references, and
// fails if two of them contradict each other.
type referenceReader struct {
	m      Manifest
	index  bool
	at     map[string]int // of a digest: its index in m.Blobs, or -1 minus that in m.Children
	room   int            // about how many entries there are: what grows leaves as much garbage again
	before string         // media type of the entry before
}

// usualEntry is about the least that tools write for an entry, in bytes.
const usualEntry = 128

// about returns the digest of the manifest's subject and, if it has one, its artifact type. What is
// malformed is left out: it decides nothing about what is copied.
func (f fields) about() (subject, artifact string) {
	if f.subject == nil {
		return "", ""
	}
	d, _, _ := readDescriptor(f.subject, entryName{key: "subject"}, "")
	subject = d.Digest
	switch {
	case f.artifactType != nil:
		artifact, _ = readString(f.artifactType, entryName{}, "artifactType")
	case f.config != nil:
		d, _, _ := readDescriptor(f.config, entryName{key: "config"}, "")
		artifact = d.MediaType
	}
	return subject, artifact
}

func (r *referenceReader) list(entries strictjson.Value, key string) error {
	if entries == nil {
		return nil
	}
	name := entryName{key: key}
	for v := range entries.Elements() {
		name.number++
		if err := r.add(v, name); err != nil {
			return err
		}
	}
	return nil
}

func (r *referenceReader) add(v strictjson.Value, name entryName) error {
	d, size, err := readDescriptor(v, name, r.before)
	if err != nil {
		return err
	}
	r.before = d.MediaType
	child := r.index && IsManifest(d.MediaType)
	switch {
	case !digest.Valid(d.Digest) && strings.HasPrefix(strings.ToLower(d.Digest), "sha256") || !strings.Contains(d.Digest, ":"):
		return refuse(ofImage, "%s has the digest %q, which is not a digest", name, text.Clip(d.Digest, maxShown))
	case !digest.Valid(d.Digest):
		return refuse(ofHash, "%s has the digest %q, and only sha256 digests can be copied", name, text.Clip(d.Digest, maxShown))
	case r.index && d.MediaType == "":
		return refuse(ofImage, "%s has no media type", name)
	case child && isSchema1(d.MediaType):
		return fmt.Errorf("the index lists %s: %w", d.Digest, ErrSchema1)
	}
	if d.Size, err = sizeOf(d.Digest, size, child); err != nil {
		return err
	}
	if at, twice := r.at[d.Digest]; twice {
		return r.compare(at, d, child)
	}
	if child {
		r.at[d.Digest] = -1 - len(r.m.Children)
		r.m.Children = append(r.enough(r.m.Children), d)
	} else {
		r.at[d.Digest] = len(r.m.Blobs)
		r.m.Blobs = append(r.enough(r.m.Blobs), d)
	}
	return nil
}

// enough returns a list with room for all entries if it is new.
func (r *referenceReader) enough(list []Descriptor) []Descriptor {
	if list == nil {
		list = make([]Descriptor, 0, r.room)
	}
	return list
}

// compare fails if a repeated reference says something else than the first one did.
func (r *referenceReader) compare(at int, d Descriptor, child bool) error {
	if child != (at < 0) {
		return refuse(ofImage, "the manifest lists %s as a manifest and as a blob", d.Digest)
	}
	var first Descriptor
	if child {
		first = r.m.Children[-1-at]
	} else {
		first = r.m.Blobs[at]
	}
	switch {
	case first.Size != d.Size:
		return refuse(ofImage, "the manifest gives %s the sizes %d and %d", d.Digest, first.Size, d.Size)
	case child && first.MediaType != d.MediaType:
		return refuse(ofImage, "the manifest gives %s the media types %q and %q", d.Digest, first.MediaType, d.MediaType)
	case first.Foreign() != d.Foreign():
		return refuse(ofImage, "the manifest lists %s as a foreign layer and as one to be copied", d.Digest)
	}
	return nil
}

// readDescriptor reads an object and checks only its keys and types. size is nil if it has none.
// usual is the media type that it probably has: most layers have that of the one before, and then
// share its memory.
func readDescriptor(v strictjson.Value, name entryName, usual string) (d Descriptor, size strictjson.Value, err error) {
	if v[0] != '{' {
		return d, nil, refuse(ofImage, "%s is not an object", name)
	}
	keys := keySet{of: name, known: descriptorKeys}
	for given, v := range v.Members() {
		key, err := keys.add(given)
		if err == nil && !v.IsNull() {
			switch key {
			case "mediaType":
				d.MediaType, err = readMediaType(v, name, usual)
			case "digest":
				d.Digest, err = readString(v, name, key)
			case "size":
				size = v
			case "urls":
				d.URLs, err = readURLs(v, name)
			}
		}
		if err != nil {
			return d, nil, err
		}
	}
	return d, size, nil
}

func readMediaType(v strictjson.Value, name entryName, usual string) (string, error) {
	if v[0] == '"' && string(v.Text()) == usual {
		return usual, nil
	}
	return readString(v, name, "mediaType")
}

// maxURLs bounds the URLs of a descriptor that take memory.
const maxURLs = 8

func readURLs(v strictjson.Value, name entryName) (urls []string, err error) {
	if v[0] != '[' {
		return nil, refuse(ofImage, "%s has urls that are not a list", name)
	}
	for v := range v.Elements() {
		u, err := readString(v, name, "url")
		if err != nil {
			return nil, err
		}
		if len(urls) < maxURLs { // the rest is copied, but never read
			urls = append(urls, u)
		}
	}
	return urls, nil
}

// sizeOf returns the size that a descriptor gives its content, or 0 for a child without one:
// manifests can be read without it.
func sizeOf(named string, v strictjson.Value, child bool) (int64, error) {
	if v == nil {
		if child {
			return 0, nil
		}
		return 0, refuse(ofImage, "the manifest gives %s no size", named)
	}
	size, err := strconv.ParseInt(string(v), 10, 64)
	switch empty := named == digest.Empty; {
	case err != nil:
		return 0, refuse(ofImage, "the manifest gives %s the size %s, which is not a whole number of bytes", named, text.Line(string(v), maxShown))
	case size > MaxBlob:
		return 0, refuse(ofSize, "the manifest gives %s the size %d, and at most %d TiB are allowed", named, size, MaxBlob>>40)
	case size < 0:
		return 0, refuse(ofImage, "the manifest gives %s the size %d", named, size)
	case empty != (size == 0):
		return 0, refuse(ofImage, "the manifest gives %s the size %d: the digest of empty content is %s", named, size, digest.Empty)
	}
	return size, nil
}
