package wire

import (
	"fmt"
	"net/http"
	"regexp"
	"testing"

	"imagemirror/internal/registry"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// What travels with an image is found without a list of tags, too. The list costs two requests at
// most. Then each manifest costs one for each of cosign's three tags, and one for the index of
// referrers if the registry does not have the API.
func TestReferrersAreFoundWithoutAListOfTags(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fault registrytest.Fault
		lists int
		has   api
	}{
		{"no registry has lists", registrytest.Status(http.StatusMethodNotAllowed, ""), 2, false},
		{"it does not implement them", registrytest.Status(http.StatusNotImplemented, ""), 2, true},
		{"it fails", registrytest.Status(http.StatusInternalServerError, ""), 2, false},
		{"it is not available", registrytest.Status(http.StatusServiceUnavailable, ""), 1, true},
		{"they are forbidden", registrytest.Status(http.StatusForbidden, ""), 1, false},
		{"they are not found", registrytest.Status(http.StatusNotFound, ""), 1, true},
		{"they break off", registrytest.Truncate(20), 2, false},
		{"they are pages for people", registrytest.Status(http.StatusOK, "<html>", "Content-Type", "text/html"), 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := pair{startAs(t, c.has), newRegistry(t, nil)}
			subject := push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 1000)))
			sign(t, p.source, "ci/a", subject, ".sig")
			p.source.Inject(registrytest.FaultRule{Kind: "GET tags", Fault: c.fault})
			p.reset()
			mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Copied)
			wantSame(t, p, "ci/a", "m/a", registry.ReferrersTag(subject)+".sig")
			// The image and the signature. One of them answers the first request for a tag.
			want := map[string]int{"GET tags": c.lists, "GET manifest": 1 + 2*(3+1), "GET referrers": 1, "GET blob": 4}
			if c.has {
				want["GET manifest"], want["GET referrers"] = 1+2*3, 2
			}
			wantRequests(t, p.source, want)
		})
	}
}

// A registry that never sends a list of tags is not asked for those of all repositories.
func TestRegistriesWithoutListsOfTagsAreRemembered(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		lists  int // of five repositories
	}{
		{http.StatusMethodNotAllowed, 2},
		{http.StatusNotImplemented, 2},
		{http.StatusInternalServerError, 2 * 2}, // twice may be chance
		{http.StatusBadGateway, 2},
		{http.StatusForbidden, 5}, // that is about each repository
		{http.StatusNotFound, 5},
	} {
		t.Run(fmt.Sprint(c.status), func(t *testing.T) {
			t.Parallel()
			source := newRegistry(t, nil)
			source.Inject(registrytest.FaultRule{Kind: "GET tags", Fault: registrytest.Status(c.status, "")})
			asks := client(t, settings())
			for i := range 5 {
				if _, err := at(t, asks, source, fmt.Sprint("ci/a", i)).TagsWithin(t.Context(), 10); err == nil {
					t.Error("a list of tags came")
				}
			}
			wantRequests(t, source, map[string]int{"GET tags": c.lists})
		})
	}
}

// A list of tags is not read to its end if that costs more than to ask for each tag.
func TestLongListsOfTagsAreGivenUp(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	subject := push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 1000)))
	sign(t, p.source, "ci/a", subject, ".sig")
	n := 0
	p.source.Inject(registrytest.FaultRule{Kind: "GET tags", Fault: func(http.Handler) http.Handler {
		n++
		page := n
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", fmt.Sprintf(`</v2/ci/a/tags/list?last=t%d>; rel="next"`, page))
			fmt.Fprintf(w, `{"name":"ci/a","tags":["t%d"]}`, page)
		})
	}})
	p.reset()
	mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Copied)
	wantSame(t, p, "ci/a", "m/a", registry.ReferrersTag(subject)+".sig")
	if got := p.source.Stats().Requests["GET tags"]; got != 10 {
		t.Errorf("the list of tags cost %d requests, want 10", got)
	}
}

// If tags can neither be listed nor asked for, two are tried twice, and the image says so.
func TestUnreadableTagsAreGivenUp(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 1000)))
	p.source.Inject(
		registrytest.FaultRule{Kind: "GET tags", Fault: registrytest.Status(http.StatusMethodNotAllowed, "")},
		registrytest.FaultRule{Path: regexp.MustCompile("manifests/sha256-.*[.]"), Fault: registrytest.Status(http.StatusInternalServerError, "")})
	p.reset()
	run := mirrorLines(t, line(p, "ci/a:v1", "m/a:v1"))
	run.allAre(t, stream.Copied)
	if got := run.results[p.destination.Host+"/m/a:v1"].Travelled; len(got) == 0 || got[0].Error == nil {
		t.Errorf("it does not say that its signatures are unknown: %+v", got)
	}
	// The image, two tags twice, and the index of referrers.
	wantRequests(t, p.source, map[string]int{"GET tags": 2, "GET manifest": 1 + 2*2 + 1, "GET referrers": 1, "GET blob": 2})
	travelWith(t, "{required: true}", line(p, "ci/a:v1", "m/b:v1")).allAre(t, stream.Failed)
}
