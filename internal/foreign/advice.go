package foreign

import (
	"imagemirror/internal/strictyaml"
	"imagemirror/internal/text"
)

// Where to say what an image set does not.
const (
	belongsCredentials = "credentials stay outside of image sets: see docs/how-to/credentials.md"
	belongsRegistries  = "how a registry is reached belongs in registries.conf: see docs/reference/registries.md"
	belongsCA          = "set MIRROR_CA_FILE to the file: see docs/reference/registries.md"
	notNeeded          = "the program chooses this itself"
)

// maxShown bounds what a warning quotes, in characters.
const maxShown = 100

// shown returns a name from a file, as a warning has it.
func shown(name string) string { return text.Clip(name, maxShown) }

// quotedName returns what shown does, between quotes.
func quotedName(name string) string { return text.Quote(name, maxShown) }

// elsewhere returns a reader of a key that warns where the key belongs.
func elsewhere(key, belongs string) func(strictyaml.Value) {
	return func(v strictyaml.Value) { unsaid(v, key, "%s", belongs) }
}
