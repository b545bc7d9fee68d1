// Package tagname reads templates of tags, such as {tag}-{digest:12}, and expands them: the
// additional names that an image gets beside the tag that a mapping names.
package tagname

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"imagemirror/internal/digest"
	"imagemirror/internal/text"
)

// Bounds on a template.
const (
	MaxTag     = 128 // characters of a tag (OCI distribution spec, "Pulling manifests")
	maxText    = 300 // bytes of a template
	maxArg     = 200 // bytes after the colon of a placeholder
	minDigits  = 4   // of a digest
	maxDigits  = 64
	maxQuoted  = 80 // characters of a text in an error
	listOfAll  = "{tag}, {source.tag}, {digest:12}, {date:20060102} or {label:NAME}"
	exampleOne = "write one such as {tag}-{digest:12}"
)

// tagRE is the distribution spec's grammar of a tag.
var tagRE = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)

// companionRE matches the tags under which referrers and cosign's signatures of a digest are found.
// An image under such a name would replace them.
var companionRE = regexp.MustCompile(`^sha256-[0-9a-f]{64}(\.[a-z]+)?$`)

// A Template is the text of a tag with placeholders. The zero value has no text: see IsZero.
type Template struct {
	text  string
	parts []fragment
}

// A fragment is a part of a template: literal text, or a placeholder.
type fragment struct {
	kind   fragmentKind
	arg    string // the text, the layout of a date or the name of a label
	digits int    // of a digest
}

type fragmentKind int

const (
	literal fragmentKind = iota
	ofTag
	ofSourceTag
	ofDigest
	ofDate
	ofLabel
)

// Values are what placeholders stand for.
type Values struct {
	Tag       string    // of the destination; "" if the image is pushed by its digest
	SourceTag string    // of the source; "" if the mapping names a digest alone
	Digest    string    // of the image that gets the tag
	Date      time.Time // of the run
	// Label returns the value of a label of the image. It may be nil if the template has none.
	Label func(name string) (string, error)
}

// Parse reads a template. It refuses one that no values make a tag of.
func Parse(s string) (Template, error) {
	t := Template{text: s}
	if s == "" || len(s) > maxText {
		return Template{}, fmt.Errorf("must have 1 to %d bytes: %s", maxText, exampleOne)
	}
	for rest := s; rest != ""; {
		before, after, found := strings.Cut(rest, "{")
		if before != "" {
			if err := checkLiteral(before, len(t.parts) == 0); err != nil {
				return Template{}, err
			}
			t.parts = append(t.parts, fragment{kind: literal, arg: before})
		}
		if !found {
			break
		}
		inside, behind, closed := strings.Cut(after, "}")
		if !closed {
			return Template{}, errors.New("has a { without a }: close it, or leave it out")
		}
		p, err := placeholder(inside)
		if err != nil {
			return Template{}, err
		}
		t.parts = append(t.parts, p)
		rest = behind
	}
	_, err := t.Expand(samples)
	return t, err
}

// samples are values that are valid, with the longest names of a month and a day of the week.
var samples = Values{
	Tag: "v1", SourceTag: "v1", Digest: "sha256:" + strings.Repeat("0", maxDigits),
	Date:  time.Date(2026, time.September, 30, 23, 59, 59, 0, time.UTC),
	Label: func(string) (string, error) { return "x", nil },
}

// checkLiteral refuses text that cannot be a part of a tag, or its beginning.
func checkLiteral(s string, first bool) error {
	if first && !tagRE.MatchString(s[:1]) {
		return fmt.Errorf("begins with %.*q, and a tag begins with a letter, a digit or _", maxQuoted, s[:1])
	}
	if !tagRE.MatchString("x" + s) {
		return fmt.Errorf("has the text %s, and a tag has only letters, digits, _, . and -, %d at most", text.Quote(s, maxQuoted), MaxTag)
	}
	return nil
}

