package imageset

import (
	"fmt"

	"imagemirror/internal/mapping"
	"imagemirror/internal/reference"
)

// claims hold the first mapping to each destination of a run.
type claims map[reference.Reference]*mapping.Mapping

// add claims the destinations of one file's mappings and returns those that the run keeps. A destination that has
// another source already is an error; one that has the same is a warning, and is left out.
func (c claims) add(ms []mapping.Mapping, errs, warnings *mapping.Problems) []mapping.Mapping {
	kept := make([]mapping.Mapping, 0, len(ms))
	for i := range ms {
		m := &ms[i]
		first := c[claimed(m)]
		switch {
		case first == nil:
			c[claimed(m)] = m
			kept = append(kept, *m)
		case origin(first) != origin(m):
			errs.Add(m.File, m.Line, fmt.Errorf("destination %s has the source %s here and the source %s at %s:%d: keep one of the two",
				m.Destination, m.Source, first.Source, first.File, first.Line))
		case first.File == m.File && first.Line == m.Line:
			warnings.Add(m.File, m.Line, fmt.Errorf("destination %s is twice on the line: it is mirrored once", m.Destination))
		default:
			warnings.Add(m.File, m.Line, mirroredOnce(m, first))
		}
	}
	return kept
}

// claimed is what a mapping takes for itself: a tag; where it pushes by digest alone, that digest in the
// repository. What a wildcard takes shows only when its tags are listed: here it is told from itself alone.
func claimed(m *mapping.Mapping) reference.Reference {
	dst := m.Destination
	switch {
	case m.Source.Wildcard():
		dst.Digest = m.Source.String()
	case dst.Tag == "":
		dst.Digest = m.Source.Digest
	}
	return dst
}

// origin is the image that a source stands for: its tag says nothing where it has a digest.
func origin(m *mapping.Mapping) reference.Reference {
	if m.Source.Digest != "" {
		return m.Source.WithDigest(m.Source.Digest)
	}
	return m.Source
}
