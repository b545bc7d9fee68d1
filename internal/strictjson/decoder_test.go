package strictjson

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

type inner struct {
	N int `json:"n"`
}

type document struct {
	A    string    `json:"a"`
	One  *inner    `json:"one,omitempty"`
	Many []inner   `json:"many,omitempty"`
	When time.Time `json:"when,omitzero"`
	Raw  []byte    `json:"raw,omitempty"`
}

func TestDecode(t *testing.T) {
	for _, c := range []struct{ name, in, err string }{
		{"all keys", `{"a":"x","one":{"n":1},"many":[{"n":1},{"n":2}],"when":"2026-03-01T12:00:00Z","raw":"e30="}`, ""},
		{"white space", " {\n\t\"many\" : [ { \"n\" : 1 } , null ] , \"a\":\"\" } ", ""},
		{"null", `{"one":null,"many":null,"raw":null}`, ""},
		{"escapes", `{"a":"\"}\\\",{\\"}`, ""},
		{"unknown", `{"b":1}`, `unknown key "b"`},
		{"unknown and long", `{"` + strings.Repeat("b", 500) + `":1}`, `unknown key "` + strings.Repeat("b", maxShown) + `"`},
		{"unknown in a list", `{"many":[{"n":1},{"m":2}]}`, `unknown key "m"`},
		{"twice", `{"a":"x","a":"x"}`, `the key "a" appears twice`},
		{"twice in an object", `{"one":{"n":1,"n":1}}`, `the key "n" appears twice`},
		{"another spelling", `{"one":{"N":1}}`, `the key "N" has to be spelled "n"`},
		{"empty key", `{"":1}`, `unknown key ""`},
		{"trailing data", `{"a":"x"}{"a":"x"}`, "invalid character '{' after top-level value"},
		{"nothing", ``, "unexpected end of JSON input"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := NewDecoder[document]().Decode([]byte(c.in))
			if c.err == "" && err != nil || c.err != "" && (err == nil || err.Error() != c.err) {
				t.Errorf("got %v, want %q", err, c.err)
			}
		})
	}
}

// FuzzDecode: what is accepted is accepted by encoding/json too, when it refuses unknown fields.
func FuzzDecode(f *testing.F) {
	for _, in := range []string{`{"a":"x","one":{"n":1}}`, `{"many":[{"n":1},null],"A":""}`, `{"a":"\\\"","a":1}`, `[1]`, ` null `, `{"\u0061":""}`} {
		f.Add([]byte(in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		_, err := NewDecoder[document]().Decode(in)
		d := json.NewDecoder(strings.NewReader(string(in)))
		d.DisallowUnknownFields()
		if lax := d.Decode(new(document)); err == nil && lax != nil {
			t.Errorf("it is accepted, although %v", lax)
		}
	})
}
