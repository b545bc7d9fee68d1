// Package presubmit says what is wrong with image sets before a change to them is merged. It finds what a run would refuse or
// warn of, and what no run can see: lines that go the wrong way, files that nobody reads, sets that nothing starts.
package presubmit

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"imagemirror/internal/finding"
	"imagemirror/internal/imageset"
	"imagemirror/internal/settings"
)

// The kinds of findings.
var (
	ruleReversed  = &finding.Rule{ID: "reversed", Text: "The source stands first on a line."}
	ruleFileName  = &finding.Rule{ID: "file-name", Text: "Mapping files are named mapping_NAME..., as the set."}
	ruleConfigMap = &finding.Rule{ID: "config-map", Text: "The set's files fit into its ConfigMaps, each under a key of its own."}
	ruleOrphan    = &finding.Rule{ID: "orphan", Text: "Each file is in a ConfigMap of its set, and each set has a schedule and is installed."}
	ruleSource    = &finding.Rule{ID: "source", Text: "Each source exists and may be read."}
	ruleImmutable = &finding.Rule{ID: "immutable", Text: "A tag that the set calls immutable does not move."}
)

// A checker collects what is found about image sets.
type checker struct {
	found finding.List
}

// Check reads the image sets that paths name, as imageset.Load does, and returns what is wrong with
// them, by file and line. A directory of image sets stands for all of them.
func Check(paths []string, stdin io.Reader) (*imageset.Input, *finding.List) {
	c := &checker{}
	paths = slices.DeleteFunc(collections(paths), c.lost)
	input := c.load(paths, stdin)
	places := &places{read: map[string]*kustomization{}}
	sets := slices.DeleteFunc(paths, func(path string) bool { return !isDir(path) || isBase(path) })
	for _, dir := range sets {
		c.files(dir)
		c.kustomized(places, dir)
	}
	c.installed(places, sets)
	c.reversed(input)
	c.found.Sort()
	return input, &c.found
}

// load reads the sets. If all of them were lost, that has been said already.
func (c *checker) load(paths []string, stdin io.Reader) *imageset.Input {
	if len(paths) == 0 && len(c.found.All()) > 0 {
		return &imageset.Input{}
	}
	input, _ := imageset.Load(paths, stdin) // the error is what it found
	// A run mirrors what nobody owns, but a change that leaves it so is not to be merged.
	input.Found.Promote(imageset.Owned)
	c.found.Merge(&input.Found)
	return input
}

// collections puts in the place of a directory of image sets those directories in it that are sets, or should be.
func collections(paths []string) []string {
	var all []string
	for _, path := range paths {
		inside := slices.DeleteFunc(subdirectories(path), func(dir string) bool { return !setLike(dir) })
		if len(inside) == 0 || len(mappingFiles(path)) > 0 {
			inside = []string{path}
		}
		all = append(all, inside...)
	}
	return all
}

// setLike says whether a directory has a file that image sets have.
func setLike(dir string) bool {
	return len(mappingFiles(dir)) > 0 || there(dir, "OWNERS") || there(dir, settings.File) || kustomizationFile(dir) != ""
}

// mappingFiles are the names of a directory's mapping files.
func mappingFiles(dir string) []string {
	var names []string
	for _, e := range entries(dir) {
		if strings.HasPrefix(e.Name(), imageset.Prefix) {
			names = append(names, e.Name())
		}
	}
	return names
}

func subdirectories(dir string) []string {
	var dirs []string
	for _, e := range entries(dir) {
		if path := filepath.Join(dir, e.Name()); isDir(path) && !strings.HasPrefix(e.Name(), ".") {
			dirs = append(dirs, path)
		}
	}
	return dirs
}

// entries are what is in a directory. Where that cannot be read, imageset says so.
func entries(dir string) []os.DirEntry {
	found, _ := os.ReadDir(dir)
	return found
}

func there(dir, name string) bool {
	_, err := os.Lstat(filepath.Join(dir, name))
	return err == nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
