package manifest

import (
	"fmt"
	"mime"
	"strings"

	"imagemirror/internal/strictjson"
	"imagemirror/internal/text"
)

// fields are the fields of a manifest that decide what is copied. A field is nil or "" if the
// manifest does not have it, or has null.
type fields struct {
	schema1                          bool
	mediaType                        string
	artifactType, subject            strictjson.Value // as they are: images are copied whatever they are
	config, layers, blobs, manifests strictjson.Value // an object and three lists
}

// Keys that an object may have only once, and only in this spelling. The rest, such as the
// keys of annotations, is not read.
var (
	manifestKeys = []string{
		"schemaVersion", "mediaType", "config", "layers", "annotations", "manifests", "artifactType",
		"subject", "blobs", "fsLayers",
	}
	descriptorKeys = []string{
		"mediaType", "digest", "size", "annotations", "platform", "urls", "data", "artifactType",
	}
)

// A keySet checks the keys of one object.
type keySet struct {
	of    entryName // for messages
	known []string
	seen  uint // a bit for each known key
}

// add returns a known key, or "" for any other.
func (s *keySet) add(key []byte) (string, error) {
	for i, known := range s.known {
		if string(key) == known {
			if s.seen&(1<<i) != 0 {
				return "", refuse(ofImage, "%s has the key %q twice", s.of, known)
			}
			s.seen |= 1 << i
			return known, nil
		}
	}
	for _, known := range s.known {
		if strings.EqualFold(string(key), known) {
			return "", refuse(ofImage, "%s has the key %q, which some programs read as %q", s.of, key, known)
		}
	}
	return "", nil
}

// An entryName is the place of an object in a manifest, for messages: the manifest itself, its
// config, or an entry of a list, counted from 1.
type entryName struct {
	key    string
	number int
}

func (n entryName) String() string {
	switch {
	case n.key == "":
		return "the manifest"
	case n.number == 0:
		return "the manifest's " + n.key
	}
	return fmt.Sprintf("entry %d of the manifest's %s", n.number, n.key)
}

func readFields(document strictjson.Value) (f fields, err error) {
	if document[0] != '{' {
		return f, refuse(ofImage, "the manifest is not a JSON object")
	}
	keys := keySet{of: entryName{}, known: manifestKeys}
	for key, v := range document.Members() {
		name, err := keys.add(key)
		if err != nil {
			return f, err
		}
		if v.IsNull() {
			continue
		}
		if err := f.set(name, v); err != nil {
			return f, err
		}
	}
	return f, nil
}

func (f *fields) set(key string, v strictjson.Value) (err error) {
	switch key {
	case "schemaVersion":
		f.schema1 = f.schema1 || v.Is("1")
	case "fsLayers":
		f.schema1 = true
	case "mediaType":
		f.mediaType, err = readString(v, entryName{}, key)
	case "artifactType":
		f.artifactType = v
	case "subject":
		f.subject = v
	case "config":
		f.config = v
	case "layers":
		f.layers, err = readList(v, key)
	case "blobs":
		f.blobs, err = readList(v, key)
	case "manifests":
		f.manifests, err = readList(v, key)
	}
	return err
}

func readString(v strictjson.Value, of entryName, key string) (string, error) {
	if v[0] != '"' {
		return "", refuse(ofImage, "%s has a %s that is not a string", of, key)
	}
	return string(v.Text()), nil
}

func readList(v strictjson.Value, key string) (strictjson.Value, error) {
	if v[0] != '[' {
		return nil, refuse(ofImage, "the manifest has %s that are not a list", key)
	}
	return v, nil
}

// kind returns the media type: the one in the content, or else the registry's, or else the
// one that the fields suggest. OCI makes the field optional, and some registries serve
// application/json.
func (f fields) kind(mediaType string) (string, error) {
	given, _, err := mime.ParseMediaType(mediaType)
	if err != nil {
		given = ""
	}
	kind := f.mediaType
	// Docker's manifests always have the field.
	if kind == "" && IsManifest(given) && given != DockerManifest && given != DockerList {
		kind = given
	}
	switch {
	case f.schema1 || isSchema1(kind) || f.mediaType == "" && isSchema1(given):
		return "", ErrSchema1
	case f.mediaType != "" && IsManifest(given) && given != f.mediaType:
		return "", refuse(ofType, "the manifest has the media type %q, but the registry sent %q", text.Clip(f.mediaType, maxShown), given)
	case IsManifest(kind):
		return kind, f.agree(kind)
	case kind != "":
		return "", refuse(ofKind, "the media type %q is not that of an image, an index or an artifact", text.Clip(kind, maxShown))
	case f.manifests != nil && f.layers == nil && f.config == nil:
		return OCIIndex, nil
	case f.config != nil && f.manifests == nil:
		return OCIManifest, nil
	}
	return "", refuse(ofImage, "the manifest has no media type (the registry sent %q) and is neither an image nor an index", text.Clip(given, maxShown))
}

// agree fails if the manifest has fields of another kind.
func (f fields) agree(kind string) error {
	if IsIndex(kind) && (f.config != nil || f.layers != nil) || !IsIndex(kind) && f.manifests != nil {
		return refuse(ofImage, "the manifest of type %q has fields of both an image and an index", kind)
	}
	return nil
}
