package finding

import (
	"io"
	"path"
	"strings"

	"imagemirror/internal/junit"
)

// junit writes a suite for each directory and a case for each file, even for files with nothing
// wrong. A case fails if the file has a mistake; warnings are its output.
func (r *Document) junit(w io.Writer) error {
	said := map[string][]Finding{}
	files := append([]string{}, r.Files...)
	for _, f := range r.Findings {
		files = append(files, f.File)
		said[f.File] = append(said[f.File], f)
	}
	all := &junit.Suites{Name: "imagemirror"}
	suites := map[string]*junit.Suite{}
	done := map[string]bool{}
	for _, file := range files {
		if done[file] {
			continue
		}
		done[file] = true
		dir := path.Dir(relative(file))
		if suites[dir] == nil {
			suites[dir] = all.Suite(dir)
		}
		suites[dir].Add(testCase(file, dir, said[file]))
	}
	return all.Write(w, 0)
}

func testCase(file, dir string, found []Finding) junit.Case {
	c := junit.Case{Class: dir, Name: path.Base(relative(file)), File: relative(file)}
	if file == "" {
		c.Name = "the command line"
	}
	var errs, warnings []string
	for _, f := range found {
		line := f.Error()
		if f.Warning {
			warnings = append(warnings, line)
			continue
		}
		errs = append(errs, line)
		if c.Failure == nil {
			c.Line = f.Line
			c.Failure = &junit.Detail{Message: f.message(), Type: f.Rule.ID}
		}
	}
	if c.Failure != nil {
		c.Failure.Text = strings.Join(errs, "\n")
	}
	c.Output = strings.Join(warnings, "\n")
	return c
}
