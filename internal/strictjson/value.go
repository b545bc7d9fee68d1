// Package strictjson reads JSON so that no two programs can read two things in it.
//
// encoding/json takes the last of two equal keys, and matches keys without regard to case.
// Other programs take the first, or only the exact key.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"iter"
)

// A Value is text that begins with a JSON value. It is a part of a document that Parse
// accepted, so the methods need not check its syntax.
type Value []byte

// Parse returns the value of a document.
func Parse(document []byte) (Value, error) {
	if bytes.HasPrefix(document, []byte("\xef\xbb\xbf")) {
		return nil, errors.New("it begins with a byte order mark")
	}
	if !json.Valid(document) {
		return nil, json.Unmarshal(document, new(struct{}))
	}
	return document[blanks(document):], nil
}

// IsNull reports whether the value is null, which stands for no value, as in encoding/json.
func (v Value) IsNull() bool { return v[0] == 'n' }

// Members yields the keys and values of an object. A key is valid until the next one.
func (v Value) Members() iter.Seq2[[]byte, Value] {
	return func(yield func([]byte, Value) bool) {
		for at := 1 + blanks(v[1:]); v[at] != '}'; at += blanks(v[at:]) {
			key := v[at : at+stringLength(v[at:])]
			at += len(key)
			at += blanks(v[at:]) + 1 // the colon
			at += blanks(v[at:])
			member := v[at : at+length(v[at:])]
			if !yield(key.Text(), member) {
				return
			}
			at += len(member)
			at += blanks(v[at:])
			if v[at] == ',' {
				at++
			}
		}
	}
}

// Elements yields the values of a list.
func (v Value) Elements() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		for at := 1 + blanks(v[1:]); v[at] != ']'; at += blanks(v[at:]) {
			element := v[at : at+length(v[at:])]
			if !yield(element) {
				return
			}
			at += len(element)
			at += blanks(v[at:])
			if v[at] == ',' {
				at++
			}
		}
	}
}

// Is reports whether the value is the given number, literal or string, spelled like that.
func (v Value) Is(spelled string) bool { return string(v[:length(v)]) == spelled }

// Text returns what a string says.
func (v Value) Text() []byte {
	if bytes.IndexByte(v, '\\') < 0 {
		return v[1 : len(v)-1]
	}
	var s string
	_ = json.Unmarshal(v, &s) // valid, and a string
	return []byte(s)
}

// blanks returns the length of the white space that text begins with.
func blanks(text []byte) int {
	for i, c := range text {
		if c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return i
		}
	}
	return len(text)
}

// length returns the length of the value that text begins with.
func length(text []byte) int {
	switch text[0] {
	case '"':
		return stringLength(text)
	case '{', '[':
		return nestedLength(text)
	}
	if at := bytes.IndexAny(text, ",]} \n\t\r"); at >= 0 {
		return at
	}
	return len(text)
}

func nestedLength(text []byte) int {
	depth := 0
	for i := 0; ; i++ {
		switch text[i] {
		case '"':
			i += stringLength(text[i:]) - 1
		case '{', '[':
			depth++
		case '}', ']':
			depth--
			if depth == 0 {
				return i + 1
			}
		}
	}
}

func stringLength(text []byte) int {
	from := 1
	end := from + bytes.IndexByte(text[from:], '"')
	for {
		escape := bytes.IndexByte(text[from:end], '\\')
		if escape < 0 {
			return end + 1
		}
		from += escape + 2
		if from > end { // the quote was escaped
			end = from + bytes.IndexByte(text[from:], '"')
		}
	}
}
