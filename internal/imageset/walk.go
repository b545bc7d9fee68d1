package imageset

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"imagemirror/internal/settings"
	"imagemirror/internal/text"
)

func (l *loader) path(path string) {
	switch path {
	case Stdin:
		l.standardInput()
		return
	case "":
		l.refuse("", 0, errors.New("a PATH is empty: name a mapping file, an image-set directory or - for standard input"))
		return
	}
	path = filepath.Clean(path)
	if !l.shown(path) {
		return
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		l.refuse(path, 0, withoutPath(err))
	case info.IsDir():
		l.directories(path)
	case !info.Mode().IsRegular():
		// Opening a named pipe would wait for a writer.
		l.refuse(path, 0, errors.New("this is not a regular file: name a mapping file, an image-set directory or - for standard input"))
	default:
		if set := l.set(filepath.Dir(path)); set != nil {
			l.file(set, path)
		}
	}
}

func (l *loader) standardInput() {
	const name = "stdin"
	if !l.first(Stdin, name) {
		return
	}
	if set := l.newSet(name, Stdin, Stdin); set != nil {
		l.parse(set, l.stdin, name)
	}
}

// first reports whether a file or directory has not been read yet, and warns if it has.
func (l *loader) first(absolute, label string) bool {
	if l.read[absolute] {
		l.warn(label, "this is named twice: it is read once")
		return false
	}
	l.read[absolute] = true
	return true
}

// absolute returns the absolute form of a path, and false if that is not known.
func (l *loader) absolute(path string) (string, bool) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		l.refuse(path, 0, err)
	}
	return absolute, err == nil
}

// directories reads the set in a directory, or the sets in a directory of image sets.
func (l *loader) directories(dir string) {
	dirs := []string{dir}
	if len(MappingFiles(dir)) == 0 {
		if sets := setsIn(dir); len(sets) > 0 {
			dirs = sets
		}
	}
	for _, d := range dirs {
		if l.shown(d) {
			l.directory(d)
		}
	}
}

// setsIn returns the directories in a directory that are image sets. One that has only OWNERS or
// settings.yaml is a set whose mapping files are missing: it is returned, to be refused by name. If
// no directory has mapping files, setsIn returns none.
func setsIn(dir string) []string {
	var sets []string
	found := false
	for _, d := range Directories(dir) {
		has := len(MappingFiles(d)) > 0
		found = found || has
		if has || Contains(d, OwnersFile) || Contains(d, settings.File) {
			sets = append(sets, d)
		}
	}
	if !found {
		return nil
	}
	return sets
}

func (l *loader) directory(dir string) {
	absolute, ok := l.absolute(dir)
	if !ok || !l.first(absolute, dir) {
		return
	}
	files, ok := l.mappingFiles(dir)
	if !ok || len(files) == 0 && holdsBase(dir) {
		return
	}
	if len(files) == 0 {
		l.refuse(dir, 0, errors.New("the directory has no mapping file: name files mapping_NAME, or name the image set's directory"))
		return
	}
	set := l.set(dir)
	if set == nil {
		return
	}
	for _, f := range files {
		if err := CheckRegular(f); err != nil {
			l.refuse(f, 1, err)
			continue
		}
		l.file(set, f)
	}
	l.unused(set)
}

// holdsBase reports whether a directory is what image sets include: image-sets/*/ names it, too.
func holdsBase(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "kustomization.yaml"))
	return filepath.Base(dir) == Base && err == nil
}

// mappingFiles returns the paths of a directory's mapping files, and false if it refused the
// directory. The files of a mounted ConfigMap are links, by way of a directory whose name begins
// with two dots.
func (l *loader) mappingFiles(dir string) (files []string, ok bool) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		l.refuse(dir, 0, withoutPath(err))
		return nil, false
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), Prefix):
			if !l.shown(path) {
				return nil, false
			}
			files = append(files, path)
		case Misspelled(e.Name()) && text.IsPrintable(path):
			l.input.Found.Warn(FileName, path, 1, "the file is not read: a mapping file's name begins with %s", Prefix)
		}
	}
	return files, true
}

func (l *loader) file(set *Set, path string) {
	absolute, ok := l.absolute(path)
	if !ok || !l.first(absolute, path) {
		return
	}
	f, err := os.Open(path)
	if err != nil {
		l.refuse(path, 1, withoutPath(err))
		return
	}
	defer f.Close()
	l.parse(set, f, path)
}

// shown refuses names that would break the lines they are shown in, and reports whether path has
// none of these.
func (l *loader) shown(path string) bool {
	ok := text.IsPrintable(path)
	if !ok {
		l.refuse("", 0, fmt.Errorf("the name %q has characters that cannot be shown: rename it", path))
	}
	return ok
}

// withoutPath returns err without the path that it repeats.
func withoutPath(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return cmp.Or(pathErr.Err, err)
	}
	return err
}
