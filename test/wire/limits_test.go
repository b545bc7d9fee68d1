package wire

import (
	"fmt"
	"net/http"
	"path"
	"regexp"
	"strings"
	"sync"
	"testing"

	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// limited pushes an image with a layer of 5 MB.
func limited(t *testing.T, r remoteRegistry, name string) {
	t.Helper()
	push(t, r, name, registrytest.NewImage(registrytest.OCI, name, "amd64", registrytest.NewLayer(name, 5_000_000)))
}

var tooLarge = registrytest.Status(http.StatusRequestEntityTooLarge, "<html><h1>413 Request Entity Too Large</h1></html>", "Content-Type", "text/html")

// A front server's limit on bodies is found by halving, and then known.
func TestLimitOnBodiesIsFoundByHalving(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		limit   int64  // of a body
		least   string // OCI-Chunk-Min-Length
		patches int    // that are accepted or refused, for the first layer of 5 MB
	}{
		{"half", 3_000_000, "", 2},
		{"an eighth", 1_048_576, "", 2 + 5}, // 2.5 and 1.25 MB are refused
		{"at the minimum", 3_000_000, "3000000", 2},
		{"a minimum that is no number", 3_000_000, "lots", 2},
		{"a negative minimum", 3_000_000, "-5", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPairOnDisk(t)
			limited(t, p.source, "ci/a:v1")
			limited(t, p.source, "ci/b:v1")
			p.destination.Inject(registrytest.FaultRule{Match: bodyOver(c.limit), Fault: tooLarge})
			if c.least != "" {
				p.destination.Inject(registrytest.FaultRule{Kind: "POST mount", Fault: registrytest.SetHeader("OCI-Chunk-Min-Length", c.least)})
			}
			config := settings()
			config.Retries = 1
			mirrorWith(t, config, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Copied)
			wantArrived(t, p, "ci/a:v1", "m/a:v1")
			wantRequests(t, p.destination, map[string]int{
				"HEAD manifest": 1, "POST mount": 2, "PUT upload": 3, "PATCH upload": c.patches, "PUT manifest": 1,
			})
		})
	}
}

// An upload that its registry does not know fails with words about that: the address that it gave
// lacks what names the upload.
func TestUploadThatItsRegistryDoesNotKnow(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	limited(t, p.source, "ci/a:v1")
	query := func(l string) string { return l[strings.Index(l, "?"):] }
	p.destination.Inject(
		registrytest.FaultRule{Kind: "POST mount", Fault: changeLocation(query)},
		registrytest.FaultRule{Kind: "PUT upload", Fault: registrytest.Status(404, `{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"blob upload unknown to registry"}]}`)},
	)
	config := settings()
	config.Retries = 2
	got := mirrorWith(t, config, line(p, "ci/a:v1", "m/a:v1")).results[p.destination.Host+"/m/a:v1"]
	if got.Status != stream.Failed || !strings.Contains(got.Error.Message, p.destination.Host) || !strings.Contains(got.Error.Advice, "the upload that it opened") {
		t.Errorf("the result is %+v with %+v, want failed with advice about the upload", got, got.Error)
	}
}

// Once a limit is known, no body that exceeds it is sent.
func TestKnownLimitIsKept(t *testing.T) {
	t.Parallel()
	p := newPairOnDisk(t)
	limited(t, p.source, "ci/a:v1")
	limited(t, p.source, "ci/b:v1")
	p.destination.Inject(registrytest.FaultRule{Name: "413", Match: bodyOver(1_048_576), Fault: tooLarge})
	config := settings()
	config.Concurrency = 1
	mirrorWith(t, config, line(p, "ci/a:v1", "m/a:v1"), line(p, "ci/b:v1", "m/b:v1")).allAre(t, stream.Copied)
	wantArrived(t, p, "ci/a:v1", "m/a:v1")
	wantArrived(t, p, "ci/b:v1", "m/b:v1")
	refused := 0
	for _, q := range p.destination.Log() {
		if q.Fault != "" {
			refused++
		}
	}
	// Two uploads may begin before the first is refused.
	if refused > 2*3 {
		t.Errorf("%d bodies were refused, want 3 for each of two uploads at most", refused)
	}
}

