package strictyaml

import (
	"slices"

	"go.yaml.in/yaml/v3"
)

// maxMerged bounds the keys that a mapping may have with those that it merges, and the mappings
// that it merges.
const maxMerged = maxList

// Merged returns a mapping with the keys of the mappings that its << keys name
// (https://yaml.org/type/merge.html). A key of the mapping itself wins, then the first mapping
// that has it. Other values are returned as they are.
func (v Value) Merged() Value {
	if !v.IsMapping() {
		return v
	}
	m := merger{has: map[string]bool{}, seen: map[*yaml.Node]bool{v.node: true}}
	m.add(v.node.Content, func(string) bool { return false })
	for len(m.next) > 0 && m.left() {
		last := len(m.next) - 1
		mapping := m.next[last]
		m.next = m.next[:last]
		m.add(mapping.Content, func(key string) bool { return m.has[key] })
	}
	if !m.left() {
		v.Refuse("%s merges more than %d keys: name fewer with <<", v.called(), maxMerged)
	}
	node := *v.node
	node.Content = m.content
	return Value{name: v.name, node: &node, from: v.from}
}

// A merger collects the pairs of a mapping and of those that it merges. Each mapping is read once,
// so that aliases of aliases do not multiply.
type merger struct {
	content []*yaml.Node
	has     map[string]bool // keys of content
	next    []*yaml.Node    // mappings to merge, the next one last
	seen    map[*yaml.Node]bool
}

func (m *merger) left() bool { return len(m.content)/2+len(m.seen) <= 2*maxMerged }

// add adds the pairs of a mapping, except those to skip. What the mapping merges comes next.
func (m *merger) add(pairs []*yaml.Node, skip func(key string) bool) {
	var sources []*yaml.Node
	for pair := range slices.Chunk(pairs, 2) {
		switch key, value := pair[0], pair[1]; {
		case !m.left():
			return
		case key.ShortTag() == "!!merge":
			sources = append(sources, m.sources(value)...)
		case !skip(key.Value):
			m.content = append(m.content, key, value)
			m.has[key.Value] = true
		}
	}
	slices.Reverse(sources)
	m.next = append(m.next, sources...)
}

// sources returns the mappings that the value of a << key names, one or a list, if they have not
// been seen.
func (m *merger) sources(value *yaml.Node) (mappings []*yaml.Node) {
	all := []*yaml.Node{value}
	if target := resolveAlias(value); target.Kind == yaml.SequenceNode {
		all = target.Content[:min(len(target.Content), maxMerged)]
	}
	for _, n := range all {
		if n = resolveAlias(n); n.Kind == yaml.MappingNode && !m.seen[n] {
			m.seen[n] = true
			mappings = append(mappings, n)
		}
	}
	return mappings
}

// resolveAlias returns the value that an alias names, or the value itself.
func resolveAlias(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}
