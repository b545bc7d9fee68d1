package status

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"imagemirror/internal/link"
)

// filedRuns is how many runs of a set have a page of their own among the files.
const filedRuns = shownRuns

// WriteFiles writes the pages into a directory, which it makes: HTML with relative links, JSON and
// badges. What it wrote before is replaced. Texts and owners cannot be filtered by, since files
// have no program behind them.
func WriteFiles(dir string, s *Snapshot, version string) error {
	f := &filer{view: view{Snapshot: s, files: true, version: version}, dir: dir}
	f.overviews()
	f.causes()
	for _, set := range s.sets {
		f.set(set)
	}
	return f.err
}

// A filer writes files. After the first error it does nothing more.
type filer struct {
	view
	dir string
	err error
}

// write writes the content of a file. Its path has ids only, never a name from outside.
func (f *filer) write(path string, content []byte) {
	if f.err != nil {
		return
	}
	file := filepath.Join(f.dir, filepath.FromSlash(path))
	if f.err = os.MkdirAll(filepath.Dir(file), 0o755); f.err != nil {
		return
	}
	if f.err = os.WriteFile(file+".new", content, 0o644); f.err == nil {
		f.err = os.Rename(file+".new", file)
	}
}

func (f *filer) page(p *page) {
	content, err := p.render()
	if f.err == nil {
		f.err = err
	}
	f.write(p.Query.file(p.Path)+".html", content)
}

func (f *filer) json(path string, v jsonDocument) {
	var b bytes.Buffer
	if err := v.writeJSON(&b); err != nil && f.err == nil {
		f.err = fmt.Errorf("writing %s: %w", path, err)
	}
	f.write("api/v1/"+path+".json", b.Bytes())
}

// parts writes all parts of a page that is cut.
func (f *filer) parts(q query, from func(query) (*page, pager)) {
	for q.Page = 1; ; q.Page++ {
		p, parts := from(q)
		f.page(p)
		if q.Page >= parts.Pages {
			return
		}
	}
}

// overviews writes the overview in each order, and for each state.
func (f *filer) overviews() {
	overview := func(q query) (*page, pager) {
		p := f.overview(q)
		return p, p.Body.(*overviewBody).Pager
	}
	for _, column := range setColumns {
		q := query{}.by(column, setColumns)
		q.Desc = false
		f.parts(q, overview)
		q.Desc = true
		f.parts(q, overview)
	}
	for _, state := range setStates {
		f.parts(query{State: state}, overview)
	}
	f.json("sets", f.list(query{}))
}

func (f *filer) causes() {
	f.parts(query{}, func(q query) (*page, pager) {
		p := f.causesPage(q)
		return p, p.Body.(*causesBody).Pager
	})
	f.json("causes", f.causeList())
	for _, c := range f.Snapshot.causes {
		f.parts(query{}, func(q query) (*page, pager) {
			p := f.causePage(c, q)
			return p, p.Body.(*causeBody).Pager
		})
		f.json(causePath(c.Key), c.detail())
	}
}

func (f *filer) set(s *set) {
	for _, state := range append([]State{""}, destinationStates...) {
		f.parts(query{State: state}, func(q query) (*page, pager) {
			p := f.setPage(s, q)
			return p, p.Body.(*setBody).Pager
		})
	}
	f.page(f.runsPage(s))
	for i, run := range s.Runs[max(0, len(s.Runs)-filedRuns):] {
		before, at, after := s.run(link.ID(run.ID))
		if i == 0 {
			before = nil // it has no page
		}
		f.page(f.runPage(s, before, at, after))
	}
	badge, err := s.badge()
	if f.err == nil {
		f.err = err
	}
	f.write("badge/"+s.id+".svg", badge)
	f.json(setPath(s.Set), f.detail(s))
}
