package imageset

import (
	"fmt"

	"imagemirror/internal/finding"
	"imagemirror/internal/settings"
)

// Selects is the rule about what settings select.
var Selects = &finding.Rule{ID: "select", Text: "Each rule of select applies to a wildcard of the set."}

// unused warns of the rules of select that apply to no mapping of the set, all of whose files have
// been read. If a rule misspells its source, more is mirrored than its author wants.
func (l *loader) unused(set *Set) {
	rules := set.Settings.Select
	applied := map[*settings.SelectRule]bool{}
	for i := range set.Mappings {
		if len(applied) == len(rules) {
			return
		}
		if r := rules.For(set.Mappings[i].Source); r != nil {
			applied[r] = true
		}
	}
	for _, r := range rules {
		if !applied[r] {
			l.input.Found.Warn(Selects, r.File, r.Line, "select has a rule for %q %w", r.Source, set.whyUnused(r))
		}
	}
}

// whyUnused returns why a rule applies to no mapping.
func (s *Set) whyUnused(r *settings.SelectRule) error {
	why := fmt.Errorf("that matches no source of the set's mappings: correct or remove it")
	for i := range s.Mappings {
		source := s.Mappings[i].Source
		if !r.Covers(source) {
			continue
		}
		if first := s.Settings.Select.For(source); first != nil {
			return fmt.Errorf("that never applies, since the rule at line %d comes first: move it up, or remove it", first.Line)
		}
		why = fmt.Errorf("that applies to nothing, since its sources have no wildcard: write a tag with * in the mapping file, or remove the rule")
	}
	return why
}
