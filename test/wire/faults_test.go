package wire

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

func TestEverythingArrivesUnderFaults(t *testing.T) {
	t.Parallel()
	auth := &registrytest.Auth{Lifetime: 3 * time.Second}
	p := pair{newRegistry(t, auth), newRegistry(t, auth)}
	w := newWorkload(t, p, 15)
	for _, r := range []remoteRegistry{p.source, p.destination} {
		r.Inject(
			registrytest.FaultRule{Name: "503", Chance: 0.03, Fault: registrytest.Status(503, "upstream unavailable")},
			registrytest.FaultRule{Name: "429", Chance: 0.02, Fault: registrytest.TooManyRequests("0")},
			registrytest.FaultRule{Name: "cut", Chance: 0.02, Fault: registrytest.Disconnect()},
			registrytest.FaultRule{Name: "lost", Chance: 0.02, Fault: registrytest.LoseAnswer()},
			registrytest.FaultRule{Name: "truncated", Kind: "GET blob", Chance: 0.1, Fault: registrytest.CutAfter(500)},
			registrytest.FaultRule{Name: "corrupt", Kind: "GET blob", Chance: 0.1, Fault: registrytest.Corrupt(100)},
			registrytest.FaultRule{Name: "corrupt manifest", Kind: "GET manifest", Chance: 0.1, Fault: registrytest.Corrupt(100)},
		)
	}
	mirrorLines(t, w.lines...).allAre(t, stream.Copied)
	for _, name := range w.names {
		wantArrived(t, p, name, "mirror/"+name)
	}
	if p.source.Stats().Faults == 0 || p.destination.Stats().Faults == 0 {
		t.Error("no fault struck")
	}
}

// largeImage returns an image with one layer of 12 MB. Uploads of that size are resumed if they
// break off.
func largeImage() remote.Taggable {
	return registrytest.NewImage(registrytest.OCI, "large", "amd64", registrytest.NewLayer("large", large))
}

const large = 12_000_000

func TestBrokenDownloadIsResumed(t *testing.T) {
	t.Parallel()
	p := newPairOnDisk(t)
	push(t, p.source, "ci/a:v1", largeImage())
	p.source.Inject(registrytest.FaultRule{Kind: "GET blob", Match: onlyLarge(p.source, "GET blob"), Times: 3, Fault: registrytest.CutAfter(3_000_000)})
	mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Copied)
	wantArrived(t, p, "ci/a:v1", "m/a:v1")
	// The upload continues as one request.
	wantRequests(t, p.destination, map[string]int{"HEAD manifest": 1, "POST mount": 2, "PUT upload": 2, "PUT manifest": 1})
	if down := p.source.Stats().BlobDown; down > large+large/10 {
		t.Errorf("%d bytes were read for a blob of %d: it was started again", down, large)
	}
}

// onlyLarge matches requests for a layer, and not for the configuration.
func onlyLarge(r remoteRegistry, kind string) func(*http.Request) bool {
	return func(q *http.Request) bool {
		head, err := http.Head("http://" + r.backend + q.URL.Path)
		if err != nil {
			return false
		}
		defer head.Body.Close()
		return kind == "GET blob" && head.ContentLength > 1_000_000
	}
}

func TestBrokenUploadIsResumed(t *testing.T) {
	t.Parallel()
	p := newPairOnDisk(t)
	push(t, p.source, "ci/a:v1", largeImage())
	p.destination.Inject(registrytest.FaultRule{Kind: "PUT upload", Match: bodyOver(1_000_000), Times: 1, Fault: breakUpload(9_000_000)})
	mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Copied)
	wantArrived(t, p, "ci/a:v1", "m/a:v1")
	if up := p.destination.Stats().BlobUp; up > large+large/4 {
		t.Errorf("%d bytes were sent for a blob of %d: it was started again", up, large)
	}
	if n := p.destination.Stats().Requests["PATCH upload"]; n != 1 {
		t.Errorf("%d PATCH requests, want one for the rest", n)
	}
}

