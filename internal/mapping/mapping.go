// Package mapping reads mapping files: lists of which image goes where, with one source and
// its destinations on each line.
//
// People write these files by hand, so Parse goes on after a mistake and returns all of them,
// each with its line and what to do about it. It refuses what is ambiguous (a stray "=", a
// lone carriage return) rather than mirror something that was not meant.
package mapping

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"imagemirror/internal/finding"
	"imagemirror/internal/reference"
	"imagemirror/internal/text"
)

// Bounds on what is read. What is larger is refused.
const (
	MaxFile     = 16 << 20 // bytes of a file, before and after it is decompressed
	MaxLine     = 64 << 10 // bytes of a line, without its end
	MaxMappings = 1 << 20  // mappings of a file, and of a whole run
	maxName     = 1 << 10  // bytes of an image's name; a registry's own limits add up to less
	maxQuoted   = 100      // characters of what a message quotes
)

// A Mapping is one source-destination pair: a line with three destinations is three mappings.
type Mapping struct {
	Source      reference.Reference // has a tag, a digest or both; the digest decides. The tag may have wildcards
	Destination reference.Reference // never has a digest; without a tag where Source is a wildcard or has none
	File        string              // the label that was given to Parse
	Line        int                 // from 1
}

// Parse reads a mapping file, plain or gzip'd; file is its label in what is returned. Lines
// with a mistake are among the findings, and the mappings are those of all other lines.
func Parse(r io.Reader, file string) ([]Mapping, *finding.List) {
	p := parser{file: file, found: &finding.List{}, shared: map[string]string{}}
	text, err := readText(r, file)
	if err != nil {
		p.refuse(1, err)
	} else if line, err := checkText(text); err != nil {
		p.refuse(line, err)
	} else {
		p.lines(text)
	}
	return p.mappings, p.found
}

type parser struct {
	file     string
	mappings []Mapping
	found    *finding.List
	shared   map[string]string // one copy of each registry, repository, tag and digest
}

func (p *parser) refuse(line int, err error) {
	p.found.Add(finding.Finding{Rule: finding.Input, File: p.file, Line: line, Err: err})
}

func (p *parser) lines(text string) {
	n := 0
	for line := range strings.SplitSeq(text, "\n") {
		n++
		p.line(n, strings.TrimRight(line, "\r"))
		if len(p.mappings) > MaxMappings {
			p.refuse(n, fmt.Errorf("the file has more than %d mappings: split it into several runs", MaxMappings))
			return
		}
	}
}

func (p *parser) line(n int, line string) {
	fields, err := split(line)
	if err != nil {
		p.refuse(n, err)
		return
	}
	if len(fields) == 0 {
		return
	}
	src, err := source(fields[0])
	if err == nil && src.Identifier() == "" {
		src, err = p.untagged(n, src, fields[1:])
	}
	if err != nil {
		p.refuse(n, err)
	}
	if len(fields) == 1 {
		p.refuse(n, fmt.Errorf("source %q has no destination: write SRC DST", text.Clip(fields[0], maxQuoted)))
	}
	for _, f := range fields[1:] {
		dst, derr := destination(f)
		if derr == nil && err == nil {
			dst, derr = complete(src, dst)
		}
		if derr != nil {
			p.refuse(n, derr)
		} else if err == nil {
			p.mappings = append(p.mappings, Mapping{Source: p.share(src), Destination: p.share(dst), File: p.file, Line: n})
		}
	}
}

// errEquals refuses an "=" in the wrong place.
var errEquals = errors.New(`"=" may only join one source and one destination alone on a line: write SRC=DST, or SRC DST [DST ...] without "="`)

// split returns the fields of a line: a source and its destinations, or nothing.
func split(line string) ([]string, error) {
	if len(line) > MaxLine {
		return nil, fmt.Errorf("the line has %d bytes, more than %d: move some of its destinations to a line of their own", len(line), MaxLine)
	}
	// Line ends of other systems would otherwise join two mappings, or hide one behind a
	// comment.
	if strings.ContainsAny(line, "\r\u0085\u2028\u2029") {
		return nil, errors.New("the line contains another line end: end lines with LF or CRLF")
	}
	text, _, _ := strings.Cut(line, "#")
	fields := strings.Fields(text)
	if !strings.Contains(text, "=") {
		return fields, nil
	}
	if len(fields) > 1 {
		return nil, errEquals
	}
	src, dst, _ := strings.Cut(fields[0], "=")
	if src == "" || dst == "" || strings.Contains(dst, "=") {
		return nil, errEquals
	}
	return []string{src, dst}, nil
}

