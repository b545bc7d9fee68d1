// Package foreign reads the configuration files of other mirroring tools: those of regsync,
// skopeo sync and image-syncer.
//
// A Config has what a file asks for and this program can do. Everything else becomes a warning
// with its line: without it, people would notice only at the destination. No credential is read.
package foreign

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"imagemirror/internal/finding"
	"imagemirror/internal/reference"
	"imagemirror/internal/strictyaml"
)

// Bounds on a file.
const (
	MaxFile    = 8 << 20 // bytes
	maxEntries = 100_000 // entries of a list, keys of a mapping, and entries of a Config
	maxName    = 1 << 10 // bytes of an image's name, and of a template
)

// Unsaid is the rule of what an image set cannot say.
var Unsaid = &finding.Rule{ID: "import", Text: "The image set says what the file of the other tool says."}

// A Config is what a file asks for.
type Config struct {
	Tool    *Tool
	Entries []Entry
}

// An Entry is a source and its destinations, and how they are mirrored.
type Entry struct {
	File         string
	Line         int
	Source       reference.Reference // has a tag, a digest, or the wildcard *
	Destinations []reference.Reference
	Select       *TagFilter // of the tags of a wildcard; nil: all
	Options      Options
}

// A TagFilter chooses among tags. Expressions match tags as a whole.
type TagFilter struct {
	Include     []string // a tag matches one of them; none: any
	Exclude     []string // and none of these
	Semver      string   // in the syntax of github.com/Masterminds/semver; "": any tag
	Prereleases bool     // also of versions that Semver names no prerelease of
}

// Options are the settings of a whole image set.
type Options struct {
	Schedule  string        // a cron expression
	Interval  time.Duration // that stands for a schedule, if there is none
	Platforms string        // separated by commas
	Flatten   bool          // the one platform becomes the image itself
	Keep      string        // template of the tag under which an image is kept before its tag moves
	Referrers string        // when signatures and the like travel
	Types     string        // of referrers that travel, separated by commas
	Reserve   int           // pulls that a metered registry is left with
}

// A Tool is a mirroring tool whose configuration files are read.
type Tool struct {
	Name string
	read func(*reader, strictyaml.Value)
}

// The tools, by the names of their projects.
var (
	Regsync     = &Tool{"regsync", (*reader).regsync}
	Skopeo      = &Tool{"skopeo", (*reader).skopeo}
	ImageSyncer = &Tool{"image-syncer", (*reader).imageSyncer}

	tools = []*Tool{Regsync, Skopeo, ImageSyncer}
)

// Tools lists the names of all tools, for help and errors.
const Tools = "regsync, skopeo or image-syncer"

// ToolOf returns the tool of that name, or nil.
func ToolOf(name string) *Tool {
	i := slices.IndexFunc(tools, func(t *Tool) bool { return t.Name == name })
	if i < 0 {
		return nil
	}
	return tools[i]
}

// A SkopeoTarget is where skopeo sync copies to, which is not in its file.
type SkopeoTarget struct {
	Prefix string // of repositories, such as quay.io/org
	Scoped bool   // keeps the whole name of the source below the prefix
}

// Read reads a file; file is its label in findings. tool is nil for the tool that the file seems
// to be of. Mistakes refuse the file. Warnings name what the Config leaves out.
func Read(tool *Tool, file string, data []byte, target SkopeoTarget) (*Config, *finding.List) {
	r := &reader{file: file, target: target, Config: &Config{Tool: tool}}
	data, err := r.plain(data)
	if err != nil {
		var found finding.List
		found.Add(finding.Finding{Rule: finding.Input, File: file, Line: r.line, Err: err})
		return r.Config, &found
	}
	if r.Tool == nil {
		strictyaml.ReadLong(finding.Input, file, data, MaxFile, maxEntries, func(v strictyaml.Value) { r.Tool = toolOf(v) })
	}
	return r.Config, strictyaml.ReadLong(finding.Input, file, data, MaxFile, maxEntries, func(v strictyaml.Value) {
		if r.Tool == nil {
			v.Refuse("this does not look like a file of %s: name the tool with -from", Tools)
			return
		}
		r.Tool.read(r, v)
	})
}

// A reader collects what a file asks for.
type reader struct {
	*Config
	file   string
	line   int // of what is wrong with JSON
	target SkopeoTarget
}

// plain returns JSON in the form that YAML has in common with it, and other files as they are.
// YAML allows no tab in an indentation.
func (r *reader) plain(data []byte) ([]byte, error) {
	r.line = 1
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if len(data) > MaxFile || !bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		return data, nil
	}
	var document json.RawMessage
	err := json.Unmarshal(data, &document)
	if err == nil {
		// A tab in a string of valid JSON is written \t.
		return bytes.ReplaceAll(data, []byte("\t"), []byte(" ")), nil
	}
	var syntax *json.SyntaxError
	if strings.HasSuffix(r.file, ".json") && errors.As(err, &syntax) {
		r.line += bytes.Count(data[:min(int(syntax.Offset), len(data))], []byte("\n"))
		return nil, fmt.Errorf("the file is not JSON: %w", err)
	}
	return data, nil // YAML in braces
}

// unsaid warns of a key that the Config does not have.
func unsaid(v strictyaml.Value, key, format string, args ...any) {
	v.WarnUnder(Unsaid, key+": "+format, args...)
}

// A readers has a function for each key of a mapping, which reads its value.
type readers map[string]func(strictyaml.Value)

// read reads a mapping with what it merges. It warns of keys without a reader; name is the
// mapping's name in warnings.
func (keys readers) read(v strictyaml.Value, name string) {
	v.Merged().Each(func(key string, v strictyaml.Value) {
		if read := keys[key]; read != nil {
			read(v)
			return
		}
		unsaid(v, strings.TrimPrefix(name+"."+shown(key), "."), "unknown here: what it asks for is not in the set")
	})
}

// add adds an entry, unless there are too many.
func (r *reader) add(v strictyaml.Value, e Entry) {
	switch {
	case len(r.Entries) > maxEntries:
	case len(r.Entries) == maxEntries:
		v.Refuse("the file has more than %d entries: split it", maxEntries)
		r.Entries = append(r.Entries, e)
	default:
		e.File, e.Line = r.file, v.Line()
		r.Entries = append(r.Entries, e)
	}
}