func bodyOver(n int64) func(*http.Request) bool {
	return func(r *http.Request) bool { return r.ContentLength > n }
}

// breakUpload passes n bytes of a body to the registry and then cuts both connections.
func breakUpload(n int64) registrytest.Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Body = struct {
				io.Reader
				io.Closer
			}{io.MultiReader(io.LimitReader(r.Body, n), broken{}), r.Body}
			next.ServeHTTP(w, r)
			panic(http.ErrAbortHandler)
		})
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestCorruptContentIsReadAgain(t *testing.T) {
	t.Parallel()
	p := newPairOnDisk(t)
	push(t, p.source, "ci/a:v1", largeImage())
	p.source.Inject(registrytest.FaultRule{Kind: "GET blob", Times: 2, Fault: registrytest.Corrupt(50)})
	mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Copied)
	wantArrived(t, p, "ci/a:v1", "m/a:v1")
}

// A source whose content never has its digest is at fault, and no tag points at its content.
func TestWrongContentIsTheSourcesFault(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, kind string }{{"manifest", "GET manifest"}, {"blob", "GET blob"}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 300_000)))
			p.source.Inject(registrytest.FaultRule{Kind: c.kind, Fault: registrytest.Corrupt(50)})
			config := settings()
			config.Retries = 2
			got := mirrorWith(t, config, line(p, "ci/a:v1", "m/a:v1")).results[p.destination.Host+"/m/a:v1"]
			if got.Status != stream.Failed || got.Error.Side != "source" || !strings.Contains(got.Error.Message, "sha256:") {
				t.Errorf("the result is %+v with %+v, want failed at the source for its digest", got, got.Error)
			}
			if n := p.destination.Stats().Requests["PUT manifest"]; n != 0 {
				t.Errorf("%d manifests were pushed", n)
			}
		})
	}
}

func TestHeadMayLackTheDigest(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	w := newWorkload(t, p, 2)
	mirrorLines(t, w.lines...).allAre(t, stream.Copied)
	p.reset()
	for _, r := range []remoteRegistry{p.source, p.destination} {
		r.Inject(registrytest.FaultRule{Kind: "HEAD manifest", Fault: registrytest.SetHeader("Docker-Content-Digest", "")})
	}
	mirrorLines(t, w.lines...).allAre(t, stream.Current)
	wantRequests(t, p.destination, map[string]int{"HEAD manifest": 2, "GET manifest": 2})
}

// A registry that answers every mount with an upload costs the uploads and no other request.
func TestRefusedMountsCostTheUploadsOnly(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	w := newWorkload(t, p, 4)
	p.destination.Inject(registrytest.FaultRule{Kind: "POST mount", Fault: registrytest.RefuseMount()})
	mirrorLines(t, w.lines...).allAre(t, stream.Copied)
	wantRequests(t, p.destination, map[string]int{
		"HEAD manifest": 4, "POST mount": w.places, "PUT upload": w.places, "PUT manifest": w.manifests,
	})
}

// A registry that answers mounts with an error is not asked for them again and again.
func TestFailingMountsAreNotRepeated(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 401, 403, 404, 405} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			w := newWorkload(t, p, 12)
			p.destination.Inject(registrytest.FaultRule{Kind: "POST mount", Fault: registrytest.Status(status, "no mounts here")})
			config := settings()
			config.Concurrency = 2
			mirrorWith(t, config, w.lines...).allAre(t, stream.Copied)
			// There are two kinds of mounts, from the same repository and from others. Each may
			// be tried by as many requests as are in flight at once.
			if n := p.destination.Stats().Requests["POST mount"]; n > 2*2*config.Concurrency {
				t.Errorf("%d mounts were asked for after the first was refused", n)
			}
		})
	}
}

