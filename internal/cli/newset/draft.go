package newset

import (
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"

	"sigs.k8s.io/yaml"

	"imagemirror/internal/command"
	"imagemirror/internal/finding"
	"imagemirror/internal/imageset"
	"imagemirror/internal/kustomization"
	"imagemirror/internal/policy"
	"imagemirror/internal/reference"
	"imagemirror/internal/settings"
)

// A draft is what the files of a new set are made from.
type draft struct {
	name        string
	destination string // a prefix of repositories
	source      string // of its first mapping
	owners      []string
}

var ownerRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// newDraft checks the values that people give for a new set.
func newDraft(name, destination, source string, owners []string) (*draft, error) {
	if err := settings.CheckName(name); err != nil {
		return nil, fmt.Errorf("the name %q: %w", name, err)
	}
	if name == imageset.Base {
		return nil, fmt.Errorf("the name %s is reserved for what all sets include: choose another name", name)
	}
	if text, err := yaml.Marshal(name); err != nil || string(text) != name+"\n" || unicode.IsDigit(rune(name[0])) {
		return nil, fmt.Errorf("the name %s is a number or a truth value in YAML: begin it with a letter, or lengthen it", name)
	}
	// A prefix followed by another element is the name of a repository.
	if r, err := reference.Parse(destination + "/" + name); err != nil || r.Name() != destination+"/"+name {
		return nil, fmt.Errorf("the destination %q is not a prefix of repositories: write HOST/ORGANIZATION, such as quay.io/%s", destination, name)
	}
	if r, err := reference.ParsePattern(source); err != nil || r.Tag == "" && r.Digest == "" {
		return nil, fmt.Errorf("the source %q is not an image: write HOST/REPOSITORY:TAG", source)
	}
	for _, owner := range owners {
		if !ownerRE.MatchString(owner) {
			return nil, fmt.Errorf("the owner %q is not a name: separate names with commas, such as alice,bob", owner)
		}
	}
	return &draft{name: name, destination: destination, source: source, owners: owners}, nil
}

// mapping returns the set's first line. Its destination has the source's tag.
func (d *draft) mapping() string { return d.source + " " + d.destination + "/" + d.name }

// minute spreads the sets over the hour by their names, since registries see them all at one
// address.
func (d *draft) minute() uint32 {
	h := fnv.New32a()
	h.Write([]byte(d.name))
	return h.Sum32() % 60
}

const settingsText = `apiVersion: imagemirror/v1
kind: Settings
metadata:
  name: %s
  annotations:
    config.kubernetes.io/local-config: "true"
spec:
  schedule: "%d * * * *"
  destinations: [%s]
`

// files returns the set's files that people edit later, by name.
func (d *draft) files() (map[string][]byte, error) {
	owners, err := yaml.Marshal(map[string][]string{"approvers": d.owners})
	return map[string][]byte{
		"OWNERS":                 owners,
		settings.File:            fmt.Appendf(nil, settingsText, d.name, d.minute(), d.destination),
		imageset.Prefix + d.name: []byte(d.mapping() + "\n"),
	}, err
}

// write puts the set below root and lists it there. If that fails, nothing has changed.
func (d *draft) write(root string) (err error) {
	dir := filepath.Join(root, d.name)
	if _, err := os.Lstat(dir); err == nil {
		return command.Refuse(fmt.Errorf("%s exists: choose another name, or add mapping files to that set", dir))
	}
	if !kustomization.IsTree(root) {
		return command.Refuse(fmt.Errorf("%s has no %s and %s: run this in the root of the repository, or name the directory of the image sets", root, kustomization.File, imageset.Base))
	}
	// Everything is written to a temporary directory first, so that both visible steps are renames.
	aside, err := os.MkdirTemp(root, ".new-set-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(aside)) }()
	tree, _ := kustomization.Read(root) // a mistake of another set is not this set's
	if err := d.stage(tree, aside); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(aside, d.name), dir); err != nil {
		return err
	}
	if err := kustomization.Replace(filepath.Join(root, kustomization.File), tree.Listing(d.name)); err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	return nil
}

// stage writes the set into a directory of its own, and checks it.
func (d *draft) stage(tree *kustomization.Tree, aside string) error {
	files, err := d.files()
	if err != nil {
		return err
	}
	dir := filepath.Join(aside, d.name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return err
		}
	}
	// The policy beside the sets binds this one, too.
	if data, err := os.ReadFile(filepath.Join(tree.Root, policy.File)); err == nil {
		if err := os.WriteFile(filepath.Join(aside, policy.File), data, 0o644); err != nil {
			return err
		}
	}
	if err := d.check(tree, dir); err != nil {
		return command.Refuse(err)
	}
	return tree.WriteSet(dir)
}

// check checks the set in dir beside the sets of the tree, unless those have mistakes already.
func (d *draft) check(tree *kustomization.Tree, dir string) error {
	var paths []string
	for _, other := range tree.Sets {
		paths = append(paths, filepath.Join(tree.Root, other.Name))
	}
	if _, err := imageset.Load(paths, nil); err != nil {
		paths = nil
	}
	aside := filepath.Dir(dir)
	input, _ := imageset.Load(append(paths, dir), nil)
	var found finding.List
	for _, f := range input.Found.All() {
		if name, inside := strings.CutPrefix(f.File, aside); inside {
			f.File = filepath.Join(tree.Root, name) // where it will be
		}
		f.Err = errors.New(strings.ReplaceAll(f.Err.Error(), aside, tree.Root))
		found.Add(f)
	}
	return found.Err()
}
