package wire

import (
	"net/http"
	"regexp"
	"sync"
	"testing"
	"time"

	"imagemirror/internal/plan"
	"imagemirror/internal/registrytest"
)

// All destinations of a source get the same image, also one that answers so late that the others
// did not wait for it, when the source's tag has moved.
func TestLateDestinationsGetTheSameImage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, spec string
		old        bool // the destinations have an image
	}{
		{"nothing is there", "referrers: {copy: none}", false},
		{"another image is there", "referrers: {copy: none}", true},
		{"the index is changed", "platforms: {only: [linux/amd64], form: rewrite}", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			first, second := twoImages(t, p)
			if c.old {
				for _, name := range []string{"m/a:v1", "m/b:v1"} {
					push(t, p.destination, name, registrytest.NewImage(registrytest.OCI, "old", "amd64"))
				}
			}
			asked := make(chan struct{})
			move := sync.OnceFunc(func() { push(t, p.source, "ci/a:v1", second) })
			p.source.Inject(registrytest.FaultRule{Path: regexp.MustCompile("/manifests/v1$"), Times: 1, Fault: func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					next.ServeHTTP(w, r)
					close(asked)
				})
			}})
			p.destination.Inject(registrytest.FaultRule{Kind: "HEAD manifest", Path: regexp.MustCompile("/m/b/"), Fault: func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					select {
					case <-asked:
						move()
						next.ServeHTTP(w, r)
					case <-r.Context().Done(): // it is asked again
					}
				})
			}})
			config := settings()
			config.Stall, config.Retries = 3*time.Second, 100 // a destination is waited for a sixth of that
			made, err := plan.Make(t.Context(), plan.Options{Client: client(t, config)}, setWith(t, c.spec, line(p, "ci/a:v1", "m/a:v1", "m/b:v1")))
			if err != nil {
				t.Fatal(err)
			}
			if len(made.Copies) != 2 {
				t.Fatalf("%d copies are planned, want 2: %+v", len(made.Copies), made.Results)
			}
			if got, other := made.Copies[0].Digest, made.Copies[1].Digest; got != other {
				t.Errorf("the destinations get %s and %s, and the first was at %s", got, other, first)
			}
		})
	}
}
