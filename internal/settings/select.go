package settings

import (
	"strings"

	"imagemirror/internal/reference"
	"imagemirror/internal/selection"
	"imagemirror/internal/strictyaml"
)

// Bounds on what a file selects.
const (
	maxSelect  = 100    // rules
	maxNewest  = 10_000 // tags, which is more than most wildcards have room for
	maxMinimum = 200_000
)

// Select are rules on which tags of wildcard sources are mirrored. The first whose source matches
// applies; a source that none matches is mirrored with all tags that its pattern matches.
type Select []*SelectRule

// A SelectRule is one rule, and the sources that it is for.
type SelectRule struct {
	selection.Filter
	Source string // as it is written
	File   string // label of the settings file
	Line   int    // of the file, where the rule begins

	sources sourcePattern
}

// For returns the rule that applies to a source of a mapping, or nil: none does, or the source is
// not a wildcard.
func (s Select) For(source reference.Reference) *SelectRule {
	if !source.Wildcard() {
		return nil
	}
	for _, r := range s {
		if r.Covers(source) {
			return r
		}
	}
	return nil
}

// Covers reports whether the rule's source matches a source of a mapping, wildcard or not.
func (r *SelectRule) Covers(source reference.Reference) bool { return r.sources.match(source) }

// A sourcePattern matches sources of mappings.
type sourcePattern struct {
	name string // of repositories, with * for any characters
	tag  string // pattern that the source's own must be within; "": any, of all names below name
}

func (p sourcePattern) match(source reference.Reference) bool {
	name := source.Name()
	if p.tag != "" {
		return glob(p.name, name) && glob(p.tag, source.Tag)
	}
	if !strings.Contains(p.name, "*") {
		return Prefixes{{Name: p.name}, {Name: library(p.name)}}.Allow(name)
	}
	for i := range len(name) + 1 {
		if (i == len(name) || name[i] == '/') && glob(p.name, name[:i]) {
			return true
		}
	}
	return false
}

// glob reports whether s matches a pattern in which * stands for any characters.
func glob(pattern, s string) bool { return reference.Reference{Tag: pattern}.Match(s) }

// parseSource returns the pattern of a rule's source: a prefix as in spec.sources in which * stands
// for any characters, or a wildcard source as in a mapping file.
func parseSource(text string) (sourcePattern, bool) {
	name, tag := text, ""
	if i := strings.LastIndexByte(text, ':'); i > strings.LastIndexByte(text, '/') && strings.Contains(text[i:], "*") {
		name, tag = text[:i], text[i+1:]
	}
	if strings.Trim(name, "*") == "" && name != "" {
		return sourcePattern{"*", tag}, tag == "" || isPattern(tag)
	}
	// A name is read with something in the place of each *, which must not be in the name itself.
	// The dot makes the first part of the name a host's.
	stand := "0star.0"
	for strings.Contains(name, stand) {
		stand += "0"
	}
	plain := strings.ReplaceAll(name, "*", stand)
	if tag != "" {
		r, err := reference.ParsePattern(plain + ":" + tag)
		return sourcePattern{strings.ReplaceAll(r.Name(), stand, "*"), tag}, err == nil
	}
	prefix, ok := parsePrefix(plain)
	return sourcePattern{strings.ReplaceAll(prefix, stand, "*"), ""}, ok
}

// isPattern reports whether a tag of a source, with a wildcard, is valid.
func isPattern(tag string) bool {
	r, err := reference.ParsePattern("host.example/x:" + tag)
	return err == nil && r.Tag == tag
}

func (s *Settings) selectRules(v strictyaml.Value) {
	if v.Empty() { // it could mean none or all
		v.Refuse("select has no rules: write one, or leave the key out to mirror all tags")
	}
	v.List(func(v strictyaml.Value) {
		if len(s.Select) == maxSelect {
			v.Refuse("spec.select has more than %d rules: combine rules, with * in their source", maxSelect)
			return
		}
		if r := readSelect(v); r != nil {
			s.Select = append(s.Select, r)
		}
	})
}

