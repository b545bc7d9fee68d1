package status

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/url"
	"strconv"
	"time"

	"imagemirror/internal/secret"
	"imagemirror/internal/text"
)

//go:embed templates
var files embed.FS

//go:embed style.css
var style string

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"count":  text.Count,
	"number": withCommas,
	"size":   text.Size,
	"line":   line,
	"name":   func(s string) string { return cmp.Or(text.Line(s, maxName), "unnamed") },
	"digest": func(s string) string { return text.ShortDigest(line(s)) },
	"beyond": func(shown, all int) int { return all - shown },
}).ParseFS(files, "templates/*.html"))

// Bounds on texts from outside, in characters.
const (
	maxLine = 500
	maxName = 80 // of what is short unless somebody is hostile: a set, an owner, a host
)

// line returns a text from outside as one line that is safe to show.
func line(s string) string { return text.Line(secret.Hide(s), maxLine) }

// contentPolicy allows what pages need: their style sheet, which is in them, and their icon.
// Nothing is loaded and no script runs, whatever gets into a page.
var contentPolicy = func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; img-src data:; form-action 'self'; base-uri 'none'"
}()

// A view makes pages of a snapshot.
type view struct {
	*Snapshot
	files   bool
	notices []string // above each page
	version string
}

// A page is what a template shows. Its Body is the part that differs from page to page.
type page struct {
	addresses
	view
	Path  string
	Title string
	Query query
	Body  any

	template string
}

func (v view) page(path string, q query, name, title string, body any) *page {
	at := path
	if v.files {
		at = q.file(path)
	}
	return &page{
		addresses: addressesOn(at, v.files), view: v, Path: path, Title: title, Query: q, Body: body, template: name,
	}
}

// render returns the page as HTML.
func (p *page) render() ([]byte, error) {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, p.template, p); err != nil {
		return nil, fmt.Errorf("rendering the page %s: %w", p.Path, err)
	}
	return b.Bytes(), nil
}

// The methods below are for the templates.

func (p *page) Style() template.CSS { return template.CSS(style) }
func (p *page) Policy() string      { return contentPolicy }
func (p *page) Served() bool        { return !p.view.files }
func (p *page) Notices() []string {
	return append(p.notices[:len(p.notices):len(p.notices)], p.look.Problems...)
}
func (p *page) Version() string { return p.version }
func (p *page) CauseCount() int { return len(p.causes) }
func (p *page) Now() string     { return p.Taken.UTC().Format("2 Jan 2006 15:04 UTC") }

// Icon returns a disk in the color of what is worst.
func (p *page) Icon() template.URL {
	color := "#1a7f37"
	for _, s := range p.sets {
		if s.state == Failing {
			color = "#cf222e"
		}
	}
	svg := "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'><circle cx='8' cy='8' r='7' fill='" + color + "'/></svg>"
	return template.URL("data:image/svg+xml," + url.PathEscape(svg))
}

// Time returns a time as the page shows it.
func (p *page) Time(t time.Time) pageTime { return pageTimeOf(t, p.Taken, p.view.files) }

// Moment returns the element for a time.
func (p *page) Moment(t time.Time) template.HTML { return p.Time(t).Or("never") }

// Lasted returns the time between two others as people read it.
func (p *page) Lasted(from, to time.Time) string {
	if from.IsZero() || to.Before(from) {
		return ""
	}
	return text.Round(to.Sub(from)).String()
}

// A causeTable is what the template of that name shows.
type causeTable struct {
	Page   *page
	Causes []causeRow
}

// A runTable is what the template of that name shows.
type runTable struct {
	Page *page
	Runs []runRow
}

func (p *page) CauseTable(rows []causeRow) causeTable { return causeTable{p, rows} }
func (p *page) RunTable(rows []runRow) runTable       { return runTable{p, rows} }

// A heading is the head of a column that a table can be sorted by.
type heading struct {
	Text, Address string
	Sorted        string // for aria-sort, or ""
}

func (p *page) heading(column, title string, columns []string) heading {
	q := p.Query
	if p.view.files {
		q = query{Sort: q.Sort, Desc: q.Desc} // files are in each order, or for each state
	}
	h := heading{Text: title, Address: p.variant(p.Path, q.by(column, columns))}
	switch {
	case cmp.Or(p.Query.Sort, columns[0]) != column:
	case p.Query.Desc:
		h.Sorted = "descending"
	default:
		h.Sorted = "ascending"
	}
	return h
}

// A choice is one of the states that a table can be filtered by.
type choice struct {
	Text, Address string
	Count         int
	State         State // "" for all
	Chosen        bool
}

func (p *page) choices(states []State, counts map[State]int) []choice {
	q, all := p.Query, 0
	if p.view.files {
		q = query{}
	}
	var list []choice
	for _, state := range states {
		all += counts[state]
		if counts[state] > 0 || p.Query.State == state {
			list = append(list, choice{
				string(state), p.variant(p.Path, q.only(state)), counts[state], state, p.Query.State == state,
			})
		}
	}
	return append([]choice{{"all", p.variant(p.Path, q.only("")), all, "", p.Query.State == ""}}, list...)
}

// withCommas returns n with a comma between thousands.
func withCommas(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
