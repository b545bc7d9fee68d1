package kustomization

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"

	"imagemirror/internal/finding"
	"imagemirror/internal/imageset"
	"imagemirror/internal/settings"
	"imagemirror/internal/strictyaml"
	"imagemirror/internal/text"
)

// Applies reports whether a set's directory, the one that it is in, or the base beside it has
// a kustomization. Other sets are not installed with kustomize, and are not checked here.
// The base counts, so that a change that removes all else does not turn the check off.
func Applies(dir string) bool {
	root := filepath.Join(dir, "..")
	return Path(dir) != "" || Path(root) != "" || Path(filepath.Join(root, imageset.Base)) != ""
}

// Check compares the kustomizations of sets, and the listings beside them, with what is
// generated. It also refuses whatever a set's directory may not have.
func Check(dirs []string) *finding.List {
	var found finding.List
	trees := map[string]*Tree{}
	for _, dir := range dirs {
		if !Applies(dir) {
			continue
		}
		root := filepath.Join(dir, "..")
		t := trees[root]
		if t == nil {
			t = openTree(root)
			trees[root] = t
			t.checkBase(&found)
			t.readNetwork(new(finding.List)) // imageset reports what is wrong with the policy
			t.checkListing(&found)
			t.checkNetwork(&found)
		}
		t.checkSet(dir, &found)
	}
	return &found
}

// checkSet compares a set's kustomization with its files.
func (t *Tree) checkSet(dir string, found *finding.List) {
	s, ok := t.readSet(dir, found, new(finding.List)) // imageset reports its part
	switch path := Path(dir); {
	case !ok:
	case path == "":
		found.Refuse(Orphan, dir, 0, "the set has no %s, so nothing installs or starts it: %s", File, t.advice())
	case filepath.Base(path) == File:
		t.compare(path, s.Kustomization(t.Namespace), s.readResource, found)
	}
}

// checkListing compares the listing of a tree, if there is one, with its sets.
func (t *Tree) checkListing(found *finding.List) {
	sets := t.names()
	switch path := Path(t.Root); {
	case path == "":
		found.Refuse(Orphan, t.path(), 0, "this file lists the sets to install, and is missing: %s", t.advice())
	case path != t.path():
		found.Refuse(Generated, path, 1, "this lists the sets under another name than %s: remove it, and %s", File, t.advice())
	default:
		t.compare(path, t.listing(sets), t.readListed(append(sets, NetworkFile)), found)
	}
}

// compare refuses a kustomization that differs from the generated one. It names what is wrong
// if it can; resources reads the list of resources for that.
func (t *Tree) compare(path string, want []byte, resources func(strictyaml.Value), found *finding.List) {
	data, differs := t.differs(path, want, found)
	if !differs {
		return
	}
	told := strictyaml.Read(Generated, path, data, maxFile, func(v strictyaml.Value) {
		v.Keys(append(slices.Clone(forbidden), generatedKeys(resources)...)...)
	})
	if told.Err() == nil {
		t.refuseDifference(path, data, want, told)
	}
	found.Merge(told)
}

// compareText refuses a file that differs from the generated one.
func (t *Tree) compareText(path string, want []byte, found *finding.List) {
	if data, differs := t.differs(path, want, found); differs {
		t.refuseDifference(path, data, want, found)
	}
}

// differs reports whether the content of a file differs from the generated one. It refuses a file
// that cannot be read, or has other line ends.
func (t *Tree) differs(path string, want []byte, found *finding.List) (data []byte, differs bool) {
	data, err := readRegular(path)
	switch {
	case err != nil:
		found.Refuse(Generated, path, 1, "%w; then %s", err, t.advice())
		return nil, false
	case bytes.Equal(data, want):
		return nil, false
	case bytes.Equal(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")), want):
		found.Refuse(Generated, path, 1, "its lines end with CRLF: %s, and set git's core.autocrlf to input", t.advice())
		return nil, false
	}
	return data, true
}

// refuseDifference refuses a file at the first line that differs.
func (t *Tree) refuseDifference(path string, data, want []byte, found *finding.List) {
	line, belongs := difference(data, want)
	found.Refuse(Generated, path, line, "this differs from the generated file: %s here; %s", belongs, t.advice())
}

// advice returns how to generate the kustomizations of a tree.
func (t *Tree) advice() string {
	return "run make sets (imagemirror sets " + text.Printable(t.Root) + ")"
}

// maxQuoted bounds what a message quotes, in characters.
const maxQuoted = 100

// difference returns the first line at which a file differs from what it should be, and what
// belongs there.
func difference(data, want []byte) (line int, belongs string) {
	is, should := strings.Split(string(data), "\n"), strings.Split(string(want), "\n")
	for line < len(is) && line < len(should) && is[line] == should[line] {
		line++
	}
	if line >= len(should) || should[line] == "" {
		return line + 1, "nothing more belongs"
	}
	return line + 1, "the line " + text.Quote(should[line], maxQuoted) + " belongs"
}

// generatedKeys returns the keys that generated kustomizations have.
func generatedKeys(resources func(strictyaml.Value)) []strictyaml.Key {
	known := []strictyaml.Key{{Name: "resources", Read: func(v strictyaml.Value) { v.List(resources) }}}
	for _, name := range []string{
		"apiVersion", "kind", "namespace", "nameSuffix", "labels", "configMapGenerator", "generatorOptions", "replacements",
	} {
		known = append(known, strictyaml.Key{Name: name, Read: func(strictyaml.Value) {}})
	}
	return known
}

// forbidden has the other keys that kustomize knows, with the reason why a set may not have
// them.
var forbidden = func() []strictyaml.Key {
	var all []strictyaml.Key
	for why, names := range map[string][]string{
		"a patch can turn the set's objects into those of another set: remove it":         {"patches", "patchesStrategicMerge", "patchesJson6902"},
		"it can change any object, or run a program that does: remove it":                 {"transformers", "validators", "configurations", "openapi", "crds"},
		"it can add any object, or run a program that does: remove it":                    {"generators", "secretGenerator", "components", "bases", "helmCharts", "helmGlobals", "helmChartInflationGenerator"},
		"objects of sets have the names, labels and images that are generated: remove it": {"namePrefix", "commonLabels", "commonAnnotations", "images", "imageTags", "replicas", "vars"},
		"a generated kustomization does not have it: remove it":                           {"sortOptions", "buildMetadata", "metadata"},
	} {
		for _, name := range names {
			all = append(all, strictyaml.Key{Name: name, Refuse: why})
		}
	}
	return all
}()

// readResource refuses a resource that is not one of a set.
func (s *SetDirectory) readResource(v strictyaml.Value) {
	if name, ok := v.Text(); ok && !slices.Contains(s.resources(), name) && name != settings.File {
		refuseResource(v, name, "is not one of a set's own objects")
	}
}

// readListed refuses a resource that is no set.
func (t *Tree) readListed(sets []string) func(strictyaml.Value) {
	return func(v strictyaml.Value) {
		if name, ok := v.Text(); ok && !slices.Contains(sets, name) {
			refuseResource(v, name, "is not an image set here")
		}
	}
}

func refuseResource(v strictyaml.Value, name, why string) {
	if remote(name) {
		why = "is on another machine, where it can change at any time"
	}
	v.Refuse("the resource %s %s: remove it", text.Quote(name, maxQuoted), why)
}

// remote reports whether kustomize would fetch a resource: a URL, or a path that begins with
// a host.
func remote(resource string) bool {
	first, _, deeper := strings.Cut(resource, "/")
	return strings.ContainsAny(resource, ":?") || deeper && strings.Contains(strings.Trim(first, "."), ".")
}
