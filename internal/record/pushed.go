package record

import (
	"slices"
	"strings"

	"imagemirror/internal/digest"
	"imagemirror/internal/report"
)

// maxTags bounds the additional tags of a move.
const maxTags = 20

// wrote notes that the run pushed the digest that the destination has, with the additional tags
// that the image got. It does not change d.Moves in place, which another record shares.
func (d *Destination) wrote(m *report.Result) {
	n := len(d.Moves) - 1
	if n < 0 || d.Moves[n].Digest != m.Digest {
		return
	}
	move := *d.Moves[n]
	move.Wrote, move.Tags = true, slices.Clone(move.Tags)
	for _, t := range m.Tags {
		if t.Error == "" && looksLikeTag(t.Tag) && len(move.Tags) < maxTags && !slices.Contains(move.Tags, t.Tag) {
			move.Tags = append(move.Tags, t.Tag)
		}
	}
	if looksLikeTag(m.Kept) && digest.Valid(m.Old) {
		move.Kept = m.Kept
	}
	d.Moves = append(slices.Clone(d.Moves[:n]), &move)
}

// looksLikeTag reports whether a text has the length and the characters of a tag.
func looksLikeTag(s string) bool {
	return s != "" && len(s) <= 128 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == ""
}

// Pushed reports whether a run of the set has pushed the destination.
func (d *Destination) Pushed() bool {
	return slices.ContainsFunc(d.Moves, func(m *Move) bool { return m.Wrote })
}

// Without returns the record without some destinations, and r itself if it has none of them. It
// changes nothing in r.
func (r *Record) Without(gone func(*Destination) bool) *Record {
	if !slices.ContainsFunc(r.Destinations, gone) {
		return r
	}
	next := *r
	next.Destinations = slices.DeleteFunc(slices.Clone(r.Destinations), gone)
	return &next
}
