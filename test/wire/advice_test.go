package wire

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// An index some of whose manifests are missing is nothing that the mapping can be corrected for.
func TestMissingChildHasItsOwnAdvice(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	child := registrytest.NewImage(registrytest.OCI, "child", "amd64")
	digest, err := registrytest.DigestOf(child)
	if err != nil {
		t.Fatal(err)
	}
	index := push(t, p.source, "ci/a:v1", registrytest.NewIndex(registrytest.OCI, child))
	p.source.Inject(registrytest.FaultRule{Path: regexp.MustCompile("/manifests/" + digest), Fault: registrytest.Status(http.StatusNotFound, "")})
	for _, source := range []string{"ci/a:v1", "ci/a@" + index} {
		e := mirrorLines(t, line(p, source, "m/a:v1")).results[p.destination.Host+"/m/a:v1"].Error
		if e == nil || !strings.Contains(e.Message, digest) || !strings.Contains(e.Message, "the index "+index+" lists it") || !strings.Contains(e.Advice, "missing platforms") {
			t.Errorf("%s: the error is %+v, want the index, and what to push", source, e)
		}
	}
	// The image itself is another matter.
	e := mirrorLines(t, line(p, "ci/a:v2", "m/a:v2")).results[p.destination.Host+"/m/a:v2"].Error
	if e == nil || !strings.Contains(e.Advice, "correct the source") {
		t.Errorf("the error is %+v, want that the source is to be corrected", e)
	}
}

// A page that comes instead of a blob is called one, with the host that sent it.
func TestPageInsteadOfABlobIsNamed(t *testing.T) {
	t.Parallel()
	for name, page := range map[string]string{"short": "<html>log in</html>", "long": "<html>" + strings.Repeat("log in ", 100_000) + "</html>"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cdn := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/html; charset=utf-8")
				_, _ = w.Write([]byte(page))
			}))
			t.Cleanup(cdn.Close)
			p := newPair(t)
			push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 300_000)))
			p.source.Inject(registrytest.FaultRule{Kind: "GET blob", Fault: registrytest.Redirect(cdn.URL)})
			config := settings()
			config.Retries = 2
			run := mirrorWith(t, config, line(p, "ci/a:v1", "m/a:v1"))
			run.are(t, p.destination, map[string]string{"m/a:v1": stream.Failed})
			e, host := run.results[p.destination.Host+"/m/a:v1"].Error, strings.TrimPrefix(cdn.URL, "http://")
			if !strings.Contains(e.Message, "which leads to "+host+": a web page: ") || !strings.Contains(e.Advice, host) {
				t.Errorf("the error is %+v, want the host %s and that it sent a web page", e, host)
			}
		})
	}
}
