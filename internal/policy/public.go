package policy

import (
	"imagemirror/internal/finding"
	"imagemirror/internal/settings"
	"imagemirror/internal/strictyaml"
)

// A Requirement is something that settings may leave out, but not turn off.
type Requirement struct {
	Value bool
	Line  int // 0 if the policy says nothing of it
}

func (r *Requirement) read(v strictyaml.Value) { *r = Requirement{v.Bool(), v.Line()} }

func (r Requirement) or(other Requirement) Requirement {
	if r.Line > 0 {
		return r
	}
	return other
}

// checkPublic refuses settings that let an image be private although the policy demands that
// strangers can pull it.
func (b *Bounds) checkPublic(file string, s settings.Settings, found *finding.List) {
	if line, set := s.Lines["public"]; set && !s.Public && b.Public.Value {
		found.Refuse(finding.Input, file, line, "spec.public is false, and %s:%d demands true: correct it, %s", b.File, b.Public.Line, ask)
	}
}
