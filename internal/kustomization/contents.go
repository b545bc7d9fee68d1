package kustomization

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"imagemirror/internal/finding"
	"imagemirror/internal/imageset"
	"imagemirror/internal/policy"
	"imagemirror/internal/settings"
)

// judge refuses entries that the directory of a set may not have. It leaves the set's own names to
// those who read these files, and a misspelled mapping file to imageset, which reports both.
// Settings under another spelling go to input.
func judge(dir string, named []string, found, input *finding.List) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case e.Name() == imageset.OwnersFile || e.Name() == settings.File || e.Name() == File || strings.HasPrefix(e.Name(), imageset.Prefix):
		case e.IsDir() && isSet(path):
			refuseNested(path, dir, found)
		case e.IsDir():
			found.Refuse(Contents, path, 0, "an image set has no directories: remove it")
		case !e.Type().IsRegular():
			found.Refuse(Contents, path, 1, "this is a link, or another kind of file that an image set does not have: remove it")
		case slices.Contains(named, e.Name()):
		case imageset.Misspelled(e.Name()):
		case imageset.Misnamed(e.Name(), settings.File):
			input.Refuse(finding.Input, path, 1, imageset.MisnamedText, settings.File)
		case e.Name() == policy.File:
			found.Refuse(Contents, path, 1, "the operator's policy is beside the sets: remove the file")
		case meant(e.Name()) != "":
			found.Refuse(Contents, path, 1, imageset.MisnamedText, meant(e.Name()))
		case strings.HasSuffix(e.Name(), ".pub") || strings.HasSuffix(e.Name(), ".pem") || strings.HasSuffix(e.Name(), ".json"):
			found.Refuse(Contents, path, 1, "spec.verify of %s does not name this file: name it there, or remove it", settings.File)
		default:
			found.Refuse(Contents, path, 1, "an image set has only OWNERS, %s, files %sNAME and the generated %s: remove the file",
				settings.File, imageset.Prefix, File)
		}
	}
}

// meant returns the name of the file of a set that a misspelled name seems to stand for, or "".
func meant(name string) string {
	name = strings.ToLower(name)
	for prefix, right := range map[string]string{"owner": imageset.OwnersFile, "setting": settings.File, "kustomiz": File} {
		if strings.HasPrefix(name, prefix) {
			return right
		}
	}
	return ""
}

// isSet reports whether a directory has files that only image sets have.
func isSet(dir string) bool {
	return len(imageset.MappingFiles(dir)) > 0 || imageset.Contains(dir, settings.File)
}

// Nested refuses each image set below a directory that is, or could be, a set itself. Sets
// belong beside it.
func Nested(dir string) *finding.List {
	var found finding.List
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil || !e.IsDir() || path == dir:
			return nil // nobody can read a set there
		case strings.HasPrefix(e.Name(), "."):
			return fs.SkipDir
		case isSet(path):
			refuseNested(path, dir, &found)
			return fs.SkipDir
		}
		return nil
	})
	return &found
}

// refuseNested refuses the image set in path, which is somewhere below a directory beside the
// sets.
func refuseNested(path, dir string, found *finding.List) {
	found.Refuse(Orphan, path, 0, "the image set is nested below %s, where nothing reads or installs it: move it to %s",
		dir, filepath.Join(dir, "..", filepath.Base(path)))
}
