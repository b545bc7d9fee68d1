package foreign

import (
	"errors"
	"fmt"
	"strings"

	"imagemirror/internal/reference"
	"imagemirror/internal/strictyaml"
)

// everyTag is the pattern of a source whose tags are all mirrored, or selected among.
const everyTag = "*"

// parseName returns the image that a file names. A name that a person could have written with a
// credential is not quoted.
func parseName(name string) (reference.Reference, error) {
	host, _, _ := strings.Cut(name, "/")
	switch {
	case strings.Contains(host, "@") && !strings.Contains(host, "@sha256:"), strings.Contains(name, "://"):
		return reference.Reference{}, errors.New("this is a URL or names a user: write HOST/REPOSITORY:TAG")
	case len(name) > maxName:
		return reference.Reference{}, fmt.Errorf("%s is too long for an image name", quotedName(name))
	}
	return reference.Parse(name)
}

// parseRepository reads the name of a repository. It refuses a tag and a digest.
func parseRepository(name string) (reference.Reference, error) {
	r, err := parseName(name)
	if err == nil && r.Identifier() != "" {
		err = fmt.Errorf("%s has a tag or a digest: write only the repository", quotedName(name))
	}
	return r, err
}

// withTag adds a tag to a repository. It returns an error if the text is not a tag.
func withTag(r reference.Reference, tag string) (reference.Reference, error) {
	if tag == "" {
		return r, errors.New("a tag is empty: write one, or remove it")
	}
	got, err := reference.Parse(r.Name() + ":" + tag)
	if err == nil && got.Tag != tag {
		err = fmt.Errorf("%s is not a tag", quotedName(tag))
	}
	return got, err
}

// texts reads a list of texts, whatever types YAML reads them as.
func texts(v strictyaml.Value) (list []string) {
	v.List(func(v strictyaml.Value) {
		if word, ok := v.Word(); ok {
			list = append(list, word)
		}
	})
	return list
}
