package finding

import (
	"io"
	"path/filepath"

	"imagemirror/internal/secret"
	"imagemirror/internal/text"
)

// A Document is what a check of files found, in one of the forms.
type Document struct {
	Files    []string // that were checked, even those with nothing wrong
	Findings []Finding
}

// forms writes a document in each of the forms, by name.
var forms = map[string]func(*Document, io.Writer) error{
	"github": (*Document).github,
	"sarif":  (*Document).sarif,
	"junit":  (*Document).junit,
}

// Text is the form for which Write writes nothing: a command shows the findings on standard
// error in any case.
const Text = "text"

// Forms lists the names of all forms, for help and errors.
const Forms = "text, github, sarif or junit"

// Known reports whether there is a form of that name.
func Known(form string) bool { return form == Text || forms[form] != nil }

// Write writes the document in the form of that name.
func (r *Document) Write(w io.Writer, form string) error {
	if form == Text {
		return nil
	}
	return forms[form](r, w)
}

// level returns the word that both GitHub and SARIF have for how serious a finding is.
func (f Finding) level() string {
	if f.Warning {
		return "warning"
	}
	return "error"
}

// message returns what was found as one printable line, without its place.
func (f Finding) message() string { return text.Printable(secret.Hide(f.Err.Error())) }

// relative returns a file's name relative to the working directory and with slashes, as code
// review shows it.
func relative(file string) string {
	if filepath.IsAbs(file) {
		if here, err := filepath.Abs("."); err == nil {
			if rel, err := filepath.Rel(here, file); err == nil && filepath.IsLocal(rel) {
				file = rel
			}
		}
	}
	return filepath.ToSlash(text.Printable(file))
}
