package platforms

import (
	"bytes"
	"errors"
	"iter"
	"strconv"

	"imagemirror/internal/manifest"
	"imagemirror/internal/strictjson"
)

// refersTo is the annotation with which BuildKit adds the attestations of an image to its index:
// their platform is unknown/unknown, and this is the digest of the image
// (github.com/moby/buildkit, docs/attestations/attestation-storage.md).
const refersTo = "vnd.docker.reference.digest"

// A Resolution tells what to do with an entry of an index that names no platform.
type Resolution struct {
	Keeps   bool   // the entry stays
	Matches bool   // it is for a platform that is asked for
	Digest  string // of the index that replaces it, or "" if it stays as it is
	Size    int64  // of that index, in bytes
}

// A Choice is what a list leaves of an index.
type Choice struct {
	Digests []string // the manifests that stay, each once and in the order of the index
	Images  []string // those that are for a platform that is asked for, without artifacts
	Matches bool     // an entry is for a platform that is asked for
	Whole   bool     // every entry stays as it is
	Content []byte   // the index without the others; if Whole, the index itself
	Offers  List     // the platforms of the index, each once, and at most Max of them
}

// An entry is one entry of an index.
type entry struct {
	text              strictjson.Value
	mediaType, digest string
	artifact          bool             // it names an artifact type
	refersTo          string           // the digest of the image that it is about, or ""
	platform          strictjson.Value // nil if it has none
}

// unnamed reports whether only the manifest can tell which platform the entry is for.
func (e entry) unnamed() bool {
	return e.platform == nil && e.refersTo == "" && manifest.IsManifest(e.mediaType)
}

// Unnamed returns the manifests in an index that name no platform, each once. It is an error of
// the index if there are more than most. index is content that manifest.Parse accepts.
func Unnamed(index []byte, most int) ([]manifest.Descriptor, error) {
	list, err := entriesOf(index)
	if err != nil {
		return nil, err
	}
	var found []manifest.Descriptor
	seen := map[string]bool{}
	for e := range list.all() {
		if !e.unnamed() || seen[e.digest] {
			continue
		}
		if len(found) == most {
			return nil, errors.New("the index has more than " + strconv.Itoa(most) + " manifests that name no platform")
		}
		seen[e.digest] = true
		found = append(found, manifest.Descriptor{MediaType: e.mediaType, Digest: e.digest})
	}
	return found, nil
}

// Choose returns what the list leaves of an index: entries for its platforms, and the
// attestations of these. Entries that are not manifests stay. resolutions has those of Unnamed,
// by digest; entries without one do not stay. index is content that manifest.Parse accepts.
func (l List) Choose(index []byte, resolutions map[string]Resolution) (Choice, error) {
	list, err := entriesOf(index)
	if err != nil {
		return Choice{}, err
	}
	c := chooser{List: l, resolutions: resolutions, images: map[string]bool{}, seen: map[string]bool{}, offered: map[string]bool{}}
	for e := range list.all() {
		c.keeps = append(c.keeps, c.keep(e))
	}
	var kept []strictjson.Value
	at, whole := 0, true
	for e := range list.all() {
		if c.keeps[at] || c.images[e.refersTo] && e.refersTo != "" {
			kept = append(kept, c.take(e))
		}
		whole = whole && len(kept) == at+1 && !c.replaces(e)
		at++
	}
	c.Whole, c.Content = whole, index
	if !whole {
		c.Content = list.with(kept)
	}
	return c.Choice, nil
}

// A chooser makes a Choice.
type chooser struct {
	Choice
	List
	resolutions map[string]Resolution
	keeps       []bool          // by entry
	images      map[string]bool // entries that match, by digest
	seen        map[string]bool // of Digests
	offered     map[string]bool // of Offers, by name
}

// keep reports whether an entry stays for what it is itself, and notes what it offers.
func (c *chooser) keep(e entry) bool {
	switch {
	case !manifest.IsManifest(e.mediaType):
		return true
	case e.unnamed():
		v := c.resolutions[e.digest]
		c.note(e, v.Matches)
		return v.Keeps
	case e.platform == nil:
		return false
	}
	p, ok := platformOf(e.platform)
	if !ok {
		return false
	}
	if name := p.String(); e.refersTo == "" && len(c.Offers) < Max && !c.offered[name] {
		c.offered[name] = true
		c.Offers = append(c.Offers, p)
	}
	matches := c.Match(p)
	c.note(e, matches)
	return matches
}

