package imageset

import (
	"fmt"

	"imagemirror/internal/finding"
	"imagemirror/internal/mapping"
	"imagemirror/internal/reference"
	"imagemirror/internal/settings"
	"imagemirror/internal/tagname"
)

// additionalTags refuses mappings whose additional tags cannot be right, as far as the files tell:
// a result that is not a tag, or that is somebody else's. The tags of a wildcard are known only
// once the registry is asked: see the plan.
func (i *Input) additionalTags() {
	c := &tagChecker{found: &i.Found, destinations: map[reference.Reference]*mapping.Mapping{}, claimed: map[reference.Reference]*mapping.Mapping{}}
	asked := false
	for _, set := range i.Sets {
		asked = asked || len(set.Settings.Tags) > 0 || !set.Settings.Keep.IsZero()
	}
	if !asked {
		return
	}
	i.each(func(m placed) {
		if !m.Source.Wildcard() && m.Destination.Tag != "" {
			c.destinations[m.Destination] = m.Mapping
		}
	})
	for _, set := range i.Sets {
		for n := range set.Mappings {
			c.mapping(&set.Settings, &set.Mappings[n])
		}
	}
}

// A tagChecker checks the additional tags of the mappings of a run.
type tagChecker struct {
	found        *finding.List
	destinations map[reference.Reference]*mapping.Mapping
	claimed      map[reference.Reference]*mapping.Mapping // as additional tags
}

// mapping checks the additional tags of one mapping, and says one thing about it. A wildcard stands
// for tags that are not known yet: any has to get tags that differ.
func (c *tagChecker) mapping(s *settings.Settings, m *mapping.Mapping) {
	values := tagname.Sample(m.Destination.Tag, m.Source.Tag, m.Source.Digest)
	wildcard := m.Source.Wildcard()
	if wildcard {
		values = tagname.Sample("TAG", "TAG", "")
	}
	seen := map[string]tagname.Template{}
	templates := s.Tags
	if !s.Keep.IsZero() && values.Tag != "" {
		templates = append(templates[:len(templates):len(templates)], s.Keep)
	}
	for _, t := range templates {
		tag, err := t.Expand(values)
		if err != nil {
			err = fmt.Errorf("%s %w", t, err)
		}
		if first, twice := seen[tag]; err == nil && twice && !t.Pinned() && (t.Equal(first) || t.Fixed() && first.Fixed()) {
			err = fmt.Errorf("%s and %s make the same tag %s: change one of the two", first, t, tag)
		}
		switch {
		case err != nil:
		case !wildcard:
			err = c.contested(s, m, t, tag)
		case tag == values.Tag:
			err = fmt.Errorf("%s makes the tag that is mirrored: change the template", t)
		}
		if err != nil {
			c.found.Refuse(finding.Input, m.File, m.Line, "additional tag of %s: %w", m.Destination, err)
			return
		}
		seen[tag] = t
	}
}

// contested returns why an additional tag of a mapping is not its own.
func (c *tagChecker) contested(s *settings.Settings, m *mapping.Mapping, t tagname.Template, tag string) error {
	at := m.Destination.WithTag(tag)
	if !t.Pinned() && !t.NeedsLabels() && s.Keeps(tag) && !s.Keeps(m.Destination.Tag) {
		return fmt.Errorf("%s makes %s, which spec.immutable covers and which would move: add {digest:12}, or change the pattern", t, tag)
	}
	if !t.Fixed() {
		return nil
	}
	if other := c.destinations[at]; other != nil {
		return fmt.Errorf("%s makes %s, which is the destination of %s:%d: change the template", t, tag, other.File, other.Line)
	}
	other := c.claimed[at]
	if other != nil && (origin(other) != origin(m) || t.Equal(s.Keep)) {
		return fmt.Errorf("%s makes %s, which is an additional tag of %s at %s:%d, too: add {tag}", t, tag, other.Destination, other.File, other.Line)
	}
	c.claimed[at] = m
	return nil
}
