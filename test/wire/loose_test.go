package wire

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// A rate limit on mounts or on HEADs only does not keep an image from arriving.
func TestRateLimitOnOptionalRequests(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind  string
		fault registrytest.Fault
	}{
		"mounts":                      {"POST mount", registrytest.TooManyRequests("")},
		"mounts, with another status": {"POST mount", registrytest.Status(403, errorBody("TOOMANYREQUESTS", "slow down", ""))},
		"heads":                       {"HEAD manifest", registrytest.TooManyRequests("")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64"))
			push(t, p.destination, "m/a:v1", registrytest.NewImage(registrytest.OCI, "older", "amd64"))
			for _, r := range []remoteRegistry{p.source, p.destination} {
				r.Inject(registrytest.FaultRule{Kind: c.kind, Fault: c.fault})
			}
			config := settings()
			config.Retries = 2
			mirrorWith(t, config, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Copied)
			wantArrived(t, p, "ci/a:v1", "m/a:v1")
		})
	}
}

// Quay refuses a manifest with a missing blob as invalid, and names no blob. The blobs whose
// mounts were answered with success are then checked, and those that are missing are uploaded.
func TestMountThatLiesIsFoundByItself(t *testing.T) {
	t.Parallel()
	for _, refusal := range []registrytest.Fault{
		rewordRefusal(400, `{"errors":[{"code":"MANIFEST_INVALID","message":"manifest invalid"}]}`),
		rewordRefusal(500, `{"errors":[{"code":"UNKNOWN","message":"unknown error"}]}`),
		rewordRefusal(404, "<html>"),
	} {
		p := newPair(t)
		lines := pushSmall(t, p, "ci/a")
		p.destination.Inject(
			registrytest.FaultRule{Kind: "POST mount", Fault: registrytest.Status(http.StatusCreated, "")},
			registrytest.FaultRule{Kind: "PUT manifest", Fault: refusal},
		)
		config := settings()
		config.Retries = 1
		mirrorWith(t, config, lines...).allAre(t, stream.Copied)
		requests := p.destination.Stats().Requests
		if requests["HEAD blob"] != requests["PUT upload"] || requests["PUT manifest"] != 2 {
			t.Errorf("the requests are %v, want one HEAD for each blob", requests)
		}
	}
}

// An upload that a mount opened, and that the registry refuses then, is replaced by one that no
// mount opened.
func TestMountThatOpensAnUploadOfNoUse(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	lines := pushSmall(t, p, "ci/a")
	p.destination.Inject(
		registrytest.FaultRule{Kind: "POST mount", Fault: registrytest.Status(http.StatusAccepted, "", "Location", "/v2/m/a/blobs/uploads/of-a-mount")},
		registrytest.FaultRule{Match: func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "of-a-mount") }, Fault: registrytest.Status(400, errorBody("BLOB_UPLOAD_INVALID", "it is of a mount", ""))},
	)
	config := settings()
	config.Retries = 2
	mirrorWith(t, config, lines...).allAre(t, stream.Copied)
}

// An error instead of a manifest, with a status of success, is an error, and the manifest is
// asked for again.
func TestErrorInsteadOfAManifest(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	lines := pushSmall(t, p, "ci/a")
	limit := registrytest.FaultRule{Kind: "GET manifest", Times: 1, Fault: registrytest.Status(200, errorBody("TOOMANYREQUESTS", "slow down", ""))}
	p.source.Inject(limit)
	mirrorLines(t, lines...).allAre(t, stream.Copied)
	wantArrived(t, p, "ci/a:v1", "m/ci/a:v1")
	limit.Times = 0
	p.source.Inject(limit)
	config := settings()
	config.Retries = 2
	got := mirrorWith(t, config, line(p, "ci/a:v1", "m/b:v1")).results[p.destination.Host+"/m/b:v1"]
	if got.Status != stream.Failed || !strings.Contains(got.Error.Message, `"slow down": the registry sent an error`) {
		t.Errorf("the result is %+v with %+v, want failed with the words of the registry", got, got.Error)
	}
}

// Content that was damaged on its way is sent again, whatever the status of the refusal.
func TestDamagedUploadIsSentAgain(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 422, 500} {
		p := newPair(t)
		lines := pushSmall(t, p, "ci/a")
		p.destination.Inject(registrytest.FaultRule{Kind: "PUT upload", Times: 1, Fault: registrytest.Status(status, errorBody("DIGEST_INVALID", "another digest", ""))})
		mirrorLines(t, lines...).allAre(t, stream.Copied)
	}
}

// A 404 to a HEAD at the source is not taken for the registry's answer unless it is labeled as
// that. GET then finds the image.
func TestHeadThatDoesNotFindASource(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64"))
	mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Copied)
	p.source.Inject(registrytest.FaultRule{Kind: "HEAD manifest", Fault: registrytest.Status(404, "")})
	mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Current)
	push(t, p.destination, "m/none:v1", registrytest.NewImage(registrytest.OCI, "b", "amd64"))
	got := mirrorLines(t, line(p, "ci/none:v1", "m/none:v1")).results[p.destination.Host+"/m/none:v1"]
	if got.Status != stream.Failed || !strings.Contains(got.Error.Message, "manifest unknown") {
		t.Errorf("the result is %+v with %+v, want failed with the words of GET", got, got.Error)
	}
}

