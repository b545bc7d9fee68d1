package main

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"unicode"

	"sigs.k8s.io/yaml"

	"imagemirror/internal/imageset"
	"imagemirror/internal/reference"
	"imagemirror/internal/settings"
)

// set is what the files of a new set are made from.
type set struct {
	Name        string
	Destination string // a prefix of repositories
	Source      string // of its first mapping
	owners      []string
}

var (
	//go:embed settings.yaml.tmpl
	settingsText string
	//go:embed kustomization.yaml.tmpl
	kustomizationText string

	ownerRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)
)

// newSet refuses what would not make a set.
func newSet(name, destination, source string, owners []string) (*set, error) {
	if err := settings.CheckName(name); err != nil {
		return nil, fmt.Errorf("NAME=%q: %w", name, err)
	}
	if name == imageset.Base {
		return nil, fmt.Errorf("NAME=%s: this is what all sets include: choose another name", name)
	}
	if text, err := yaml.Marshal(name); err != nil || string(text) != name+"\n" || unicode.IsDigit(rune(name[0])) {
		return nil, fmt.Errorf("NAME=%s: to YAML this is no name: begin it with a letter", name)
	}
	// A prefix is what makes a repository's name with another element behind it.
	if r, err := reference.Parse(destination + "/" + name); err != nil || r.Name() != destination+"/"+name {
		return nil, fmt.Errorf("DEST=%q is no place to publish below: write HOST/ORGANISATION, such as quay.io/%s", destination, name)
	}
	if r, err := reference.ParsePattern(source); err != nil || r.Tag == "" && r.Digest == "" {
		return nil, fmt.Errorf("SOURCE=%q is no image: write HOST/REPOSITORY:TAG", source)
	}
	for _, owner := range owners {
		if !ownerRE.MatchString(owner) {
			return nil, fmt.Errorf("%q is no approver: give OWNERS=alice,bob", owner)
		}
	}
	return &set{Name: name, Destination: destination, Source: source, owners: owners}, nil
}

// mapping is the set's first. Its destination has the source's tag.
func (s *set) mapping() string { return s.Source + " " + s.Destination + "/" + s.Name }

// MappingFile is the name of the set's first.
func (s *set) MappingFile() string { return imageset.Prefix + s.Name }

// Minute spreads the sets over the hour, by their names, since they share one address towards the registries.
func (s *set) Minute() uint32 {
	h := fnv.New32a()
	h.Write([]byte(s.Name))
	return h.Sum32() % 60
}

// files are the set's, by name.
func (s *set) files() (map[string][]byte, error) {
	owners, err := yaml.Marshal(map[string][]string{"approvers": s.owners})
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{"OWNERS": owners, s.MappingFile(): []byte(s.mapping() + "\n")}
	for name, text := range map[string]string{settings.File: settingsText, "kustomization.yaml": kustomizationText} {
		var b bytes.Buffer
		if err := template.Must(template.New(name).Parse(text)).Execute(&b, s); err != nil {
			return nil, err
		}
		files[name] = b.Bytes()
	}
	return files, nil
}

// write puts the set below root and lists it there. Where that fails, all is as it was.
func (s *set) write(root string) (err error) {
	dir := filepath.Join(root, s.Name)
	if _, err := os.Lstat(dir); err == nil {
		return fmt.Errorf("%s is there already: choose another NAME, or add mapping files to that set", dir)
	}
	listing := filepath.Join(root, "kustomization.yaml")
	list, err := os.ReadFile(listing)
	if err != nil {
		return fmt.Errorf("%w: run this in the root of the repository", err)
	}
	list, err = add(s.Name, list)
	if err != nil {
		return fmt.Errorf("%s: %w", listing, err)
	}
	// All is made aside first: each of the two steps that show is a rename.
	aside, err := os.MkdirTemp(root, ".new-set-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(aside)) }()
	if err := s.stage(root, aside); err != nil {
		return err
	}
	newListing := filepath.Join(aside, "kustomization.yaml")
	if err := os.WriteFile(newListing, list, 0o644); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(aside, s.Name), dir); err != nil {
		return err
	}
	if err := os.Rename(newListing, listing); err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	return nil
}

// stage writes the set into a folder of its own and holds it to what split -check does.
func (s *set) stage(root, aside string) error {
	files, err := s.files()
	if err != nil {
		return err
	}
	dir := filepath.Join(aside, s.Name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return err
		}
	}
	paths, err := others(root)
	if err != nil {
		return err
	}
	if _, err := imageset.Load(append(paths, dir), nil); err != nil {
		return errors.New(strings.ReplaceAll(err.Error(), aside, root))
	}
	return nil
}

// others are the sets that are there, unless something is wrong with them already: that is not the new set's.
func others(root string) ([]string, error) {
	owned, err := filepath.Glob(filepath.Join(root, "*", "OWNERS"))
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, file := range owned {
		paths = append(paths, filepath.Dir(file))
	}
	if _, err := imageset.Load(paths, nil); err != nil {
		return nil, nil
	}
	return paths, nil
}

var entryRE = regexp.MustCompile(`^\s*- (\S+)\s*$`)

// add lists a set among a kustomization's resources, by the alphabet. The rest stays as people wrote it.
func add(name string, kustomization []byte) ([]byte, error) {
	lines := strings.SplitAfter(strings.TrimRight(string(kustomization), "\n")+"\n", "\n")
	first := slices.Index(lines, "resources:\n") + 1
	if first == 0 {
		return nil, errors.New("it has no list of resources to add the set to")
	}
	at := -1
	for i := first; ; i++ { // the last line is empty, and no entry
		switch entry := entryRE.FindStringSubmatch(lines[i]); {
		case entry == nil && strings.HasPrefix(strings.TrimSpace(lines[i]), "#"):
		case entry == nil:
			if at < 0 {
				at = i
			}
			return []byte(strings.Join(slices.Insert(lines, at, "  - "+name+"\n"), "")), nil
		case entry[1] == name:
			return nil, fmt.Errorf("%s is listed already, without a directory: remove it there, or choose another NAME", name)
		case entry[1] > name && at < 0:
			at = i
		}
	}
}
