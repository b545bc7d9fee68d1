package wire

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// statuses returns a fault for each status, by its number.
func statuses(codes ...int) map[string]registrytest.Fault {
	faults := map[string]registrytest.Fault{}
	for _, code := range codes {
		faults[strconv.Itoa(code)] = registrytest.Status(code, "not here")
	}
	return faults
}

// again returns the registries of a pair behind proxies that have no rules.
func (p pair) again(t *testing.T) pair {
	t.Helper()
	proxied := func(r remoteRegistry) remoteRegistry {
		proxy := registrytest.StartProxy(r.backend, registrytest.ProxyOptions{})
		t.Cleanup(proxy.Close)
		return remoteRegistry{proxy, r.backend}
	}
	return pair{proxied(p.source), proxied(p.destination)}
}

// A mount that is answered with anything but 201 or a usable 202 is followed by an upload at
// once. Mounts are not asked for again and again.
func TestRefusedMountIsAnUpload(t *testing.T) {
	t.Parallel()
	faults := statuses(200, 204, 301, 307, 400, 403, 404, 416, 500, 501, 502, 503)
	faults["202 without a Location"] = registrytest.Status(http.StatusAccepted, "")
	faults["202 with a bad Location"] = registrytest.Status(http.StatusAccepted, "", "Location", "ftp://127.0.0.1/upload")
	faults["cut connection"] = registrytest.Disconnect()
	faults["201 without an answer"] = registrytest.LoseAnswer()
	all := newPair(t)
	w := newWorkload(t, all, 6)
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := all.again(t)
			p.destination.Inject(registrytest.FaultRule{Kind: "POST mount", Fault: fault})
			config := settings()
			config.Concurrency = 2
			to := "mounts/" + strings.ReplaceAll(strings.ToLower(name), " ", "-") + "/"
			var lines []string
			for _, name := range w.names {
				lines = append(lines, line(p, name, to+name))
			}
			mirrorWith(t, config, lines...).allAre(t, stream.Copied)
			for _, name := range w.names[1:4] {
				wantArrived(t, p, name, to+name)
			}
			requests := p.destination.Stats().Requests
			// There are two kinds of mounts, from the same repository and from others. Each may be
			// tried by as many workers as there are, and once more if it may have been chance.
			if n := requests["POST mount"]; n > 2*(2*config.Concurrency+1) {
				t.Errorf("%d mounts were asked for after the first was refused", n)
			}
			if n := requests["POST upload"]; n != w.places {
				t.Errorf("%d uploads were opened, want one for each of %d blobs", n, w.places)
			}
		})
	}
}

// A mount that a registry carries out once is not given up because of a later 502.
func TestMountsGoOnAfterAnAccident(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	w := newWorkload(t, p, 8)
	fromAnother := func(r *http.Request) bool { return !strings.Contains(r.URL.Path, "/"+r.URL.Query().Get("from")+"/") }
	p.destination.Inject(registrytest.FaultRule{Kind: "POST mount", Match: fromAnother, After: 1, Times: 1, Fault: registrytest.Status(502, "oops")})
	config := settings()
	config.Concurrency = 1 // so that the first has been answered before the second
	mirrorWith(t, config, w.lines...).allAre(t, stream.Copied)
	wantRequests(t, p.destination, map[string]int{
		"HEAD manifest": len(w.names), "POST mount": w.places, "POST upload": 1, "PUT upload": w.blobs + 1, "PUT manifest": w.manifests,
	})
}

// If the upload is refused too, its error is the one that is reported.
func TestErrorOfTheUploadIsReportedNotOfTheMount(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	w := newWorkload(t, p, 1)
	p.destination.Inject(
		registrytest.FaultRule{Kind: "POST mount", Fault: registrytest.Status(500, "no mounts")},
		registrytest.FaultRule{Kind: "POST upload", Fault: registrytest.Status(409, "no uploads")},
	)
	got := mirrorLines(t, w.lines...).results[p.destination.Host+"/mirror/"+w.names[0]]
	if got.Status != stream.Failed || got.Error.Status != http.StatusConflict {
		t.Errorf("the result is %+v with %+v, want failed with 409", got, got.Error)
	}
}