// A push that is answered with another success than 201 counts if its content is there.
func TestPushThatIsAnsweredLoosely(t *testing.T) {
	t.Parallel()
	restate := func(status int) registrytest.Fault {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				next.ServeHTTP(looseAnswer{w, status}, r)
			})
		}
	}
	failed := errorBody("TOOMANYREQUESTS", "slow down", "")
	for name, c := range map[string]struct {
		kind   string
		fault  registrytest.Fault
		status string
		words  string
	}{
		"a manifest with 200":         {"PUT manifest", restate(200), stream.Copied, ""},
		"a manifest with 202":         {"PUT manifest", restate(202), stream.Copied, ""},
		"a blob with 200":             {"PUT upload", restate(200), stream.Copied, ""},
		"a blob with 204":             {"PUT upload", restate(204), stream.Copied, ""},
		"an error with 200":           {"PUT manifest", registrytest.Status(200, failed), stream.Failed, "slow down"},
		"nothing with 202":            {"PUT manifest", registrytest.Status(202, ""), stream.Failed, "does not have the manifest"},
		"an error of a blob with 200": {"PUT upload", registrytest.Status(200, failed), stream.Failed, "slow down"},
		"no blob with 204":            {"PUT upload", registrytest.Status(204, ""), stream.Failed, "does not have the blob"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64"))
			p.destination.Inject(registrytest.FaultRule{Kind: c.kind, Fault: c.fault})
			config := settings()
			config.Retries = 2
			got := mirrorWith(t, config, line(p, "ci/a:v1", "m/a:v1")).results[p.destination.Host+"/m/a:v1"]
			if got.Status != c.status || c.words != "" && !strings.Contains(got.Error.Message, c.words) {
				t.Fatalf("the result is %+v with %+v, want %s with %q", got, got.Error, c.status, c.words)
			}
			if c.status == stream.Copied {
				wantArrived(t, p, "ci/a:v1", "m/a:v1")
			}
		})
	}
}

// A looseAnswer has another status than 201, and no digest.
type looseAnswer struct {
	http.ResponseWriter
	status int
}

func (w looseAnswer) WriteHeader(status int) {
	if status == http.StatusCreated {
		w.Header().Del("Docker-Content-Digest")
		status = w.status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Lists of tags are complete, or an error, however a registry words their ends.
func TestLooseListsOfTags(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		list  func(w http.ResponseWriter, q url.Values)
		count int
	}{
		"a last page without tags": {func(w http.ResponseWriter, q url.Values) {
			page := map[string]any{"name": "ci/a", "tags": numbered(100)}
			if q.Has("last") {
				delete(page, "tags")
			}
			_ = json.NewEncoder(w).Encode(page)
		}, 100},
		"500 for a size": {func(w http.ResponseWriter, q url.Values) {
			if q.Has("n") {
				w.WriteHeader(http.StatusInternalServerError)
				return
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"tags": numbered(120)})
		}, 120},
		"a link without a relation": {func(w http.ResponseWriter, q url.Values) {
			all := numbered(5)
			if q.Has("last") {
				all = all[2:]
			} else {
				all = all[:2]
				w.Header().Set("Link", "</v2/ci/a/tags/list?last=v0001>")
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"tags": all})
		}, 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := remoteRegistry{Proxy: registrytest.NewProxy(t, registrytest.InProcess(t), registrytest.ProxyOptions{})}
			source.Inject(registrytest.FaultRule{Kind: "GET tags", Fault: func(http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.list(w, r.URL.Query()) })
			}})
			config := settings()
			config.Retries = 2
			got, err := at(t, client(t, config), source, "ci/a").Tags(t.Context())
			if err != nil || len(got) != c.count {
				t.Errorf("got %d tags and %v, want %d", len(got), err, c.count)
			}
		})
	}
}

// A registry that demands credentials, and says nowhere in which form, gets them by Basic. They
// do not go to one that names other schemes.
func TestRegistryThatNamesNoScheme(t *testing.T) {
	t.Parallel()
	for challenge, want := range map[string]string{"": stream.Copied, "Negotiate": stream.Failed} {
		t.Run("challenge "+challenge, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			lines := pushSmall(t, p, "ci/a")
			guard(p.source, func(w http.ResponseWriter, q *http.Request) bool {
				if _, _, ok := q.BasicAuth(); ok {
					return true
				}
				return refuse(w, http.StatusUnauthorized, challenge)
			})
			plan := splitAs(t, asCI, lines...)
			if want == stream.Copied {
				carry(t, settings(), asCI, plan).allAre(t, stream.Copied)
			} else if len(plan.Results) != 1 || plan.Results[0].Status != want {
				t.Errorf("the results are %+v, want one that failed", plan.Results)
			}
		})
	}
}
