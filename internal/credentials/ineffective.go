package credentials

import (
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strings"
)

// maxOddEntries bounds the entries of a file that the log names.
const maxOddEntries = 10

// warn logs what cannot have an effect in a file: somebody who wrote it would otherwise look for
// the reason of a denial in the account's rights. It shows keys, and nothing secret.
func (l location) warn(f *file, data []byte) {
	legacy, keys := keysWithoutEffect(data)
	switch empty := len(f.auths) == 0 && len(f.helpers) == 0 && f.store == ""; {
	case legacy:
		slog.Warn(`entries outside of "auths" have no effect: this is the content of a legacy .dockercfg, write {"auths": CONTENT}`, "file", l.path)
	case empty && !l.guessed:
		slog.Warn(`a file of credentials has no entries in "auths" and no helpers, so it has no effect`, "file", l.path)
	}
	for _, key := range keys[:min(len(keys), maxOddEntries)] {
		slog.Warn("an entry of a file of credentials matches no image: write HOST, HOST:PORT or HOST/PATH, without wildcards and tag", "file", l.path, "entry", key)
	}
}

// keysWithoutEffect reports whether a file has entries of a .dockercfg, and returns the keys of
// auths and credHelpers that match no image.
func keysWithoutEffect(data []byte) (legacy bool, keys []string) {
	var content map[string]map[string]json.RawMessage
	var top map[string]json.RawMessage
	if json.Unmarshal(data, &top) != nil {
		return false, nil
	}
	content = map[string]map[string]json.RawMessage{}
	for name, value := range top {
		var object map[string]json.RawMessage
		if json.Unmarshal(value, &object) == nil {
			content[name] = object
		}
	}
	for _, name := range []string{"auths", "credHelpers"} {
		keys = append(keys, slices.Collect(maps.Keys(content[name]))...)
		delete(content, name)
	}
	for _, object := range content {
		legacy = legacy || object["auth"] != nil || object["username"] != nil
	}
	keys = slices.DeleteFunc(keys, matchesImages)
	slices.Sort(keys)
	return legacy, slices.Compact(keys)
}

// matchesImages reports whether an entry's key may match an image. One with an @ may be a URL with
// a password, which is not shown: it counts as one that does.
func matchesImages(key string) bool {
	if strings.Contains(key, "@") {
		return true
	}
	host, path, _ := strings.Cut(normalizeKey(key), "/")
	return host != "" && !strings.ContainsAny(host, "*?[ ") &&
		!strings.ContainsAny(path, "*?[: ") && path != "v1" && path != "v2" && path == strings.ToLower(path)
}
