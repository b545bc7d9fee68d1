// Package strictyaml reads small YAML files that people write by hand. It goes on after a
// mistake and returns all of them, each with its line. An unknown key is a mistake; the
// message lists the known.
package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"imagemirror/internal/finding"
	"imagemirror/internal/text"
)

const (
	maxList   = 1000 // entries of a list, and keys of a mapping, for Read
	maxQuoted = 100  // characters of what is quoted in a message
)

// A Value is one place in a file.
type Value struct {
	name string // the keys that lead there, as in spec.history.runs; empty at the top
	node *yaml.Node
	from *reader
}

// A Key is a key that a mapping may have, with what reads its value; or one that it may not
// have.
type Key struct {
	Name   string
	Read   func(Value)
	Refuse string // why the key may not be there; then Read is not called
}

type reader struct {
	rule  *finding.Rule
	file  string
	most  int // entries of a list, and keys of a mapping
	found finding.List
}

// Read gives the file's one document to visit, and returns all that was refused, by line and
// under the rule. data may have at most size bytes.
func Read(rule *finding.Rule, file string, data []byte, size int, visit func(Value)) *finding.List {
	return ReadLong(rule, file, data, size, maxList, visit)
}

// ReadLong reads a file as Read does. Its lists may have up to most entries, and its mappings as
// many keys.
func ReadLong(rule *finding.Rule, file string, data []byte, size, most int, visit func(Value)) *finding.List {
	r := &reader{rule: rule, file: file, most: most}
	if node, line, err := document(data, size); err != nil {
		r.found.Refuse(rule, file, line, "%w", err)
	} else {
		visit(Value{node: node, from: r})
	}
	r.found.Sort()
	return &r.found
}

// document returns the only document of a file, or nil if the file is empty. An error comes
// with its line.
func document(data []byte, size int) (*yaml.Node, int, error) {
	if len(data) > size {
		return nil, 1, fmt.Errorf("the file has more than %d KiB: shorten it", size>>10)
	}
	if !utf8.Valid(data) {
		return nil, 1, errors.New("the file is not UTF-8 text")
	}
	var first, second yaml.Node
	in := yaml.NewDecoder(bytes.NewReader(data))
	switch err := in.Decode(&first); {
	case errors.Is(err, io.EOF):
		return nil, 1, nil
	case err != nil:
		return nil, lineOf(err), notYAML(err)
	}
	switch err := in.Decode(&second); {
	case err == nil:
		return nil, second.Line, errors.New("a second document begins here: keep one")
	case !errors.Is(err, io.EOF):
		return nil, lineOf(err), notYAML(err)
	}
	return first.Content[0], 1, nil
}

var placeRE = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

func lineOf(err error) int {
	if m := placeRE.FindStringSubmatch(err.Error()); m != nil {
		n, _ := strconv.Atoi(m[1])
		return max(n, 1)
	}
	return 1
}

func notYAML(err error) error {
	text := placeRE.ReplaceAllString(err.Error(), "")
	return fmt.Errorf("the file is not YAML: %s", strings.Join(strings.Fields(text), " "))
}

// at returns a value below v. For an alias it is the value that the alias names. Readers go
// only as deep as the keys they know, so aliases of aliases do not multiply.
func (v Value) at(name string, node *yaml.Node) Value {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	return Value{name: name, node: node, from: v.from}
}

// Line returns the line of the value, from 1.
func (v Value) Line() int {
	if v.node == nil || v.node.Line < 1 {
		return 1
	}
	return v.node.Line
}

// Refuse adds a mistake at the value.
func (v Value) Refuse(format string, args ...any) {
	v.from.found.Refuse(v.from.rule, v.from.file, v.Line(), format, args...)
}

// Warn adds a warning at the value.
func (v Value) Warn(format string, args ...any) {
	v.from.found.Warn(v.from.rule, v.from.file, v.Line(), format, args...)
}

// WarnUnder adds a warning at the value, under a rule of its own.
func (v Value) WarnUnder(rule *finding.Rule, format string, args ...any) {
	v.from.found.Warn(rule, v.from.file, v.Line(), format, args...)
}

