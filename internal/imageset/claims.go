package imageset

import (
	"imagemirror/internal/finding"
	"imagemirror/internal/mapping"
	"imagemirror/internal/reference"
)

// A claims map has the first mapping to each destination of a run.
type claims map[reference.Reference]*mapping.Mapping

// add claims the destinations of one file's mappings and returns the mappings that the run
// keeps. A destination with another source already is a mistake; one with the same source is
// a warning, and its mapping is left out.
func (c claims) add(ms []mapping.Mapping, found *finding.List) []mapping.Mapping {
	kept := make([]mapping.Mapping, 0, len(ms))
	for i := range ms {
		m := &ms[i]
		first := c[claimed(m)]
		switch {
		case first == nil:
			kept = append(kept, *m)
			c[claimed(m)] = &kept[len(kept)-1] // a pointer to m would keep all of ms in memory
		case origin(first) != origin(m):
			found.Refuse(finding.Input, m.File, m.Line, "destination %s has the source %s here and the source %s at %s:%d: keep one of the two",
				m.Destination, m.Source, first.Source, first.File, first.Line)
		case first.File == m.File && first.Line == m.Line:
			found.Warn(finding.Odd, m.File, m.Line, "destination %s is twice on the line: it is mirrored once", m.Destination)
		default:
			warnOnce(found, m, m, first)
		}
	}
	return kept
}

// claimed returns the destination that a mapping claims: a tag, or a digest in the repository
// if it pushes by digest. The tags of a wildcard are not known yet, so it claims its pattern.
func claimed(m *mapping.Mapping) reference.Reference {
	dst := m.Destination
	dst.Registry = reference.OneName(dst.Registry)
	switch {
	case m.Source.Wildcard():
		dst.Digest = m.Source.String()
	case dst.Tag == "":
		dst.Digest = m.Source.Digest
	}
	return dst
}

// origin returns the image that a source stands for: a digest overrides the tag.
func origin(m *mapping.Mapping) reference.Reference {
	if m.Source.Digest != "" {
		return m.Source.WithDigest(m.Source.Digest)
	}
	return m.Source
}
