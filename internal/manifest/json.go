package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"iter"
)

// A jsonValue is text that begins with a JSON value. It is a part of a
// document that validJSON accepted, so the methods need not check its syntax.
//
// encoding/json cannot read manifests strictly: it takes the last of two equal keys, and
// matches keys without regard to case. Other programs take the first, or only the exact key,
// and would see another image under the same digest.
type jsonValue []byte

// validJSON returns the value of a document.
func validJSON(document []byte) (jsonValue, error) {
	if bytes.HasPrefix(document, []byte("\xef\xbb\xbf")) {
		return nil, errors.New("it begins with a byte order mark")
	}
	if !json.Valid(document) {
		return nil, json.Unmarshal(document, new(struct{}))
	}
	return document[blanks(document):], nil
}

// isNull reports whether the value is null, which stands for no value, as in encoding/json.
func (v jsonValue) isNull() bool { return v[0] == 'n' }

// members yields the keys and values of an object. A key is valid until the next one.
func (v jsonValue) members() iter.Seq2[[]byte, jsonValue] {
	return func(yield func([]byte, jsonValue) bool) {
		for at := 1 + blanks(v[1:]); v[at] != '}'; at += blanks(v[at:]) {
			key := v[at : at+stringLength(v[at:])]
			at += len(key)
			at += blanks(v[at:]) + 1 // the colon
			at += blanks(v[at:])
			member := v[at : at+length(v[at:])]
			if !yield(key.text(), member) {
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

// elements yields the values of a list.
func (v jsonValue) elements() iter.Seq[jsonValue] {
	return func(yield func(jsonValue) bool) {
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

// text returns what a string says.
func (v jsonValue) text() []byte {
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
	for i := 1; ; i++ {
		switch text[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
}