// Keys reads a mapping, and refuses a key that is unknown or is there twice. It accepts an
// empty value.
func (v Value) Keys(known ...Key) { v.keys(known, Value.Refuse) }

// KnownKeys reads a mapping as Keys does, but only warns of a key that is unknown, under the
// rule odd: the file belongs to another program, too, which may have more keys.
func (v Value) KnownKeys(odd *finding.Rule, known ...Key) {
	v.keys(known, func(at Value, format string, args ...any) {
		at.WarnUnder(odd, format, args...)
	})
}

// keys reads a mapping. It reports an unknown key to unknown.
func (v Value) keys(known []Key, unknown func(at Value, format string, args ...any)) {
	if v.empty() {
		return
	}
	if v.node.Kind != yaml.MappingNode {
		v.Refuse("%s is not a mapping: write a line KEY: VALUE for each of %s", v.called(), keyNames(known))
		return
	}
	seen := map[string]bool{}
	for at, value := range v.pairs() {
		name := at.node.Value
		i := slices.IndexFunc(known, func(k Key) bool { return k.Name == name && at.node.Kind == yaml.ScalarNode })
		switch {
		case i < 0:
			unknown(at, "unknown key %s: write %s", text.Quote(name, maxQuoted), keyNames(known))
		case seen[name]:
			at.Refuse("the key %s is there twice: keep one", name)
		case known[i].Refuse != "":
			at.Refuse("the key %s may not be here: %s", name, known[i].Refuse)
		default:
			seen[name] = true
			known[i].Read(value)
		}
	}
}

// Texts reads a mapping of the author's own keys, such as annotations, to texts.
func (v Value) Texts() map[string]string {
	texts := map[string]string{}
	v.Each(func(key string, value Value) { texts[key], _ = value.Text() })
	return texts
}

// Each reads a mapping of the author's own keys, one after the other. It refuses a key that is
// there twice, and accepts an empty value.
func (v Value) Each(read func(key string, value Value)) {
	if v.empty() {
		return
	}
	if v.node.Kind != yaml.MappingNode {
		v.Refuse("%s is not a mapping: write a line KEY: VALUE for each", v.called())
		return
	}
	seen := map[string]bool{}
	for at, value := range v.pairs() {
		if key := at.node.Value; seen[key] {
			at.Refuse("the key %s is there twice: keep one", text.Quote(key, maxQuoted))
		} else {
			seen[key] = true
			read(key, value)
		}
	}
}

// pairs yields the keys of a mapping and their values. It refuses the first key beyond the most
// that a file may have, and ends there.
func (v Value) pairs() func(func(Value, Value) bool) {
	return func(yield func(Value, Value) bool) {
		for i := 0; i+1 < len(v.node.Content); i += 2 {
			key := v.at("", v.node.Content[i])
			if i/2 == v.from.most {
				key.Refuse("%s has more than %d keys", v.called(), v.from.most)
				return
			}
			name := strings.TrimPrefix(v.name+"."+key.node.Value, ".")
			if !yield(key, v.at(name, v.node.Content[i+1])) {
				return
			}
		}
	}
}

// List reads a list, one entry after the other. It accepts an empty value.
func (v Value) List(read func(Value)) {
	if v.empty() {
		return
	}
	if v.node.Kind != yaml.SequenceNode {
		v.Refuse("%s is not a list: write [ONE, ANOTHER], or a line - ENTRY for each", v.called())
		return
	}
	for i, n := range v.node.Content {
		entry := v.at("an entry of "+v.called(), n)
		if i == v.from.most {
			entry.Refuse("%s has more than %d entries", v.called(), v.from.most)
			return
		}
		read(entry)
	}
}

// OneOrMore reads a list as List does, or a single value as the only entry of one.
func (v Value) OneOrMore(read func(Value)) {
	if v.empty() || v.node.Kind != yaml.ScalarNode {
		v.List(read)
		return
	}
	read(v)
}

