package imageset

import (
	"fmt"
	"io"
	"os"

	"imagemirror/internal/strictyaml"
)

// maxOwners bounds an OWNERS file, in bytes, and maxOwner a name in it.
const (
	maxOwners = 1 << 20
	maxOwner  = 100
)

// loadOwners returns the approvers that an OWNERS file names. Where there is none, the error is fs.ErrNotExist.
func loadOwners(path string) ([]string, error) {
	data, err := readSmall(path, maxOwners)
	if err != nil {
		return nil, err
	}
	return parseOwners(path, data)
}

// readSmall reads a regular file, up to one byte more than size.
func readSmall(path string, size int64) ([]byte, error) {
	if err := regular(path); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s:1: %w", path, reason(err))
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, size+1))
	if err != nil {
		return nil, fmt.Errorf("%s:1: reading the file: %w", path, reason(err))
	}
	return data, nil
}

// parseOwners returns the approvers that an OWNERS file names: the file that code review bots read. Only the approvers
// matter here; the other keys are known so that one that is misspelt is not passed over.
func parseOwners(path string, data []byte) ([]string, error) {
	var approvers, others []string
	err := strictyaml.Read(path, data, maxOwners, func(v strictyaml.Value) {
		v.Keys(
			strictyaml.Key{Name: "approvers", Read: people(&approvers)},
			strictyaml.Key{Name: "reviewers", Read: people(&others)},
			strictyaml.Key{Name: "emeritus_approvers", Read: people(&others)},
			strictyaml.Key{Name: "labels", Read: people(&others)},
			strictyaml.Key{Name: "options", Read: ownersOptions},
		)
	})
	if err != nil {
		return nil, err
	}
	return approvers, nil
}

func ownersOptions(v strictyaml.Value) {
	v.Keys(strictyaml.Key{Name: "no_parent_owners", Read: func(v strictyaml.Value) { v.Bool() }})
}

func people(to *[]string) func(strictyaml.Value) {
	return func(v strictyaml.Value) {
		v.List(func(v strictyaml.Value) {
			name, ok := v.Word()
			if ok && len(name) > maxOwner {
				v.Refuse("the name %.*q has more than %d bytes: write a user or a team", maxOwner, name, maxOwner)
				return
			}
			if ok {
				*to = append(*to, name)
			}
		})
	}
}