// A limit below the smallest chunk is reported, and the upload is dropped.
func TestTooLowLimitIsReported(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		limit       int64
		least, want string
	}{
		{"below 1 MiB", 1_000_000, "", "below 1.0 MiB"},
		{"below the registry's minimum", 4_000_000, "4500000", "below 4.3 MiB"},
		{"of a small blob", 50, "", "below"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPairOnDisk(t)
			limited(t, p.source, "ci/a:v1")
			p.destination.Inject(registrytest.FaultRule{Match: bodyOver(c.limit), Fault: tooLarge})
			p.destination.Inject(registrytest.FaultRule{Kind: "POST mount", Fault: registrytest.SetHeader("OCI-Chunk-Min-Length", c.least)})
			got := mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).results[p.destination.Host+"/m/a:v1"]
			if got.Status != stream.Failed || got.Error.Status != http.StatusRequestEntityTooLarge || !strings.Contains(got.Error.Message, c.want) || !strings.Contains(got.Error.Advice, "client_max_body_size") {
				t.Errorf("the result is %+v with %+v, want failed with %q and advice", got, got.Error, c.want)
			}
			if n := p.destination.Stats().Requests["DELETE upload"]; n == 0 {
				t.Error("no upload was canceled")
			}
		})
	}
}

// A limit on manifests is reported in the same way: they cannot be cut.
func TestLimitBelowAManifestIsReported(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	limited(t, p.source, "ci/a:v1")
	p.destination.Inject(registrytest.FaultRule{Kind: "PUT manifest", Fault: tooLarge})
	got := mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).results[p.destination.Host+"/m/a:v1"]
	if got.Status != stream.Failed || !strings.Contains(got.Error.Message, "the limit on a request's body seems to be below") {
		t.Errorf("the result is %+v with %+v, want failed with the limit", got, got.Error)
	}
}

// An upload that is given up is canceled. That the registry refuses this is not reported.
func TestUploadGivenUpIsCanceled(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]registrytest.Fault{
		"accepted": nil, "refused": registrytest.Status(405, "no DELETE"), "broken": registrytest.Disconnect(), "throttled": registrytest.Status(503, ""),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			limited(t, p.source, "ci/a:v1")
			p.destination.Inject(registrytest.FaultRule{Kind: "PUT upload", Match: bodyOver(1_000_000), Fault: afterAll(registrytest.Status(403, "not this one"))})
			if fault != nil {
				p.destination.Inject(registrytest.FaultRule{Kind: "DELETE upload", Fault: fault})
			}
			got := mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).results[p.destination.Host+"/m/a:v1"]
			if got.Status != stream.Failed || got.Error.Status != http.StatusForbidden {
				t.Errorf("the result is %+v with %+v, want failed with 403", got, got.Error)
			}
			canceled := map[string]int{}
			for _, q := range p.destination.Log() {
				if q.Kind == "DELETE upload" {
					canceled[q.Path]++
				}
			}
			if len(canceled) == 0 {
				t.Error("the upload was not canceled")
			}
			for upload, n := range canceled {
				if n != 1 {
					t.Errorf("the upload %s was canceled %d times", upload, n)
				}
			}
		})
	}
}

// Azure's registry accepts about 20 MB in one PUT, and more with PATCH.
func TestAzuresLimitOnOnePut(t *testing.T) {
	t.Parallel()
	p := newPairOnDisk(t)
	push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 21_000_000)))
	p.destination.Inject(registrytest.FaultRule{Kind: "PUT upload", Match: bodyOver(20_000_000), Fault: tooLarge})
	mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Copied)
	wantArrived(t, p, "ci/a:v1", "m/a:v1")
	wantRequests(t, p.destination, map[string]int{
		"HEAD manifest": 1, "POST mount": 2, "PUT upload": 3, "PATCH upload": 2, "PUT manifest": 1,
	})
}