// GET takes the place of a HEAD that is refused, on both sides, with tags and digests.
func TestRefusedHeadIsAGet(t *testing.T) {
	t.Parallel()
	faults := statuses(204, 400, 403, 405, 406, 500, 501, 503)
	faults["cut connection"] = registrytest.Disconnect()
	all := newPair(t)
	w := newWorkload(t, all, 4)
	mirrorLines(t, w.lines[1:]...).allAre(t, stream.Copied)
	var names []string // w's, by their digest at the destination
	for name, result := range mirrorLines(t, w.lines[1:]...).results {
		names = append(names, parse(t, name).Repository+"@"+result.Digest)
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := all.again(t)
			for _, r := range []remoteRegistry{p.source, p.destination} {
				r.Inject(registrytest.FaultRule{Kind: "HEAD manifest", Fault: fault})
			}
			var lines []string
			for _, name := range w.names[1:] {
				lines = append(lines, line(p, name, "mirror/"+name))
			}
			mirrorLines(t, lines...).allAre(t, stream.Current)
			for side, r := range map[string]remoteRegistry{"source": p.source, "destination": p.destination} {
				if n := r.Stats().Requests["GET manifest"]; n != len(lines) {
					t.Errorf("the %s was asked with %d GETs, want %d", side, n, len(lines))
				}
			}
			p.destination.Reset()
			c := client(t, settings())
			for _, name := range names {
				ref := parse(t, p.destination.Host+"/"+name)
				r, err := c.Destination(t.Context(), ref, false)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := r.Head(t.Context(), ref.Digest); got != ref.Digest {
					t.Errorf("%s is at %s, %v", name, got, err)
				}
			}
			heads := 1
			if name == "503" {
				heads = 2
			}
			requests := p.destination.Stats().Requests
			if n := requests["HEAD manifest"]; n != heads && name != "cut connection" { // which net/http tries again
				t.Errorf("the destination was asked with %d HEADs, want %d", n, heads)
			}
			if n := requests["GET manifest"]; n != len(names) {
				t.Errorf("the destination was asked with %d GETs, want %d", n, len(names))
			}
			// A tag that does not exist yet is still found to be missing.
			new := "new/" + strings.ReplaceAll(name, " ", "-") + ":v1"
			mirrorLines(t, line(p, w.names[0], new)).allAre(t, stream.Copied)
			wantArrived(t, p, w.names[0], new)
		})
	}
}

// A HEAD that is refused in one place only is asked again in others.
func TestHeadIsNotGivenUpForOneRefusal(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	w := newWorkload(t, p, 6)
	mirrorLines(t, w.lines...).allAre(t, stream.Copied)
	p.reset()
	p.destination.Inject(registrytest.FaultRule{Kind: "HEAD manifest", After: 3, Times: 1, Fault: registrytest.Status(403, "")})
	config := settings()
	config.Concurrency = 1
	mirrorWith(t, config, w.lines...).allAre(t, stream.Current)
	wantRequests(t, p.destination, map[string]int{"HEAD manifest": 6, "GET manifest": 1})
}

// The reason for a refused HEAD is what GET says.
func TestReasonOfARefusedHeadIsTheOneOfGet(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	w := newWorkload(t, p, 1)
	mirrorLines(t, w.lines...).allAre(t, stream.Copied)
	for kind, body := range map[string]string{"HEAD manifest": "", "GET manifest": `{"errors":[{"code":"DENIED","message":"the project is archived"}]}`} {
		p.source.Inject(registrytest.FaultRule{Kind: kind, Fault: registrytest.Status(403, body)})
	}
	got := mirrorLines(t, w.lines...).results[p.destination.Host+"/mirror/"+w.names[0]]
	if got.Status != stream.Failed || got.Error.Side != "source" || !strings.Contains(got.Error.Message, "the project is archived") {
		t.Errorf("the result is %+v with %+v, want failed with the words of GET", got, got.Error)
	}
}

// A download that breaks off begins again if the registry does not serve the rest of it, and
// ranges are not asked for again.
func TestRefusedRangeIsAWholeDownload(t *testing.T) {
	t.Parallel()
	faults := statuses(400, 401, 403, 404, 405, 416, 500, 501, 206)
	faults["cut connection"] = registrytest.Disconnect()
	faults["206 without Content-Range"] = registrytest.SetHeader("Content-Range", "")
	faults["206 of another range"] = registrytest.SetHeader("Content-Range", "bytes 0-3000511/3000512")
	faults["206 of a part"] = registrytest.SetHeader("Content-Range", "bytes 1000000-1000099/3000512")
	faults["206 without a range"] = registrytest.SetHeader("Content-Range", "bytes */3000512")
	faults["206 of several ranges"] = registrytest.Status(206, "--x\r\n\r\n", "Content-Type", "multipart/byteranges; boundary=x")
	faults["200"] = func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Header.Del("Range")
			next.ServeHTTP(w, r)
		})
	}
	all := newPair(t)
	push(t, all.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 3_000_000)))
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := all.again(t)
			p.source.Inject(
				registrytest.FaultRule{Kind: "GET blob", Match: asksForRange, Fault: fault},
				registrytest.FaultRule{Kind: "GET blob", Match: onlyLarge(p.source, "GET blob"), Times: 1, Fault: registrytest.CutAfter(1_000_000)},
			)
			config := settings()
			config.Retries = 2
			if name != "500" && name != "cut connection" {
				config.Retries = 3
				p.source.Inject(registrytest.FaultRule{Kind: "GET blob", Match: onlyLarge(p.source, "GET blob"), Times: 1, Fault: registrytest.CutAfter(500_000)})
			}
			to := "ranges/" + strings.ReplaceAll(strings.ToLower(name), " ", "-") + ":v1"
			mirrorWith(t, config, line(p, "ci/a:v1", to)).allAre(t, stream.Copied)
			wantArrived(t, p, "ci/a:v1", to)
			ranges := 0
			for _, q := range p.source.Log() {
				if q.Header.Get("Range") != "" {
					ranges++
				}
			}
			if ranges > 1 && name != "200" && name != "500" && name != "cut connection" {
				t.Errorf("%d ranges were asked for after the first was refused", ranges)
			}
		})
	}
}