func source(s string) (reference.Reference, error) {
	if len(s) > maxName {
		return reference.Reference{}, fmt.Errorf("source %q is too long for an image name", text.Clip(s, maxQuoted))
	}
	r, err := reference.ParsePattern(s)
	switch {
	case err != nil:
		return r, fmt.Errorf("source %w", err)
	case r.Wildcard() && r.Digest != "":
		return r, fmt.Errorf("source %q has a * wildcard and a digest: remove one of them", s)
	case onlyHost(s):
		return r, fmt.Errorf("source %q is only a host: write HOST/REPOSITORY:TAG", s)
	}
	return r, nil
}

// onlyHost reports whether a name without a slash is that of a host, such as quay.io or
// localhost:5000. Without a slash, a name is one of Docker Hub's own images, which have no dots.
func onlyHost(s string) bool {
	name, _, _ := strings.Cut(s, "@")
	name, _, _ = strings.Cut(name, ":")
	return !strings.Contains(s, "/") && (strings.Contains(name, ".") || strings.EqualFold(name, "localhost"))
}

// untagged decides on a source without a tag and a digest. If all its destinations are tagged
// latest, it can only mean latest, and real files rely on that. Anything else would be a
// guess.
func (p *parser) untagged(n int, src reference.Reference, destinations []string) (reference.Reference, error) {
	for _, d := range destinations {
		if !strings.HasSuffix(d, ":latest") {
			destinations = nil
			break
		}
	}
	if len(destinations) == 0 {
		return src, fmt.Errorf("source %q has no tag and no digest: write %s:TAG, or %s:* for all tags", src, src, src)
	}
	p.found.Warn(finding.Odd, p.file, n, "source %q has no tag: latest is taken, as for its destinations; write %s:latest", src, src)
	return src.WithTag("latest"), nil
}

func destination(s string) (reference.Reference, error) {
	if len(s) > maxName {
		return reference.Reference{}, fmt.Errorf("destination %q is too long for an image name", text.Clip(s, maxQuoted))
	}
	r, err := reference.Parse(s)
	switch {
	case err != nil:
		return r, fmt.Errorf("destination %w", err)
	case r.Digest != "":
		return r, fmt.Errorf("destination %q has a digest: write a tag instead, or nothing (a destination has the digest of its source)", s)
	case onlyHost(s):
		return r, fmt.Errorf("destination %q is only a host: write HOST/REPOSITORY, or HOST/REPOSITORY:TAG", s)
	}
	return r, nil
}

// complete gives dst the tag that it takes from src, and refuses pairs that do not fit together.
func complete(src, dst reference.Reference) (reference.Reference, error) {
	wildcard := src.Wildcard()
	switch {
	case wildcard && dst.Tag != "":
		return dst, fmt.Errorf("destination %q has a tag, but its source %q has a * wildcard: write %s without a tag, since each matching tag keeps its name", dst, src, dst.Name())
	case !wildcard && dst.Tag == "":
		dst.Tag = src.Tag
	}
	if src.Registry == dst.Registry && src.Repository == dst.Repository && isSameImage(src, dst) {
		return dst, fmt.Errorf("destination %q is its own source: write another destination, or remove the line", dst)
	}
	return dst, nil
}

// isSameImage reports whether src and dst, which are in one repository, are one image. A digest
// that gets a tag in its own repository is not.
func isSameImage(src, dst reference.Reference) bool {
	return src.Wildcard() || dst.Tag == "" || src.Digest == "" && src.Tag == dst.Tag
}

// share replaces the strings of r, which keep the whole file in memory, by copies that all
// mappings share.
func (p *parser) share(r reference.Reference) reference.Reference {
	for _, s := range []*string{&r.Registry, &r.Repository, &r.Tag, &r.Digest} {
		one, ok := p.shared[*s]
		if !ok {
			one = strings.Clone(*s)
			p.shared[one] = one
		}
		*s = one
	}
	return r
}
