package wire

import (
	"fmt"
	"net/http"
	"regexp"
	"testing"
	"time"

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
		{"manifests that stall at the source", false, "GET manifest", registrytest.Stall()},
		{"manifests that are cut at the source", false, "GET manifest", registrytest.Disconnect()},
		{"blobs that are cut at the source", false, "GET blob", registrytest.Disconnect()},
		{"answers that are no HTTP", false, "GET blob", nonsense},
		{"all requests stall at the destination", true, "", registrytest.Stall()},
		{"uploads that stall at the destination", true, "PUT upload", registrytest.Stall()},
		{"manifests that stall at the destination", true, "PUT manifest", registrytest.Stall()},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			const bad, all = 10, 14 // images
			var lines []string
			for i := range all {
				name := fmt.Sprintf("i%02d:v1", i)
				image := registrytest.NewImage(registrytest.OCI, name, "amd64", registrytest.NewLayer(name, 1000))
				push(t, p.source, "ci/"+name, image)
				lines = append(lines, line(p, "ci/"+name, "m/"+name))
			}
			at := p.source
			if c.destination {
				at = p.destination
			}
			at.Inject(registrytest.FaultRule{Kind: c.kind, Path: regexp.MustCompile("/i0./"), Fault: c.fault})
			config := settings()
			config.Retries, config.Stall = 1, time.Second
			run := mirrorWith(t, config, lines...)
			for i := range all {
				name := fmt.Sprintf("m/i%02d:v1", i)
				want := stream.Copied
				if i < bad {
					want = stream.Failed
				}
				if got := run.results[p.destination.Host+"/"+name]; got.Status != want {
					t.Errorf("%s is %s, want %s: %+v", name, got.Status, want, got.Error)
				}
			}
		})
	}
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