// Google's registry takes a blob in one request only, and GitHub's keeps only the last of several.
// An upload that broke off begins again there, and the next one is not continued either.
func TestRegistriesThatDoNotJoinChunks(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]registrytest.FaultRule{
		"Google, 405":    {Kind: "PATCH upload", Fault: registrytest.Status(405, "")},
		"Google, 400":    {Kind: "PATCH upload", Fault: registrytest.Status(400, `{"errors":[{"code":"UNSUPPORTED","message":"chunked uploads"}]}`)},
		"out of order":   {Kind: "PATCH upload", Fault: registrytest.Status(416, "")},
		"GitHub":         {Match: anyBody, Fault: lastPatchWins()},
		"GitHub, silent": {Kind: "PUT upload", Match: endOfChunks, Fault: registrytest.Status(422, "")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPairOnDisk(t)
			for _, image := range []string{"ci/a:v1", "ci/b:v1"} {
				push(t, p.source, image, registrytest.NewImage(registrytest.OCI, image, "amd64", registrytest.NewLayer(image, 9_000_000)))
			}
			p.destination.Inject(registrytest.FaultRule{Kind: "PUT upload", Match: bodyOver(1_000_000), Times: 1, Fault: breakUpload(8_000_000)}, rule)
			config := settings()
			config.Retries = 2
			c := client(t, config)
			runWith(t, c, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Copied)
			wantArrived(t, p, "ci/a:v1", "m/a:v1")
			if n := p.destination.Stats().Requests["PATCH upload"]; n != 1 {
				t.Errorf("%d chunks were sent, want the one that continued the upload", n)
			}
			p.reset()
			p.destination.Heal()
			p.destination.Inject(registrytest.FaultRule{Kind: "PUT upload", Match: bodyOver(1_000_000), Times: 1, Fault: breakUpload(8_000_000)}, rule)
			runWith(t, c, line(p, "ci/b:v1", "m/b:v1")).allAre(t, stream.Copied)
			wantArrived(t, p, "ci/b:v1", "m/b:v1")
			wantRequests(t, p.destination, map[string]int{
				"HEAD manifest": 1, "POST mount": 3, "PUT upload": 3, "DELETE upload": 1, "PUT manifest": 1,
			})
		})
	}
}

// An upload that breaks off begins again if the registry does not say how much of it arrived. It
// is asked for that once.
func TestUploadThatCannotBeResumed(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]registrytest.Fault{
		"405":                    registrytest.Status(405, ""),
		"500":                    registrytest.Status(500, ""),
		"a Range elsewhere":      registrytest.SetHeader("Range", "5-10"),
		"a Range without an end": registrytest.SetHeader("Range", "0-9223372036854775807"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPairOnDisk(t)
			p.destination.Inject(registrytest.FaultRule{Kind: "GET upload", Fault: fault})
			config := settings()
			config.Retries = 2
			c := client(t, config)
			asked := 1
			for _, image := range []string{"a", "b"} {
				push(t, p.source, "ci/"+image+":v1", registrytest.NewImage(registrytest.OCI, image, "amd64", registrytest.NewLayer(image, 9_000_000)))
				p.destination.Inject(registrytest.FaultRule{Kind: "PUT upload", Path: regexp.MustCompile("/m/" + image + "/"), Match: bodyOver(1_000_000), Times: 1, Fault: breakUpload(8_000_000)})
				runWith(t, c, line(p, "ci/"+image+":v1", "m/"+image+":v1")).allAre(t, stream.Copied)
				wantArrived(t, p, "ci/"+image+":v1", "m/"+image+":v1")
			}
			if name == "500" {
				asked = 2 // with its other attempt
			}
			if n := p.destination.Stats().Requests["GET upload"]; n != asked {
				t.Errorf("the registry was asked %d times how much arrived, want %d", n, asked)
			}
		})
	}
}

func anyBody(r *http.Request) bool { return r.Method == http.MethodPatch || r.Method == http.MethodPut }