func asksForRange(r *http.Request) bool { return r.Header.Get("Range") != "" }

// A blob whose mount was answered with success, and which is not there, is uploaded once the
// registry refuses the manifest for that. From the second such mount on, none is asked for.
func TestMountThatLiesIsAnUploadAfterAll(t *testing.T) {
	t.Parallel()
	named := func(next http.Handler) http.Handler { return next }
	for name, refusal := range map[string]registrytest.Fault{
		"blobs named":      named,
		"no blob named":    rewordRefusal(400, `{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown to registry"}]}`),
		"another named":    rewordRefusal(404, `{"errors":[{"code":"BLOB_UNKNOWN","detail":{"digest":"sha256:abc"}}]}`),
		"manifest unknown": rewordRefusal(404, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`),
		"manifest invalid": rewordRefusal(400, ""),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			for _, image := range []string{"a", "b"} {
				push(t, p.source, "ci/"+image+":v1", registrytest.NewImage(registrytest.OCI, image, "amd64", registrytest.NewLayer(image, 300_000)))
			}
			p.destination.Inject(
				registrytest.FaultRule{Kind: "POST mount", Fault: registrytest.Status(http.StatusCreated, "")},
				registrytest.FaultRule{Kind: "PUT manifest", Fault: refusal},
			)
			c := client(t, settings())
			run := runWith(t, c, line(p, "ci/a:v1", "m/a:v1"))
			run.allAre(t, stream.Copied)
			wantArrived(t, p, "ci/a:v1", "m/a:v1")
			wantRequests(t, p.destination, map[string]int{
				"HEAD manifest": 1, "POST mount": 2, "POST upload": 2, "PUT upload": 2, "PUT manifest": 2,
			})
			if got := run.results[p.destination.Host+"/m/a:v1"].Bytes; got < 300_000 {
				t.Errorf("%d bytes are reported as sent", got)
			}
			p.destination.Reset()
			runWith(t, c, line(p, "ci/b:v1", "m/b:v1")).allAre(t, stream.Copied)
			wantArrived(t, p, "ci/b:v1", "m/b:v1")
			wantRequests(t, p.destination, map[string]int{
				"HEAD manifest": 1, "POST upload": 2, "PUT upload": 2, "PUT manifest": 1,
			})
		})
	}
}

// rewordRefusal replaces the status and the body of a refusal, or only its code if body is empty.
func rewordRefusal(status int, body string) registrytest.Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			answer := httptest.NewRecorder()
			next.ServeHTTP(answer, r)
			if answer.Code >= 400 {
				said := body
				if said == "" {
					said = strings.ReplaceAll(answer.Body.String(), "MANIFEST_BLOB_UNKNOWN", "MANIFEST_INVALID")
				}
				registrytest.Status(status, said)(nil).ServeHTTP(w, r)
				return
			}
			maps.Copy(w.Header(), answer.Header())
			w.WriteHeader(answer.Code)
		})
	}
}

// A mount from another repository that lies costs the uploads of those repositories.
func TestMountFromElsewhereThatLies(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	w := newWorkload(t, p, 6)
	p.destination.Inject(registrytest.FaultRule{Kind: "POST mount", Match: fromElsewhere, Fault: registrytest.Status(http.StatusCreated, "")})
	mirrorLines(t, w.lines...).allAre(t, stream.Copied)
	for _, name := range w.names {
		wantArrived(t, p, name, "mirror/"+name)
	}
	requests := p.destination.Stats().Requests
	if requests["PUT upload"] != w.places || requests["PATCH upload"] != 0 {
		t.Errorf("got the requests %v, want %d uploads", requests, w.places)
	}
}

// fromElsewhere reports whether a mount is from another repository than it is for.
func fromElsewhere(r *http.Request) bool {
	return !strings.HasPrefix(r.URL.Path, "/v2/"+r.URL.Query().Get("from")+"/")
}

// A mount may open an upload that its registry does not know then.
func TestMountThatOpensNoUpload(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	w := newWorkload(t, p, 6)
	p.destination.Inject(registrytest.FaultRule{Kind: "POST mount", Fault: registrytest.Status(http.StatusAccepted, "", "Location", "/v2/m/a/blobs/uploads/00000000-0000-0000-0000-000000000000")})
	config := settings()
	config.Concurrency, config.Retries = 1, 2
	mirrorWith(t, config, w.lines...).allAre(t, stream.Copied)
	for _, name := range w.names {
		wantArrived(t, p, name, "mirror/"+name)
	}
	if n := p.destination.Stats().Requests["POST mount"]; n > 2*3 {
		t.Errorf("%d mounts were asked for after the first opened nothing", n)
	}
}
