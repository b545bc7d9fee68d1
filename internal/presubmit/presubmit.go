// Package presubmit says what is wrong with image sets before a change to them is merged. It finds what a run would refuse or
// warn of, and what no run can see: lines that go the wrong way, files that nobody reads, sets that nothing starts.
package presubmit

import (
	"fmt"
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
	ruleInput     = &finding.Rule{ID: "input", Text: "Every run can read the files, and each destination has one source."}
	ruleOdd       = &finding.Rule{ID: "odd", Text: "Nothing is written twice, or left without effect."}
	ruleOwners    = &finding.Rule{ID: "owners", Text: "Each set has an OWNERS file that names approvers."}
	ruleReversed  = &finding.Rule{ID: "reversed", Text: "The source stands first on a line."}
	ruleFileName  = &finding.Rule{ID: "file-name", Text: "Mapping files are named mapping_NAME..., as the set."}
	ruleConfigMap = &finding.Rule{ID: "config-map", Text: "The set's files fit into its ConfigMaps, each under a key of its own."}
	ruleOrphan    = &finding.Rule{ID: "orphan", Text: "Each file is in a ConfigMap of its set, and each set has a schedule and is installed."}
	ruleSource    = &finding.Rule{ID: "source", Text: "Each source exists and may be read."}
	ruleImmutable = &finding.Rule{ID: "immutable", Text: "A tag that the set calls immutable does not move."}
)

// maxFindings bounds how many findings of one rule are kept: behind them stands the count of the rest.
const maxFindings = 1000

// notes gathers findings.
type notes struct {
	found []finding.Finding
	count map[*finding.Rule]int
}

// add notes an error.
func (n *notes) add(rule *finding.Rule, file string, line int, format string, args ...any) {
	n.note(finding.Finding{Rule: rule, File: file, Line: line, Message: fmt.Sprintf(format, args...)})
}

func (n *notes) note(f finding.Finding) {
	if n.count == nil {
		n.count = map[*finding.Rule]int{}
	}
	if n.count[f.Rule]++; n.count[f.Rule] <= maxFindings {
		n.found = append(n.found, f)
	}
}

// all are the findings in order.
func (n *notes) all() []finding.Finding {
	finding.Sort(n.found)
	for rule, count := range n.count {
		if more := count - maxFindings; more > 0 {
			n.found = append(n.found, finding.Finding{Rule: rule, Message: fmt.Sprintf("there are %d more findings of the kind %q: mend the first ones and check again", more, rule.ID)})
		}
	}
	return n.found
}

// Check reads the image sets that paths name, as imageset.Load does, and says what is wrong with them. A directory of image
// sets stands for them all.
func Check(paths []string, stdin io.Reader) (*imageset.Input, []finding.Finding) {
	n := &notes{}
	paths = slices.DeleteFunc(collections(paths), n.lost)
	input := n.load(paths, stdin)
	places := &places{read: map[string]*kustomization{}}
	sets := slices.DeleteFunc(paths, func(path string) bool { return !isDir(path) || isBase(path) })
	for _, dir := range sets {
		n.files(dir)
		n.kustomized(places, dir)
	}
	n.installed(places, sets)
	n.reversed(input)
	return input, n.all()
}

// load reads the sets. Where all of them were lost, that is said already.
func (n *notes) load(paths []string, stdin io.Reader) *imageset.Input {
	if len(paths) == 0 && len(n.found) > 0 {
		return &imageset.Input{}
	}
	input, err := imageset.Load(paths, stdin)
	for _, line := range input.Warnings {
		f := finding.Parse(ruleOdd, line)
		f.Warning = true
		// A run mirrors what nobody owns, and a change that leaves it so is not to be merged.
		if slices.Contains(input.Unowned, line) {
			f.Rule, f.Warning = ruleOwners, false
		}
		n.note(f)
	}
	if err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			n.note(finding.Parse(ruleInput, line))
		}
	}
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
