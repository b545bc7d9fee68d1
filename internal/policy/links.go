package policy

import (
	"imagemirror/internal/link"
	"imagemirror/internal/strictyaml"
)

// Links are templates of the addresses that reports lead to.
type Links struct {
	File link.Template // of a line of a mapping file
	Run  link.Template // of a run
}

func (l *Links) read(v strictyaml.Value) {
	v.Keys(
		strictyaml.Key{Name: "file", Read: readLinkTemplate(&l.File, link.FileNames)},
		strictyaml.Key{Name: "run", Read: readLinkTemplate(&l.Run, link.RunNames)},
	)
}

func readLinkTemplate(to *link.Template, names []string) func(strictyaml.Value) {
	return func(v strictyaml.Value) {
		text, ok := v.Text()
		if !ok {
			return
		}
		if err := link.Template(text).Check(names...); err != nil {
			v.Refuse("%v", err)
			return
		}
		*to = link.Template(text)
	}
}