func TestForbiddenRepositoryFailsAsAWhole(t *testing.T) {
	t.Parallel()
	users := []registrytest.User{{Pull: []string{""}, Push: []string{"open"}}}
	p := pair{newRegistry(t, nil), newRegistry(t, &registrytest.Auth{Users: users})}
	layers := []registrytest.Layer{}
	for _, name := range []string{"1", "2", "3", "4", "5", "6"} {
		layers = append(layers, registrytest.NewLayer(name, 1000))
	}
	push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", layers...))
	run := mirrorLines(t, line(p, "ci/a:v1", "closed/a:v1", "open/a:v1", "closed/b:v1"))
	for name, want := range map[string]string{"closed/a:v1": stream.Failed, "open/a:v1": stream.Copied, "closed/b:v1": stream.Failed} {
		got := run.results[p.destination.Host+"/"+name]
		if got.Status != want {
			t.Errorf("%s is %s, want %s", name, got.Status, want)
		}
		if want == stream.Failed && (got.Error.Side != "destination" || got.Error.Status != 401 && got.Error.Status != 403 || got.Error.Advice == "") {
			t.Errorf("%s failed with %+v, want the destination's refusal and advice", name, got.Error)
		}
	}
	wantArrived(t, p, "ci/a:v1", "open/a:v1")
	// The repository is given up as a whole, not once for each of seven blobs.
	closed := 0
	for _, q := range p.destination.Log() {
		if strings.HasPrefix(q.Repo, "closed/") && q.Method == http.MethodPost {
			closed++
		}
	}
	if closed > 20 {
		t.Errorf("%d uploads were begun in forbidden repositories", closed)
	}
}

func TestDownRegistryFailsItsOwnImagesOnly(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	w := newWorkload(t, p, 12)
	p.destination.Close()
	config := settings()
	config.Retries = 2
	run := mirrorWith(t, config, w.lines...)
	run.allAre(t, stream.Failed)
	for name, got := range run.results {
		if got.Error.Side != "destination" || got.Error.Status != 0 {
			t.Errorf("%s failed with %+v, want no answer from the destination", name, got.Error)
		}
	}
	if n := p.source.Stats().Total(); n != 0 {
		t.Errorf("the source was asked %d times for images that no destination accepts", n)
	}
}

func TestRetryAfterIsHonored(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	w := newWorkload(t, p, 3)
	p.destination.Inject(registrytest.FaultRule{Times: 4, Fault: registrytest.TooManyRequests("1")})
	start := time.Now()
	mirrorLines(t, w.lines...).allAre(t, stream.Copied)
	if took := time.Since(start); took < time.Second {
		t.Errorf("the run took %s: Retry-After was not honored", took)
	}
}

func TestFullRegistryIsNotSentMore(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 1_000_000)))
	p.destination.Inject(registrytest.FaultRule{Kind: "PUT upload", Fault: afterAll(registrytest.Status(http.StatusInsufficientStorage, "disk full"))})
	run := mirrorLines(t, line(p, "ci/a:v1", "m/a:v1", "m/b:v1", "m/c:v1"))
	run.allAre(t, stream.Failed)
	if got := run.results[p.destination.Host+"/m/a:v1"].Error; got.Status != http.StatusInsufficientStorage || !strings.Contains(got.Message, "disk full") {
		t.Errorf("failed with %+v, want status 507 and the registry's words", got)
	}
	if n := p.destination.Stats().Requests["PUT upload"]; n > 2*3 {
		t.Errorf("%d uploads of two blobs to three repositories were tried on a registry that is full", n)
	}
}

func TestRefusedLargeBodiesGoInChunks(t *testing.T) {
	t.Parallel()
	p := newPairOnDisk(t)
	push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 40_000_000), registrytest.NewLayer("b", 40_000_001)))
	p.destination.Inject(registrytest.FaultRule{Kind: "PUT upload", Match: bodyOver(20_000_000), Fault: registrytest.Status(http.StatusRequestEntityTooLarge, "too large")})
	mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Copied)
	wantArrived(t, p, "ci/a:v1", "m/a:v1")
	if n := p.destination.Stats().Requests["PATCH upload"]; n != 6 {
		t.Errorf("%d chunks were sent, want 3 for each of two layers of 40 MB", n)
	}
}

