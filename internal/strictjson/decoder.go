package strictjson

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// A Decoder reads documents into a T as encoding/json does, but refuses unknown keys, keys in
// another spelling and repeated keys. It is safe for concurrent use.
type Decoder[T any] struct{ shape *shape }

// A shape has the keys of an object. It is nil for values that are not checked: those that
// hold no struct.
type shape struct {
	names  []string
	values []*shape // of an object, or of the elements of a list
}

// NewDecoder returns a Decoder. A struct in T may have at most 64 fields, none of them embedded.
func NewDecoder[T any]() *Decoder[T] { return &Decoder[T]{shapeOf(reflect.TypeFor[T]())} }

func shapeOf(t reflect.Type) *shape {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	// A type such as time.Time reads itself.
	if t.Kind() != reflect.Struct || reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return nil
	}
	s := &shape{}
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		s.names, s.values = append(s.names, name), append(s.values, shapeOf(field.Type))
	}
	return s
}

// Decode reads a document, which is one value.
func (d *Decoder[T]) Decode(document []byte) (T, error) {
	var v T
	if err := json.Unmarshal(document, &v); err != nil {
		return v, err
	}
	return v, d.shape.check(document[blanks(document):])
}

// check checks the keys of a value that has been decoded, so that its types are right.
func (s *shape) check(v Value) error {
	switch {
	case s == nil:
	case v[0] == '[':
		for element := range v.Elements() {
			if err := s.check(element); err != nil {
				return err
			}
		}
	case v[0] == '{':
		return s.checkObject(v)
	}
	return nil
}

func (s *shape) checkObject(v Value) error {
	var seen uint64
	for key, member := range v.Members() {
		i, err := s.find(key)
		if err != nil {
			return err
		}
		if seen&(1<<i) != 0 {
			return fmt.Errorf("the key %q appears twice", key)
		}
		seen |= 1 << i
		if err := s.values[i].check(member); err != nil {
			return err
		}
	}
	return nil
}

// maxShown bounds what a message quotes of a key, in bytes.
const maxShown = 80

func (s *shape) find(key []byte) (int, error) {
	for i, name := range s.names {
		if string(key) == name {
			return i, nil
		}
	}
	for _, name := range s.names {
		if strings.EqualFold(string(key), name) {
			return 0, fmt.Errorf("the key %.*q has to be spelled %q", maxShown, key, name)
		}
	}
	return 0, fmt.Errorf("unknown key %.*q", maxShown, key)
}
