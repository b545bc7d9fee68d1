package platforms

import (
	"bytes"
	"errors"

	"imagemirror/internal/manifest"
	"imagemirror/internal/strictjson"
)

// Of returns the platform that the configuration of an image names.
func Of(config []byte) (Platform, error) {
	document, err := strictjson.Parse(config)
	if err != nil {
		return Platform{}, err
	}
	p, ok := platformOf(document)
	if !ok {
		return Platform{}, errors.New("it names no platform")
	}
	return p, nil
}

// IsConfig reports whether a media type is that of an image's configuration, which names a
// platform. Artifacts have others.
func IsConfig(mediaType string) bool {
	return mediaType == "application/vnd.oci.image.config.v1+json" || mediaType == "application/vnd.docker.container.image.v1+json"
}

// ConfigOf returns the configuration of an image, and false for an artifact or an index.
func ConfigOf(m manifest.Manifest) (manifest.Descriptor, bool) {
	if len(m.Blobs) == 0 || manifest.IsIndex(m.MediaType) || !IsConfig(m.Blobs[0].MediaType) {
		return manifest.Descriptor{}, false
	}
	return m.Blobs[0], true
}

// maxFeatures bounds the features of a platform.
const maxFeatures = 32

// platformOf reads the fields of a platform, which an entry of an index has in an object of their
// own, and a configuration among others. It returns false if they name none, or if two programs
// could read two platforms in them.
func platformOf(v strictjson.Value) (p Platform, ok bool) {
	if v[0] != '{' {
		return p, false
	}
	texts := map[string]*string{"os": &p.OS, "architecture": &p.Architecture, "variant": &p.Variant, "os.version": &p.Version}
	seen := map[string]bool{}
	for key, v := range v.Members() {
		name := string(bytes.ToLower(key))
		to := texts[name]
		if to == nil && name != "os.features" {
			continue
		}
		if seen[name] || name != string(key) {
			return p, false
		}
		seen[name] = true
		switch {
		case v.IsNull():
		case to == nil:
			p.Features, ok = featuresIn(v)
			if !ok {
				return p, false
			}
		case v[0] != '"':
			return p, false
		default:
			*to = string(v.Text())
		}
	}
	return p.Normal(), p.OS != "" && p.Architecture != ""
}

func featuresIn(v strictjson.Value) (features []string, ok bool) {
	if v[0] != '[' {
		return nil, false
	}
	for v := range v.Elements() {
		if v[0] != '"' || len(features) == maxFeatures {
			return nil, false
		}
		features = append(features, string(v.Text()))
	}
	return features, true
}
