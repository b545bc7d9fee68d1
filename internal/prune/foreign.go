package prune

import (
	"slices"

	"imagemirror/internal/record"
	"imagemirror/internal/reference"
)

// used returns what destinations that mappings name use, by the record: no file may delete that.
func (a *Application) used() map[string]bool {
	f := &tagUsage{used: map[string]bool{}}
	if a.Record == nil {
		return f.used
	}
	for _, d := range a.Record.Destinations {
		if d.Gone.IsZero() {
			f.use(d)
		}
	}
	return f.used
}

// foreign returns why an image's tag, t or one that goes with it, may be somebody else's, or "".
// People edit files, and records change after a file is made.
func (e *eraser) foreign(t Tag, image reference.Reference) (why string) {
	if e.Record == nil {
		return ""
	}
	d := e.Record.Destination(t.Tag)
	switch {
	case e.used[image.String()]:
		return "by the record it also goes with a tag that a mapping names"
	case d == nil:
		return "the record does not have " + t.Tag + ", so somebody else may have pushed it"
	case image.String() == t.Tag || t.imageOf(image.Tag) != "":
		return ""
	case !slices.ContainsFunc(d.Moves, func(m *record.Move) bool { return m.Kept == image.Tag || slices.Contains(m.Tags, image.Tag) }):
		return "by the record it does not go with " + t.Tag
	}
	return ""
}
