package registry

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"imagemirror/internal/digest"
)

// An error that comes with 200 is not taken for a manifest, unless it has the digest that was asked
// for.
func TestErrorsInPlaceOfManifests(t *testing.T) {
	const (
		stated = `{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}`
		image  = `{"schemaVersion":2,"errors":["none"]}`
	)
	of := func(content string) string { return digest.Of([]byte(content)) }
	for _, c := range []struct{ name, content, identifier, err string }{
		{"a manifest", image, "v1", ""},
		{"a manifest by its digest", image, of(image), ""},
		{"an error for a tag", stated, "v1", "the registry sent an error instead of the manifest"},
		{"an error for a digest", stated, of(image), "the registry sent an error instead of the manifest"},
		{"what looks like an error by its digest", stated, of(stated), ""},
		{"another manifest for a digest", image, of(stated), "but its content is " + of(image)},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write([]byte(c.content))
			}))
			t.Cleanup(s.Close)
			r := repositoryAt(t, s.Listener.Addr().String(), Config{Concurrency: 2, Retries: 1, Stall: 10 * time.Second}, keys(anonymously))
			m, err := r.Manifest(t.Context(), c.identifier)
			switch {
			case c.err == "" && (err != nil || string(m.Content) != c.content):
				t.Errorf("got %q and %v, want the content", m.Content, err)
			case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
				t.Errorf("got %v, want an error with %q", err, c.err)
			}
		})
	}
}