func placeholder(s string) (fragment, error) {
	name, arg, hasArg := strings.Cut(s, ":")
	if len(arg) > maxArg || !text.IsPrintable(s) {
		return fragment{}, fmt.Errorf("has the placeholder {%.*q}: write %s", maxQuoted, s, listOfAll)
	}
	switch {
	case s == "tag":
		return fragment{kind: ofTag}, nil
	case s == "source.tag":
		return fragment{kind: ofSourceTag}, nil
	case name == "digest" && hasArg:
		n, err := strconv.Atoi(arg)
		if err != nil || n < minDigits || n > maxDigits || strconv.Itoa(n) != arg {
			return fragment{}, fmt.Errorf("has {digest:%s}: write {digest:N} with %d to %d digits", text.Clip(arg, maxQuoted), minDigits, maxDigits)
		}
		return fragment{kind: ofDigest, digits: n}, nil
	case name == "date" && arg != "":
		return fragment{kind: ofDate, arg: arg}, checkLayout(arg)
	case name == "label" && arg != "":
		return fragment{kind: ofLabel, arg: arg}, nil
	}
	return fragment{}, fmt.Errorf("has the placeholder {%s}: write %s", text.Clip(s, maxQuoted), listOfAll)
}

// checkLayout refuses a layout that no date is in, or whose dates cannot be parts of a tag.
func checkLayout(layout string) error {
	earlier := time.Date(2001, time.January, 7, 1, 2, 3, 456789012, time.UTC) // _2 writes it as " 7"
	a, b := earlier.Format(layout), samples.Date.Format(layout)
	if a == b {
		return fmt.Errorf("has {date:%s}, which has no part of a date: write Go's, such as 20060102 or 2006-01-02T150405", text.Clip(layout, maxQuoted))
	}
	for _, date := range []string{b, a} {
		if !tagRE.MatchString("x" + date) {
			return fmt.Errorf("has {date:%s}, which stands for %s, and a tag has only letters, digits, _, . and -", text.Clip(layout, maxQuoted), text.Quote(date, maxQuoted))
		}
	}
	return nil
}

// Expand returns the tag that the values make. It fails if a value is missing, or if the result is
// not a tag that an image may have. Its errors, as Parse's, go on after the template's text.
func (t Template) Expand(v Values) (string, error) {
	var b strings.Builder
	for _, p := range t.parts {
		s, err := p.expand(v)
		if err != nil {
			return "", err
		}
		b.WriteString(s)
	}
	tag := b.String()
	switch {
	case !tagRE.MatchString(tag):
		return "", fmt.Errorf("makes %s, which is not a tag: a tag has 1 to %d letters, digits, _, . and -", text.Quote(tag, maxQuoted), MaxTag)
	case companionRE.MatchString(tag):
		return "", fmt.Errorf("makes %s, where signatures and other referrers of an image are: add a prefix", tag)
	}
	return tag, nil
}

func (p fragment) expand(v Values) (s string, err error) {
	switch p.kind {
	case ofTag:
		if s = v.Tag; s == "" {
			err = errors.New("has no value for {tag}: the destination has no tag")
		}
	case ofSourceTag:
		if s = v.SourceTag; s == "" {
			err = errors.New("has no value for {source.tag}: the source has no tag")
		}
	case ofDigest:
		if !digest.Valid(v.Digest) {
			return "", fmt.Errorf("has no value for {digest:%d}", p.digits)
		}
		_, hex, _ := strings.Cut(v.Digest, ":")
		s = hex[:p.digits]
	case ofDate:
		s = v.Date.UTC().Format(p.arg)
	case ofLabel:
		s, err = v.Label(p.arg)
	default:
		s = p.arg
	}
	return s, err
}

// IsZero reports whether the template has no text.
func (t Template) IsZero() bool { return t.text == "" }

// String returns the template as people wrote it.
func (t Template) String() string { return t.text }

// Equal reports whether two templates have the same text.
func (t Template) Equal(other Template) bool { return t.text == other.text }

// NeedsLabels reports whether the template has labels of the image, which its config has.
func (t Template) NeedsLabels() bool { return t.has(ofLabel) }

// Pinned reports whether the tags of two images always differ, so that none of them moves.
func (t Template) Pinned() bool { return t.has(ofDigest) }

// Fixed reports whether the tag depends only on the mapping, so that it is known before a run.
func (t Template) Fixed() bool { return !t.has(ofDigest) && !t.has(ofDate) && !t.has(ofLabel) }

func (t Template) has(k fragmentKind) bool {
	for _, p := range t.parts {
		if p.kind == k {
			return true
		}
	}
	return false
}

// Sample returns the values of a mapping before a run: those that only a run knows are replaced by
// others that are as long, or by short ones.
func Sample(tag, sourceTag, digest string) Values {
	v := samples
	v.Tag, v.SourceTag = tag, sourceTag
	if digest != "" {
		v.Digest = digest
	}
	return v
}
