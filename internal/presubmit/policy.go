package presubmit

import (
	"path/filepath"

	"imagemirror/internal/finding"
	"imagemirror/internal/imageset"
	"imagemirror/internal/policy"
)

// policies warns of bounds for sets that are not there. They may be for a set to come, or the name
// is misspelled, and the set has the bounds of all others. What else is wrong with a policy,
// imageset finds.
func (c *checker) policies(sets []string) {
	read := map[string]bool{}
	for _, dir := range sets {
		root := parent(dir)
		path := filepath.Join(root, policy.File)
		data, err := imageset.ReadFile(path, policy.MaxFile)
		if read[root] || err != nil {
			continue
		}
		read[root] = true
		p, _ := policy.Parse(path, data)
		for set, line := range p.Sets {
			if !isDir(filepath.Join(root, set)) {
				c.found.Warn(finding.Odd, path, line, "no image set %q is beside the policy: its bounds have no effect", set)
			}
		}
	}
}
