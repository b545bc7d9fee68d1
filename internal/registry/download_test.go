package registry

import (
	"net/http"
	"testing"
)

func TestIsRest(t *testing.T) {
	for value, want := range map[string]bool{
		"bytes 5-9/10":                   true,
		"bytes 5-9/*":                    true,
		"Bytes  5-9/10":                  true,
		" bytes 5-9/10 ":                 true,
		"":                               false,
		"bytes */10":                     false,
		"bytes 0-9/10":                   false,
		"bytes 6-9/10":                   false,
		"bytes 5-8/10":                   false,
		"bytes 5-9":                      false,
		"bytes 5-4/5":                    false,
		"bytes=5-9/10":                   false,
		"items 5-9/10":                   false,
		"bytes 5-99999999999999999999/*": false,
	} {
		if got := isRest(http.Header{"Content-Range": {value}}, 5); got != want {
			t.Errorf("Content-Range %q: got %t, want %t", value, got, want)
		}
	}
}

func FuzzIsRest(f *testing.F) {
	f.Add("bytes 5-9/10", int64(5))
	f.Add("bytes */10", int64(0))
	f.Fuzz(func(t *testing.T, value string, offset int64) {
		if isRest(http.Header{"Content-Range": {value}}, offset) && offset < 0 {
			t.Errorf("%q is taken for the rest from byte %d on", value, offset)
		}
	})
}