func endOfChunks(r *http.Request) bool { return r.Method == http.MethodPut && r.ContentLength == 0 }

// lastPatchWins refuses the end of an upload that had a PATCH after other content, as GitHub's
// registry does: the content that it kept does not have the digest.
func lastPatchWins() registrytest.Fault {
	var mu sync.Mutex
	patched := map[string]bool{}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			lost := patched[path.Base(r.URL.Path)]
			patched[path.Base(r.URL.Path)] = r.Method == http.MethodPatch
			mu.Unlock()
			if lost {
				next = registrytest.Status(400, `{"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match uploaded content"}]}`)(next)
			}
			next.ServeHTTP(w, r)
		})
	}
}

// ECR has repositories that somebody created, says the least size of a chunk, and has tags that
// may not move.
func TestLimitsOfECR(t *testing.T) {
	t.Parallel()
	t.Run("no repository", func(t *testing.T) {
		t.Parallel()
		p := newPair(t)
		limited(t, p.source, "ci/a:v1")
		missing := registrytest.Status(404, `{"errors":[{"code":"NAME_UNKNOWN","message":"The repository with name 'm/a' does not exist in the registry with id '123'"}]}`)
		for _, kind := range []string{"POST mount", "POST upload", "HEAD manifest", "GET manifest"} {
			p.destination.Inject(registrytest.FaultRule{Kind: kind, Fault: missing})
		}
		got := mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).results[p.destination.Host+"/m/a:v1"]
		if got.Status != stream.Failed || !strings.Contains(got.Error.Message, "does not exist") || got.Error.Advice != "create the repository "+p.destination.Host+"/m/a" {
			t.Errorf("the result is %+v with %+v, want failed with advice to create the repository", got, got.Error)
		}
	})
	t.Run("chunks", func(t *testing.T) {
		t.Parallel()
		p := newPairOnDisk(t)
		push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 12_000_000)))
		const least = 5 << 20
		var small []int64
		p.destination.Inject(
			registrytest.FaultRule{Kind: "POST mount", Fault: registrytest.SetHeader("OCI-Chunk-Min-Length", fmt.Sprint(least))},
			registrytest.FaultRule{Match: bodyOver(5_500_000), Fault: tooLarge},
			registrytest.FaultRule{Kind: "PATCH upload", Match: func(r *http.Request) bool {
				if r.ContentLength < least {
					small = append(small, r.ContentLength)
				}
				return false
			}},
		)
		mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Copied)
		wantArrived(t, p, "ci/a:v1", "m/a:v1")
		if len(small) != 1 {
			t.Errorf("chunks of %d bytes were sent, want only the last one below %d", small, least)
		}
	})
	t.Run("immutable tags", func(t *testing.T) {
		t.Parallel()
		p := newPair(t)
		_, second := twoImages(t, p)
		moved := `{"errors":[{"code":"TAG_INVALID","message":"The image tag 'v1' already exists in the 'm/a' repository and cannot be overwritten because the tag is immutable."}]}`
		p.destination.Inject(
			registrytest.FaultRule{Kind: "HEAD manifest", Times: 2, Fault: registrytest.Status(404, "")},
			registrytest.FaultRule{Kind: "PUT manifest", Path: regexp.MustCompile("/m/[ab]/manifests/v1$"), Fault: registrytest.Status(400, moved)},
		)
		push(t, p.destination, "m/a:v1", second)
		push(t, p.destination, "m/b:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 1000)))
		run := mirrorLines(t, line(p, "ci/a:v1", "m/a:v1", "m/b:v1"))
		run.are(t, p.destination, map[string]string{"m/a:v1": stream.Failed, "m/b:v1": stream.Copied})
		if got := run.results[p.destination.Host+"/m/a:v1"].Error; !strings.Contains(got.Message, "cannot be overwritten") {
			t.Errorf("failed with %+v, want the words of the registry", got)
		}
	})
}