func TestStalledSourceIsCutAndResumed(t *testing.T) {
	t.Parallel()
	timed(t, func(factor int) error {
		p := newPairOnDisk(t)
		push(t, p.source, "ci/a:v1", largeImage())
		p.source.Inject(registrytest.FaultRule{Kind: "GET blob", Match: onlyLarge(p.source, "GET blob"), Times: 1, Fault: registrytest.StallAfter(3_000_000)})
		if err := copyImpatiently(t, factor, p); err != nil {
			return err
		}
		if down := p.source.Stats().BlobDown; down > large+large/2 {
			return fmt.Errorf("%d bytes were read for a blob of %d: it was started again", down, large)
		}
		return nil
	})
}

func TestEndlessAnswersAreCut(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"GET manifest", "GET blob"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 300_000)))
			p.source.Inject(registrytest.FaultRule{Kind: kind, Fault: registrytest.Endless("application/octet-stream")})
			config := settings()
			config.Retries = 2
			mirrorWith(t, config, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Failed)
			if n := p.destination.Stats().Requests["PUT manifest"]; n != 0 {
				t.Errorf("%d manifests were pushed", n)
			}
		})
	}
}

func TestTooLargeManifestFails(t *testing.T) {
	t.Parallel()
	r := registrytest.InProcess(t)
	one := remoteRegistry{registrytest.NewProxy(t, r, registrytest.ProxyOptions{}), r.Host}
	content := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[],"annotations":{"a":"` + strings.Repeat("a", 8<<20) + `"}}`
	push(t, one, "ci/a:v1", registrytest.BareManifest{Type: types.OCIImageIndex, Content: []byte(content)})
	got := mirrorLines(t, line(pair{one, one}, "ci/a:v1", "m/a:v1")).results[one.Host+"/m/a:v1"]
	if got.Status != stream.Failed || !strings.Contains(got.Error.Message, "exceeds 4194304 bytes") {
		t.Errorf("the result is %+v with %+v, want failed for its size", got, got.Error)
	}
}

// Plans hold manifests, so the sum of one image's manifests is bounded too.
func TestImageWithTooManyBytesOfManifestsFails(t *testing.T) {
	t.Parallel()
	r := registrytest.InProcess(t)
	one := remoteRegistry{registrytest.NewProxy(t, r, registrytest.ProxyOptions{}), r.Host}
	const index = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[%s],"annotations":{"a":"%s"}}`
	var children []string
	for i := range 11 {
		// Text that no library encodes again and again, since the race detector checks each byte.
		content := fmt.Appendf(nil, index, "", strings.Repeat("a", 3<<20+i))
		digest := push(t, one, "ci/a:"+strconv.Itoa(i), registrytest.BareManifest{Type: types.OCIImageIndex, Content: content})
		children = append(children, fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.index.v1+json","digest":%q,"size":%d}`, digest, len(content)))
	}
	push(t, one, "ci/a:v1", registrytest.BareManifest{Type: types.OCIImageIndex, Content: fmt.Appendf(nil, index, strings.Join(children, ","), "")})
	got := mirrorLines(t, line(pair{one, one}, "ci/a:v1", "m/a:v1")).results[one.Host+"/m/a:v1"]
	if got.Status != stream.Failed || !strings.Contains(got.Error.Message, "more than 32 MiB") {
		t.Errorf("the result is %s with %+v, want failed for its size", got.Status, got.Error)
	}
}

