package status

import (
	"cmp"
	"strings"

	"imagemirror/internal/link"
)

// Paths of pages, from the overview's directory. Those of files end in ".html".
const (
	overviewPath = "index"
	causesPath   = "causes"
)

func setPath(set string) string      { return "sets/" + link.ID(set) }
func runsPath(set string) string     { return setPath(set) + "/runs" }
func runPath(set, run string) string { return runsPath(set) + "/" + link.ID(run) }
func causePath(key string) string    { return causesPath + "/" + link.ID(key) }

// Addresses makes the addresses of pages, relative to the page that they are on. So pages work
// below any path, behind any proxy, and as files.
type addresses struct {
	up    string // to the overview's directory: "../" for each directory
	files bool   // the pages are files
}

// addressesOn returns the addresses for the page at a path.
func addressesOn(path string, files bool) addresses {
	return addresses{up: strings.Repeat("../", strings.Count(path, "/")), files: files}
}

// variant returns the address of the page at a path as a query asks for it.
func (a addresses) variant(path string, q query) string {
	if a.files {
		return a.up + q.file(path) + ".html"
	}
	if path == overviewPath {
		path = ""
	}
	address := cmp.Or(a.up+path, "./")
	if asked := q.encode(); asked != "" {
		address += "?" + asked
	}
	return address
}

func (a addresses) page(path string) string { return a.variant(path, query{}) }

// The methods below are for the templates.

func (a addresses) Overview() string           { return a.page(overviewPath) }
func (a addresses) Causes() string             { return a.page(causesPath) }
func (a addresses) Set(set string) string      { return a.page(setPath(set)) }
func (a addresses) Runs(set string) string     { return a.page(runsPath(set)) }
func (a addresses) Run(set, run string) string { return a.page(runPath(set, run)) }
func (a addresses) Cause(key string) string    { return a.page(causePath(key)) }
func (a addresses) Badge(set string) string    { return a.up + "badge/" + link.ID(set) + ".svg" }
func (a addresses) SetData(set string) string  { return a.Data(setPath(set)) }
func (a addresses) Data(path string) string {
	if a.files {
		path += ".json"
	}
	return a.up + "api/v1/" + path
}
