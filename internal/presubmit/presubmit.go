// Package presubmit finds what is wrong with image sets before a change to them is merged. It
// finds what a run would refuse or warn of, and what no run can see: lines that go the wrong
// way, files that nobody reads, sets that nothing starts.
package presubmit

import (
	"io"
	"os"
	"path/filepath"
	"slices"

	"imagemirror/internal/finding"
	"imagemirror/internal/imageset"
	"imagemirror/internal/kustomization"
	"imagemirror/internal/settings"
)

// The rules of what only this package finds.
var (
	ruleReversed  = &finding.Rule{ID: "reversed", Text: "The source stands first on a line."}
	ruleSource    = &finding.Rule{ID: "source", Text: "Each source exists and may be read."}
	ruleTakeover  = &finding.Rule{ID: "takeover", Text: "A tag is published by one mapping, and by nothing else."}
	ruleVerified  = &finding.Rule{ID: "verified", Text: "Each source is signed as settings and policies demand."}
	ruleImmutable = &finding.Rule{ID: "immutable", Text: "A tag that the set calls immutable does not move."}
)

// A checker collects what is found about image sets.
type checker struct {
	found finding.List
}

// Check reads the image sets that paths name, as imageset.Load does, and returns what is
// wrong with them, by file and line. A directory of image sets stands for all of them.
func Check(paths []string, stdin io.Reader) (*imageset.Input, *finding.List) {
	c := &checker{}
	paths = c.expand(paths)
	input := c.load(paths, stdin)
	sets := slices.DeleteFunc(paths, func(path string) bool { return !isDir(path) || shared(path) })
	for _, dir := range sets {
		c.files(dir)
	}
	c.policies(sets)
	c.found.Merge(kustomization.Check(sets))
	c.reversed(input)
	c.found.Sort()
	return input, &c.found
}

// load reads the sets. If none is left, what is wrong with them has been found already.
func (c *checker) load(paths []string, stdin io.Reader) *imageset.Input {
	if len(paths) == 0 && c.found.Err() != nil {
		return &imageset.Input{}
	}
	input, _ := imageset.Load(paths, stdin) // the error is what it found
	// A run mirrors sets without owners, and ignores files that it does not know. A change that
	// leaves such a set or file must not be merged.
	input.Found.Promote(imageset.Owned)
	input.Found.Promote(imageset.OwnersKey)
	input.Found.Promote(imageset.FileName)
	// Nor must one whose settings select nothing where their author thinks they do.
	input.Found.Promote(imageset.Selects)
	c.found.Merge(&input.Found)
	return input
}

// expand replaces a directory of image sets by the sets in it. It refuses what is left of a
// deleted set, and sets that are nested where nothing looks for them.
func (c *checker) expand(paths []string) []string {
	var all []string
	for _, path := range paths {
		dirs := []string{path}
		inTree := kustomization.IsTree(parent(path))
		if inside := imageset.Directories(path); len(imageset.MappingFiles(path)) == 0 && !inTree && slices.ContainsFunc(inside, setLike) {
			dirs = inside
		}
		for _, dir := range dirs {
			named := dir == path
			nested := (!named || inTree || len(imageset.MappingFiles(dir)) > 0) && c.nested(dir)
			if c.lost(dir) || nested && len(imageset.MappingFiles(dir)) == 0 || !named && !setLike(dir) {
				continue
			}
			all = append(all, dir)
		}
	}
	return all
}

// nested refuses the image sets below a directory, and reports whether there are any. In a
// set that is installed with kustomize, any directory is refused with the set.
func (c *checker) nested(dir string) bool {
	if !isDir(dir) || shared(dir) || len(imageset.MappingFiles(dir)) > 0 && kustomization.Applies(dir) {
		return false
	}
	found := kustomization.Nested(dir)
	c.found.Merge(found)
	return found.Err() != nil
}

// lost reports whether a directory has a kustomization but no mapping files, and refuses it if
// so.
func (c *checker) lost(dir string) bool {
	path := kustomization.Path(dir)
	if !isDir(dir) || shared(dir) || path == "" || len(imageset.MappingFiles(dir)) > 0 {
		return false
	}
	c.found.Refuse(kustomization.Orphan, path, 1, "this schedules a set that has no mapping file: restore its files, or remove the directory and run make sets")
	return true
}

// shared reports whether a directory is the base that the sets beside it include.
func shared(dir string) bool { return imageset.NameOf(dir) == imageset.Base }

// parent returns the directory that a directory is in, by its name.
func parent(dir string) string { return filepath.Join(dir, "..") }

// setLike reports whether a directory has a file that image sets have.
func setLike(dir string) bool {
	return len(imageset.MappingFiles(dir)) > 0 || imageset.Contains(dir, imageset.OwnersFile) || imageset.Contains(dir, settings.File) || kustomization.Path(dir) != ""
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
