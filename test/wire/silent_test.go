package wire

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// Requests of many images get no answer, so that their registry seems to be down. It answers
// /v2/, and all requests of other images: those arrive.
func TestImagesWithoutAnswersFailAlone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		destination bool
		kind        string
		fault       registrytest.Fault
	}{
		{"manifests that are cut at the source", false, "GET manifest", registrytest.Disconnect()},
		{"blobs that are cut at the source", false, "GET blob", registrytest.Disconnect()},
		{"answers that are no HTTP", false, "GET blob", nonsense},
		{"all requests are cut at the destination", true, "", registrytest.Disconnect()},
		{"uploads that are cut at the destination", true, "PUT upload", registrytest.Disconnect()},
		{"manifests that are cut at the destination", true, "PUT manifest", registrytest.Disconnect()},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			lines := pushSeveral(t, p)
			at := p.source
			if c.destination {
				at = p.destination
			}
			at.Inject(registrytest.FaultRule{Kind: c.kind, Path: regexp.MustCompile("/i0./"), Fault: c.fault})
			wantFirstFail(t, p, lines)
		})
	}
}

// The same holds for a CDN and a token service. A token for several images must not fail all of
// them.
func TestImagesWithoutAnswersElsewhereFailAlone(t *testing.T) {
	t.Parallel()
	bad := func(r *http.Request) bool { return strings.Contains(r.URL.Path+fmt.Sprint(r.URL.Query()), "ci/i0") }
	for _, c := range []struct {
		name  string
		auth  *registrytest.Auth
		fault func(t *testing.T, p pair)
	}{
		{"blobs that are cut at a CDN", nil, func(t *testing.T, p pair) {
			newCDN(t, p).Inject(registrytest.FaultRule{Kind: "GET blob", Match: bad, Fault: registrytest.Disconnect()})
		}},
		{"blobs that a CDN answers with no HTTP", nil, func(t *testing.T, p pair) {
			newCDN(t, p).Inject(registrytest.FaultRule{Kind: "GET blob", Match: bad, Fault: nonsense})
		}},
		{"tokens that are cut", &registrytest.Auth{}, func(_ *testing.T, p pair) {
			p.source.Inject(registrytest.FaultRule{Kind: "token", Match: bad, Fault: registrytest.Disconnect()})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := pair{newRegistry(t, c.auth), newRegistry(t, nil)}
			lines := pushSeveral(t, p)
			c.fault(t, p)
			wantFirstFail(t, p, lines)
		})
	}
}

// Of the images that pushSeveral pushes, ci/i00 and so on, the first badImages fail.
const badImages, allImages = 10, 14

// pushSeveral pushes images to the source and returns a line for each.
func pushSeveral(t *testing.T, p pair) (lines []string) {
	t.Helper()
	for i := range allImages {
		name := fmt.Sprintf("i%02d:v1", i)
		push(t, p.source, "ci/"+name, registrytest.NewImage(registrytest.OCI, name, "amd64", registrytest.NewLayer(name, 1000)))
		lines = append(lines, line(p, "ci/"+name, "m/"+name))
	}
	return lines
}

// wantFirstFail mirrors the images of pushSeveral, and fails unless the first ones fail alone.
func wantFirstFail(t *testing.T, p pair, lines []string) {
	t.Helper()
	config := settings()
	config.Retries = 1
	want := map[string]string{}
	for i := range allImages {
		name := fmt.Sprintf("m/i%02d:v1", i)
		want[name] = stream.Copied
		if i < badImages {
			want[name] = stream.Failed
		}
	}
	mirrorWith(t, config, lines...).are(t, p.destination, want)
}

// nonsense answers with what is not HTTP.
func nonsense(http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		connection, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = connection.Write([]byte("HTTP/1.1 999999 nonsense\r\n\r\n"))
		_ = connection.Close()
	})
}