// Uploads arrive with answers that the distribution spec does not have, if they can.
func TestUnusualAnswersToUploads(t *testing.T) {
	t.Parallel()
	blank := func(l string) string { return l + "&x=a b" }
	https := func(l string) string { return strings.Replace(l, "http://", "https://", 1) }
	chunks := registrytest.FaultRule{Kind: "PUT upload", Match: bodyOver(3_000_000), Fault: tooLarge}
	for name, rules := range map[string][]registrytest.FaultRule{
		"PUT 200":                             {{Kind: "PUT upload", Fault: answerInstead(200)}},
		"PUT 202":                             {{Kind: "PUT upload", Fault: answerInstead(202)}},
		"PUT 206":                             {{Kind: "PUT upload", Fault: answerInstead(206)}},
		"PUT 202, and there a moment later":   {{Kind: "PUT upload", Fault: answerInstead(202)}, {Kind: "HEAD blob", Times: 2, Fault: registrytest.Status(404, "")}},
		"PUT with another digest":             {{Kind: "PUT upload", Fault: registrytest.SetHeader("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))}},
		"PATCH 200":                           {chunks, {Kind: "PATCH upload", Fault: answerInstead(200)}},
		"PATCH 201":                           {chunks, {Kind: "PATCH upload", Fault: answerInstead(201)}},
		"POST 200":                            {{Kind: "POST mount", Fault: registrytest.Status(400, "")}, {Kind: "POST upload", Fault: answerInstead(200)}},
		"Location with a blank":               {{Kind: "POST mount", Fault: changeLocation(blank)}},
		"Location with https on a plain port": {{Kind: "POST mount", Fault: changeLocation(https)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			limited(t, p.source, "ci/a:v1")
			p.destination.Inject(rules...)
			mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Copied)
			wantArrived(t, p, "ci/a:v1", "m/a:v1")
		})
	}
}

// answerInstead answers with another status than the registry.
func answerInstead(status int) registrytest.Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(statusWriter{w, status}, r) })
	}
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w statusWriter) WriteHeader(int) { w.ResponseWriter.WriteHeader(w.status) }

// An answer that looks well is no success if the blob is not there. A tag never points at less.
func TestUploadThatOnlySeemsToEndFails(t *testing.T) {
	t.Parallel()
	for _, status := range []int{202, 206} {
		p := newPair(t)
		limited(t, p.source, "ci/a:v1")
		p.destination.Inject(registrytest.FaultRule{Kind: "PUT upload", Fault: afterAll(registrytest.Status(status, ""))})
		config := settings()
		config.Retries = 2
		got := mirrorWith(t, config, line(p, "ci/a:v1", "m/a:v1")).results[p.destination.Host+"/m/a:v1"]
		if got.Status != stream.Failed || got.Error.Status != status || !strings.Contains(got.Error.Message, "does not have the blob") {
			t.Errorf("the result is %+v with %+v, want failed for the missing blob", got, got.Error)
		}
		if n := p.destination.Stats().Requests["PUT manifest"]; n != 0 {
			t.Errorf("%d manifests were pushed", n)
		}
	}
}

// A PATCH without a Location leaves the upload where it is. Distribution's registry keeps state in
// its Locations, so this test uses go-containerregistry's.
func TestUploadStaysWhereItIs(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	limited(t, p.source, "ci/a:v1")
	r := registrytest.InProcess(t)
	p.destination = remoteRegistry{registrytest.NewProxy(t, r, registrytest.ProxyOptions{}), r.Host}
	p.destination.Inject(
		registrytest.FaultRule{Kind: "PUT upload", Match: bodyOver(3_000_000), Fault: tooLarge},
		registrytest.FaultRule{Kind: "PATCH upload", Fault: registrytest.SetHeader("Location", "")},
	)
	mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Copied)
	wantArrived(t, p, "ci/a:v1", "m/a:v1")
	if n := p.destination.Stats().Requests["PATCH upload"]; n != 2 {
		t.Errorf("%d chunks were sent, want 2", n)
	}
}