// readSelect reads one rule. It returns nil unless its source is known.
func readSelect(v strictyaml.Value) *SelectRule {
	r := &SelectRule{Line: v.Line()}
	if !v.IsMapping() {
		v.Refuse("a rule of spec.select is not a mapping: write source: and what is selected")
		return nil
	}
	known := false
	v.Keys(
		strictyaml.Key{Name: "source", Read: func(v strictyaml.Value) { known = r.source(v) }},
		strictyaml.Key{Name: "include", Read: readExpressions(&r.Include, "include")},
		strictyaml.Key{Name: "exclude", Read: readExpressions(&r.Exclude, "exclude")},
		strictyaml.Key{Name: "semver", Read: r.semver},
		strictyaml.Key{Name: "prereleases", Read: func(v strictyaml.Value) { r.Prereleases = v.Bool() }},
		strictyaml.Key{Name: "companions", Read: func(v strictyaml.Value) { r.Companions = v.Bool() }},
		strictyaml.Key{Name: "newest", Read: number(&r.Newest, 1, maxNewest)},
		strictyaml.Key{Name: "by", Read: r.by},
		strictyaml.Key{Name: "minimum", Read: number(&r.Minimum, 1, maxMinimum)},
	)
	if r.Source == "" && !known {
		v.Refuse(`a rule of spec.select has no source: write one, such as quay.io/org/app, or "*" for all`)
	}
	r.together(v)
	if !known {
		return nil
	}
	return r
}

// together refuses keys of a rule that do not go together.
func (r *SelectRule) together(v strictyaml.Value) {
	if n := r.Instructions(); n > selection.MaxInstructions {
		v.Refuse("the expressions of the rule take %d instructions together, and at most %d are allowed: repeat less, or write fewer", n, selection.MaxInstructions)
	}
	switch {
	case r.Newest > 0 && r.Minimum > r.Newest:
		v.Refuse("minimum is %d, and newest leaves %d at most: the rule can never have enough", r.Minimum, r.Newest)
	case r.By != "" && r.Newest == 0:
		v.Refuse("by is the order of newest, which the rule does not have: add newest, or remove by")
	case r.Prereleases && r.Semver == nil && (r.Newest == 0 || r.By == selection.ByName):
		v.Refuse("prereleases is about versions, which the rule does not ask for: add semver or newest, or remove prereleases")
	}
}

func (r *SelectRule) source(v strictyaml.Value) bool {
	text, ok := v.Text()
	if !ok {
		r.Source = " " // it is there, and refused already
		return false
	}
	r.Source = text
	if r.sources, ok = parseSource(text); !ok {
		v.Refuse("source %.*q is not a prefix of image names or a source with a wildcard: write one such as quay.io/org, quay.io/org/app, quay.io/*/app or quay.io/org/app:v*", maxText, text)
	}
	return ok
}

func (r *SelectRule) semver(v strictyaml.Value) {
	text, ok := v.Text()
	if !ok {
		return
	}
	c, err := selection.ParseConstraint(text)
	if err != nil {
		v.Refuse("semver %.*q is not a constraint on versions: write one such as \">=1.2 <2\" or \"~1.4 || 2.x\" (%w)", maxText, text, err)
		return
	}
	r.Semver = c
}

func (r *SelectRule) by(v strictyaml.Value) {
	text, ok := v.Text()
	if order := selection.Order(text); order == selection.ByVersion || order == selection.ByName {
		r.By = order
	} else if ok {
		v.Refuse("by is %.*q: write %s or %s", maxText, text, selection.ByVersion, selection.ByName)
	}
}

// readExpressions returns what reads one expression, or a list of them.
func readExpressions(to *[]selection.Expression, key string) func(strictyaml.Value) {
	return func(v strictyaml.Value) {
		if v.Empty() { // it could mean none or all
			v.Refuse("%s lists no expressions: write one, or leave the key out", key)
		}
		v.OneOrMore(func(v strictyaml.Value) {
			text, ok := v.Text()
			if !ok {
				return
			}
			if len(*to) == selection.MaxExpressions {
				v.Refuse("%s has more than %d expressions: join some with |", key, selection.MaxExpressions)
				return
			}
			e, err := selection.Compile(text)
			if err != nil {
				v.Refuse("%s %.*q is not a regular expression of RE2: %w", key, maxText, text, err)
				return
			}
			*to = append(*to, e)
		})
	}
}