func TestTenThousandTagsInOnePage(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	var tags []string
	for i := range 10_000 {
		tags = append(tags, `"t`+strconv.Itoa(i)+`"`)
	}
	push(t, p.source, "ci/a:t77", registrytest.NewImage(registrytest.OCI, "a", "amd64"))
	p.source.Inject(registrytest.FaultRule{Kind: "GET tags", Fault: registrytest.Status(200, `{"name":"ci/a","tags":[`+strings.Join(tags, ",")+`]}`)})
	run := mirrorLines(t, p.source.Host+"/ci/a:t77* "+p.destination.Host+"/m/a")
	if len(run.results) != 111 {
		t.Errorf("%d tags match t77*, want 111", len(run.results))
	}
	if got := run.results[p.destination.Host+"/m/a:t77"]; got.Status != stream.Copied {
		t.Errorf("the tag that is really there is %+v, want copied", got)
	}
}

func TestUploadLocationsMayBeRelative(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(string) string{
		"absolute": func(l string) string { return l },
		"relative": func(l string) string { return l[strings.Index(l, "/v2/"):] },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 300_000)))
			p.destination.Inject(registrytest.FaultRule{Kind: "POST mount", Fault: changeLocation(change)})
			mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Copied)
			wantArrived(t, p, "ci/a:v1", "m/a:v1")
		})
	}
}

// changeLocation changes the Location of the registry's answers. Distribution's has a query.
func changeLocation(change func(string) string) registrytest.Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(&locationWriter{w, change}, r)
		})
	}
}

type locationWriter struct {
	http.ResponseWriter
	change func(string) string
}

func (w *locationWriter) WriteHeader(status int) {
	if l := w.Header().Get("Location"); l != "" {
		w.Header().Set("Location", w.change(l))
	}
	w.ResponseWriter.WriteHeader(status)
}

func TestCredentialsStayWithTheRegistryOnARedirect(t *testing.T) {
	t.Parallel()
	p := newPrivatePair(t)
	push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 300_000)))
	store := remoteRegistry{registrytest.StartProxy(p.source.backend, registrytest.ProxyOptions{}), p.source.backend}
	defer store.Close()
	p.source.Inject(registrytest.FaultRule{Kind: "GET blob", Fault: registrytest.Redirect("http://" + store.Host)})
	mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Copied)
	if len(store.Log()) != 2 {
		t.Errorf("%d requests reached the blob store, want 2", len(store.Log()))
	}
	for _, q := range store.Log() {
		if q.Scheme != "" {
			t.Errorf("a %s credential went along a redirect", q.Scheme)
		}
	}
}

func TestLostAnswersCostNoImage(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"POST mount", "PUT upload", "PUT manifest"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 300_000)))
			p.destination.Inject(registrytest.FaultRule{Kind: kind, Times: 1, Fault: registrytest.LoseAnswer()})
			mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Copied)
			wantArrived(t, p, "ci/a:v1", "m/a:v1")
		})
	}
}

// A download that breaks off is resumed while its upload holds a slot at the destination. It
// must not wait for a slot at the source that others hold until they get one at the
// destination.
func TestBrokenDownloadsDoNotBlockEachOther(t *testing.T) {
	t.Parallel()
	for _, concurrency := range []int{1, 3} {
		p := newPairOnDisk(t)
		var lines []string
		for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
			push(t, p.source, "ci/"+name+":v1", registrytest.NewImage(registrytest.OCI, name, "amd64", registrytest.NewLayer(name, 6_000_000)))
			lines = append(lines, line(p, "ci/"+name+":v1", "m/"+name+":v1"))
		}
		p.source.Inject(registrytest.FaultRule{Kind: "GET blob", Match: onlyLarge(p.source, "GET blob"), Times: 4, Fault: registrytest.CutAfter(2_000_000)})
		config := settings()
		config.Concurrency = concurrency
		mirrorWith(t, config, lines...).allAre(t, stream.Copied)
		if got := p.source.Stats().MaxInFlight; got > concurrency+1 {
			t.Errorf("%d requests were in flight at the source, and %d are allowed", got, concurrency)
		}
	}
}