// note notes an entry that matches.
func (c *chooser) note(e entry, matches bool) {
	if !matches {
		return
	}
	c.Matches = true
	if !c.images[e.digest] && !e.artifact {
		c.Images = append(c.Images, e.digest)
	}
	c.images[e.digest] = true
}

// replaces reports whether another index takes the place of an entry.
func (c *chooser) replaces(e entry) bool { return e.unnamed() && c.resolutions[e.digest].Digest != "" }

// take notes an entry that stays, and returns it as the new index has it.
func (c *chooser) take(e entry) strictjson.Value {
	digest, v := e.digest, c.resolutions[e.digest]
	if c.replaces(e) {
		digest = v.Digest
		e.text = e.replace(v)
	}
	if manifest.IsManifest(e.mediaType) && !c.seen[digest] {
		c.seen[digest] = true
		c.Digests = append(c.Digests, digest)
	}
	return e.text
}

// replace returns the entry with the digest and the size of another index.
func (e entry) replace(v Resolution) strictjson.Value {
	var out []byte
	rest := e.text
	put := func(value strictjson.Value, by string) {
		at := offset(rest, value)
		out = append(append(out, rest[:at]...), by...)
		rest = rest[at+len(value):]
	}
	for key, value := range e.text.Members() {
		switch string(key) {
		case "digest":
			put(value, strconv.Quote(v.Digest))
		case "size":
			put(value, strconv.FormatInt(v.Size, 10))
		}
	}
	return append(out, rest...)
}

// entries are the entries of an index.
type entries struct {
	index []byte
	list  strictjson.Value // nil if there is none
}

func entriesOf(index []byte) (e entries, err error) {
	document, err := strictjson.Parse(index)
	if err != nil {
		return e, err
	}
	e.index = index
	if document[0] != '{' {
		return e, errors.New("the index is not a JSON object")
	}
	for key, v := range document.Members() {
		if string(key) == "manifests" && v[0] == '[' {
			e.list = v
		}
	}
	return e, nil
}

// all yields the entries in their order.
func (e entries) all() iter.Seq[entry] {
	return func(yield func(entry) bool) {
		if e.list == nil {
			return
		}
		for v := range e.list.Elements() {
			if !yield(readEntry(v)) {
				return
			}
		}
	}
}

// with returns the index with other entries.
func (e entries) with(list []strictjson.Value) []byte {
	at := offset(e.index, e.list)
	out := append(bytes.Clone(e.index[:at]), '[')
	for i, v := range list {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, v...)
	}
	return append(append(out, ']'), e.index[at+len(e.list):]...)
}

// offset returns where a value begins in the text that it is a part of.
func offset(text, value []byte) int { return cap(text) - cap(value) }

// readEntry reads an entry. It leaves out malformed fields.
func readEntry(v strictjson.Value) entry {
	e := entry{text: v}
	if v[0] != '{' {
		return e
	}
	for key, v := range v.Members() {
		switch string(key) {
		case "mediaType":
			e.mediaType = textOf(v)
		case "digest":
			e.digest = textOf(v)
		case "artifactType":
			// go-containerregistry gives images the type of their configuration.
			kind := textOf(v)
			e.artifact = kind != "" && !IsConfig(kind)
		case "annotations":
			e.refersTo = referenceIn(v)
		case "platform":
			if !v.IsNull() && !isEmpty(v) {
				e.platform = v
			}
		}
	}
	return e
}

func isEmpty(object strictjson.Value) bool {
	if object[0] != '{' {
		return false
	}
	for range object.Members() {
		return false
	}
	return true
}

func referenceIn(annotations strictjson.Value) (digest string) {
	if annotations[0] != '{' {
		return ""
	}
	for key, v := range annotations.Members() {
		if string(key) == refersTo {
			digest = textOf(v)
		}
	}
	return digest
}

// textOf returns what a string says, or "" for any other value.
func textOf(v strictjson.Value) string {
	if v[0] != '"' {
		return ""
	}
	return string(v.Text())
}
