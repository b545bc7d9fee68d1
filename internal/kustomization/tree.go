package kustomization

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation"

	"imagemirror/internal/atomicfile"
	"imagemirror/internal/finding"
	"imagemirror/internal/imageset"
	"imagemirror/internal/policy"
	"imagemirror/internal/settings"
	"imagemirror/internal/strictyaml"
	"imagemirror/internal/text"
)

// The rules about a tree of image sets.
var (
	Generated = &finding.Rule{ID: "kustomization", Text: "Kustomizations are as they are generated."}
	Contents  = &finding.Rule{ID: "contents", Text: "The directory of an image set has only its own files."}
	ConfigMap = &finding.Rule{ID: "config-map", Text: "The set's files fit into its ConfigMaps, each under a key of its own."}
	Orphan    = &finding.Rule{ID: "orphan", Text: "Each set is where it is found, has mapping files and is installed."}
)

// A Tree is a directory of image sets that are installed with kustomize: each set is a
// directory in it, beside the base that all of them include.
type Tree struct {
	Root      string
	Namespace string
	Network   *policy.Network // that the operator's policy has, or nil
	Sets      []*SetDirectory // by name
}

// Root returns the directory of the sets that the arguments of a command name.
func Root(args []string) (string, error) {
	switch len(args) {
	case 0:
		return "image-sets", nil
	case 1:
		return filepath.Clean(args[0]), nil
	}
	return "", errors.New("several directories are named: name the one that has the image sets")
}

// Read reads the tree in a directory. Its sets are those that a kustomization can be written
// for; the findings have whatever may not be there.
func Read(root string) (*Tree, *finding.List) {
	var found finding.List
	t := openTree(root)
	t.checkBase(&found)
	t.readNetwork(&found)
	for _, dir := range imageset.Directories(root) {
		switch {
		case filepath.Base(dir) == imageset.Base:
		case len(imageset.MappingFiles(dir)) > 0:
			s, ok := t.readSet(dir, &found, &found)
			for _, f := range s.Files {
				if err := CheckKey(f.Name); err != nil {
					found.Refuse(ConfigMap, filepath.Join(dir, f.Name), 1, "%w", err)
				}
			}
			if ok {
				t.Sets = append(t.Sets, s)
			}
		case imageset.Contains(dir, imageset.OwnersFile) || imageset.Contains(dir, settings.File) || Path(dir) != "":
			found.Refuse(Orphan, dir, 0, "the directory has no mapping file: restore its files, or remove the directory")
		default:
			found.Merge(Nested(dir))
		}
	}
	found.Sort()
	return t, &found
}

// IsTree reports whether a directory has a listing of sets and the base that they include.
func IsTree(dir string) bool {
	return imageset.Contains(dir, File) && imageset.Contains(filepath.Join(dir, imageset.Base), File)
}

// openTree returns a tree without its sets, with the namespace that its listing names.
func openTree(root string) *Tree {
	t := &Tree{Root: root, Namespace: DefaultNamespace}
	data, err := readRegular(t.path())
	if err != nil {
		return t
	}
	strictyaml.Read(Generated, t.path(), data, maxFile, func(v strictyaml.Value) {
		v.Keys(strictyaml.Key{Name: "namespace", Read: func(v strictyaml.Value) {
			if name, ok := v.Text(); ok && len(validation.IsDNS1123Label(name)) == 0 {
				t.Namespace = name
			}
		}})
	})
	return t
}

// path returns the path of the listing.
func (t *Tree) path() string { return filepath.Join(t.Root, File) }

// Listing returns the kustomization that installs the sets of the tree, and those in more. It
// has the sets with mistakes, too: those may be installed, and to leave one out removes it.
func (t *Tree) Listing(more ...string) []byte {
	more = append(more, t.names()...)
	slices.Sort(more)
	return t.listing(slices.Compact(more))
}

// names returns the names of the directories that are sets, also of those with mistakes.
func (t *Tree) names() (names []string) {
	for _, dir := range imageset.Directories(t.Root) {
		info, err := os.Lstat(dir)
		name := filepath.Base(dir)
		if err == nil && info.IsDir() && len(imageset.MappingFiles(dir)) > 0 && name != imageset.Base && settings.CheckName(name) == nil {
			names = append(names, name)
		}
	}
	return names
}

// Write writes the kustomizations of all sets and their listing, and returns the paths of
// those that changed.
func (t *Tree) Write() (changed []string, err error) {
	files := map[string][]byte{t.path(): t.Listing()}
	paths := []string{t.path()}
	for _, s := range t.Sets {
		path := filepath.Join(t.Root, s.Name, File)
		files[path] = s.Kustomization(t.Namespace)
		paths = append(paths, path)
	}
	if t.Network != nil {
		files[t.networkPath()] = t.networkPolicy()
		paths = append(paths, t.networkPath())
	} else if t.hasOldNetwork() {
		if err := os.Remove(t.networkPath()); err != nil {
			return nil, err
		}
		changed = append(changed, t.networkPath())
	}
	for _, path := range paths {
		if data, err := readRegular(path); err == nil && bytes.Equal(data, files[path]) {
			continue
		}
		if err := atomicfile.Write(path, files[path]); err != nil {
			return changed, err
		}
		changed = append(changed, path)
	}
	return changed, nil
}

