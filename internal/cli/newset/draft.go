package newset

import (
	"fmt"

	"imagemirror/internal/draft"
	"imagemirror/internal/reference"
)

// newDraft returns a set with one mapping, whose destination has the source's tag. It checks the
// values that people give for it. destination is a prefix of repositories.
func newDraft(name, destination, source string, owners []string) (*draft.Draft, error) {
	if err := draft.CheckNewName(name); err != nil {
		return nil, err
	}
	// A prefix followed by another element is the name of a repository.
	if r, err := reference.Parse(destination + "/" + name); err != nil || r.Name() != destination+"/"+name {
		return nil, fmt.Errorf("the destination %q is not a prefix of repositories: write HOST/ORGANIZATION, such as quay.io/%s", destination, name)
	}
	if r, err := reference.ParsePattern(source); err != nil || r.Tag == "" && r.Digest == "" {
		return nil, fmt.Errorf("the source %q is not an image: write HOST/REPOSITORY:TAG", source)
	}
	if err := draft.CheckOwners(owners); err != nil {
		return nil, err
	}
	s := &draft.Draft{Name: name, Mapping: source + " " + destination + "/" + name + "\n", Owners: owners}
	s.Spec = fmt.Sprintf("  schedule: \"%d * * * *\"\n  destinations: [%s]\n", s.Minute(), destination)
	return s, nil
}