// Text returns a printable string, and false if the value is refused: it is not one, or YAML
// reads it as another type.
func (v Value) Text() (string, bool) {
	switch {
	case v.empty():
		v.Refuse("%s has no value: write one, or leave the key out", v.called())
	case v.node.Kind != yaml.ScalarNode:
		v.Refuse("%s is not a single value: write one", v.called())
	case v.node.ShortTag() != "!!str":
		v.Refuse("%s is %s, which YAML does not read as a string: write it in quotes", v.called(), text.Quote(v.node.Value, maxQuoted))
	default:
		return v.Word()
	}
	return "", false
}

// Word returns a printable scalar as it is written, whatever type YAML reads it as: a name
// may be 007. It returns false if the value is refused.
func (v Value) Word() (string, bool) {
	switch {
	case v.empty() || v.node.Value == "":
		v.Refuse("%s has no value: write one, or leave it out", v.called())
	case v.node.Kind != yaml.ScalarNode:
		v.Refuse("%s is not a single value: write one", v.called())
	case !text.IsPrintable(v.node.Value):
		v.Refuse("%s is %s, which has characters that cannot be shown: remove them", v.called(), text.Quote(v.node.Value, maxQuoted))
	default:
		return v.node.Value, true
	}
	return "", false
}

// IsBlank reports whether the value is an empty string.
func (v Value) IsBlank() bool {
	return !v.empty() && v.node.Kind == yaml.ScalarNode && v.node.Value == ""
}

// IsMapping reports whether the value is a mapping, which Keys reads.
func (v Value) IsMapping() bool { return !v.empty() && v.node.Kind == yaml.MappingNode }

// IsList reports whether the value is a list, which List reads.
func (v Value) IsList() bool { return !v.empty() && v.node.Kind == yaml.SequenceNode }

// Bool returns a truth value, or false if the value is refused.
func (v Value) Bool() bool {
	var b bool
	if v.empty() || v.node.Kind != yaml.ScalarNode || v.node.ShortTag() != "!!bool" || v.node.Decode(&b) != nil {
		v.Refuse("%s is %s: write true or false", v.called(), v.shown())
	}
	return b
}

// Number returns a whole number from least to most, or 0 if the value is refused. It refuses what
// YAML has besides plain decimal numbers: 010 may be 8 or 10, by the parser's version.
func (v Value) Number(least, most int) int {
	var n int
	if v.empty() || v.node.Kind != yaml.ScalarNode || v.node.ShortTag() != "!!int" || v.node.Decode(&n) != nil || strconv.Itoa(n) != v.node.Value {
		v.Refuse("%s is %s: write a number from %d to %d in plain decimal digits, without quotes, or leave it out", v.called(), v.shown(), least, most)
		return 0
	}
	if n < least || n > most {
		v.Refuse("%s is %s: write a number from %d to %d, or leave it out", v.called(), v.shown(), least, most)
		return 0
	}
	return n
}

// Duration returns a time from least to most, or 0 if the value is refused.
func (v Value) Duration(least, most time.Duration) time.Duration {
	if !v.empty() && v.node.Kind == yaml.ScalarNode {
		if d, err := text.ParseDuration(v.node.Value); err == nil && d >= least && d <= most {
			return d
		}
	}
	v.Refuse("%s is %s: write a time from %s to %s, such as 90m or 5h, or leave it out", v.called(), v.shown(), text.Duration(least), text.Duration(most))
	return 0
}

// empty reports whether the value is missing or null.
func (v Value) empty() bool { return v.node == nil || v.node.ShortTag() == "!!null" }

// Empty reports whether the value is missing, or an empty list or mapping.
func (v Value) Empty() bool {
	return v.empty() || v.node.Kind != yaml.ScalarNode && len(v.node.Content) == 0
}

func (v Value) called() string {
	if v.name == "" {
		return "the file"
	}
	return text.Clip(v.name, maxQuoted)
}

func (v Value) shown() string {
	switch {
	case v.empty():
		return "empty"
	case v.node.Kind != yaml.ScalarNode:
		return "not one value"
	}
	return text.Quote(v.node.Value, maxQuoted)
}

func keyNames(known []Key) string {
	var list []string
	for _, k := range known {
		if k.Refuse == "" {
			list = append(list, k.Name)
		}
	}
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	return strings.Join(list[:len(list)-1], ", ") + " or " + list[len(list)-1]
}