// WriteSet writes the kustomization of a set that is not in the tree yet. The set has the
// name of its directory.
func (t *Tree) WriteSet(dir string) error {
	var found finding.List
	s, ok := t.readSet(dir, &found, &found)
	if !ok {
		return found.Err()
	}
	return atomicfile.Write(filepath.Join(dir, File), s.Kustomization(t.Namespace))
}

// checkBase refuses a tree without what its sets include.
func (t *Tree) checkBase(found *finding.List) {
	if base := filepath.Join(t.Root, imageset.Base); !imageset.Contains(base, File) {
		found.Refuse(Orphan, base, 0, "all sets include this directory, but it has no %s: copy image-sets/%s of imagemirror here", File, imageset.Base)
	}
}

// readSet reads the directory of a set, and refuses entries that it may not have. It reports
// whether a kustomization can be generated. What imageset finds too goes to input, so that a
// check does not report it twice.
func (t *Tree) readSet(dir string, found, input *finding.List) (s *SetDirectory, ok bool) {
	s, ok = &SetDirectory{Name: imageset.NameOf(dir)}, true
	if info, err := os.Lstat(dir); err == nil && !info.IsDir() {
		found.Refuse(Contents, dir, 0, "this is a link: put the set's directory itself here")
		return s, false
	}
	if err := settings.CheckName(s.Name); err != nil {
		found.Refuse(Orphan, dir, 0, "%v: rename the directory", err)
		ok = false
	}
	named := namedFiles(dir)
	judge(dir, named, found, input)
	for _, name := range slices.Concat([]string{imageset.OwnersFile, settings.File}, named, imageset.MappingFiles(dir)) {
		path := filepath.Join(dir, name)
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := imageset.CheckRegular(path); err != nil {
			input.Refuse(finding.Input, path, 1, "%w", err)
			ok = false
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			input.Refuse(finding.Input, path, 1, "%w", err)
			ok = false
			continue
		}
		s.Files = append(s.Files, SetFile{Name: name, Size: info.Size()})
		if info.Size()+int64(len(name)) > maxConfigMap {
			found.Refuse(ConfigMap, path, 1, "the file has %s, and a ConfigMap has room for %s: cut it into several, or compress it with gzip",
				text.Size(info.Size()), text.Size(maxConfigMap))
			ok = false
		}
	}
	return s, t.readSettings(s, dir, found, input) && ok
}

// namedFiles returns the names of the files that the settings of a set name, sorted.
func namedFiles(dir string) []string {
	data, err := imageset.ReadFile(filepath.Join(dir, settings.File), settings.MaxFile)
	if err != nil {
		return nil
	}
	s, _ := settings.Parse(settings.File, data)
	return slices.Sorted(slices.Values(settings.Files(s.Verify)))
}

// readSettings learns from the settings of a set whether it has a schedule. It reports
// whether they can be read; what is wrong with them goes to input.
func (t *Tree) readSettings(s *SetDirectory, dir string, found, input *finding.List) bool {
	path := filepath.Join(dir, settings.File)
	data, err := imageset.ReadFile(path, settings.MaxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true
	case err != nil && imageset.CheckRegular(path) != nil:
		return false // readSet has refused it
	case err != nil:
		input.Refuse(finding.Input, path, 1, "%w", err)
		return false
	}
	parsed, mistakes := settings.Parse(path, data)
	if mistakes.Err() != nil {
		input.Merge(mistakes)
		return false
	}
	s.Scheduled = parsed.Schedule != ""
	if s.Scheduled && !parsed.LocalConfig {
		found.Refuse(Generated, path, 1, "a cluster would refuse an object of this kind: add the annotation %s: \"true\", so that kustomize does not apply it",
			settings.LocalConfig)
	}
	return true
}

// CheckKey refuses the name of a file that cannot be a key of a ConfigMap.
func CheckKey(name string) error {
	if errs := validation.IsConfigMapKey(name); len(errs) > 0 {
		return fmt.Errorf("the file's name %.100q cannot be a key of a ConfigMap: use at most %d letters, digits, '-', '_' and '.'",
			name, validation.DNS1123SubdomainMaxLength)
	}
	return nil
}

// Path returns the path of a directory's kustomization, under any of the names that kustomize
// knows, or "".
func Path(dir string) string {
	for _, name := range []string{File, "kustomization.yml", "Kustomization"} {
		if imageset.Contains(dir, name) {
			return filepath.Join(dir, name)
		}
	}
	return ""
}

// maxFile bounds the kustomizations that are read, in bytes.
const maxFile = 1 << 20

// readRegular reads a regular file, and refuses a link.
func readRegular(path string) ([]byte, error) {
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
		return nil, errors.New("this is not a regular file: remove it")
	}
	return imageset.ReadFile(path, maxFile)
}
