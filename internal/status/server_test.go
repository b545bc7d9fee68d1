package status

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"imagemirror/internal/link"
	"imagemirror/internal/record"
)

// showing returns the handler of a server that shows a snapshot.
func showing(s *Snapshot) http.Handler {
	server := &Server{Version: "v0.4.1"}
	handler := server.Handler()
	server.last.Store(&loaded{snapshot: s})
	return handler
}

func get(handler http.Handler, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

// links returns the addresses in a page.
func links(t *testing.T, page []byte) []string {
	t.Helper()
	root, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for n := range root.Descendants() {
		for _, a := range n.Attr {
			if n.Type == html.ElementNode && n.Data == "a" && a.Key == "href" {
				all = append(all, a.Val)
			}
		}
	}
	return all
}

// Pages and the JSON show which destinations are held, until when, by whom and why, and rollbacks
// in their history.
func TestHeldDestinationsAreShown(t *testing.T) {
	handler := showing(NewSnapshot(Look{Records: fleet()}, now))
	for path, want := range map[string][]string{
		"/":                   {">2 held<"},
		"/sets/gitops":        {"2 held", "held until its source moves</span>", "since 2026-11-29T12:04:05Z by ada: v1 crashes on arm64: &lt;b&gt;ISSUE-7&lt;/b&gt;", ">rolled back<", "state=held"},
		"/api/v1/sets/gitops": {`"held":2`, `"by":"ada"`},
	} {
		body := get(handler, path).Body.String()
		for _, w := range want {
			if !strings.Contains(body, w) {
				t.Errorf("%s does not show %q", path, w)
			}
		}
	}
	var table strings.Builder
	if err := WriteTable(&table, NewSnapshot(Look{Records: fleet()}, now)); err != nil || !regexp.MustCompile(`(?m)^good +gitops .* 2 held$`).MatchString(table.String()) {
		t.Errorf("%v, and the table is\n%s", err, table.String())
	}
}

// elsewhere matches the addresses of other hosts that pages may lead to: the page of a registry,
// the line of a mapping file, and what a hostile record has in place of that.
var elsewhere = regexp.MustCompile(`^https://(quay\.io/repository/openshift-|git\.example/blob/main/image-sets/|evil\.example/(x\.png|w+)$)`)

// Each link of each page leads to a page, or to the registry or the mapping of a destination.
func TestLinksOfServedPagesLeadSomewhere(t *testing.T) {
	for name, records := range map[string][]*record.Record{"a fleet": fleet(), "hostile": hostile()} {
		handler := showing(NewSnapshot(Look{Records: records}, now))
		base, _ := url.Parse("http://status.example/")
		seen, queue, queries := map[string]bool{"/": true}, []string{"/"}, map[string]int{}
		for len(queue) > 0 {
			path := queue[0]
			queue = queue[1:]
			w := get(handler, path)
			if w.Code != http.StatusOK {
				t.Fatalf("%s: %s answers %d", name, path, w.Code)
			}
			if !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
				continue
			}
			at, _ := base.Parse(path)
			for _, link := range links(t, w.Body.Bytes()) {
				to, err := at.Parse(link)
				if err != nil {
					t.Fatalf("%s: %s links to %q", name, path, link)
				}
				if to.Host != base.Host {
					if !elsewhere.MatchString(link) {
						t.Errorf("%s: %s links to %q", name, path, link)
					}
					continue
				}
				to.Fragment = ""
				// Pages of one kind are alike: a few of each are enough.
				next, kind := to.RequestURI(), to.Path
				if runs := strings.Index(to.Path, "/runs/"); runs > 0 {
					kind = to.Path[:runs]
				}
				if alike := kind != to.Path || to.RawQuery != ""; !seen[next] && (!alike || queries[kind] < 6) {
					seen[next] = true
					queue = append(queue, next)
					queries[kind]++
				}
			}
		}
		if len(seen) < 100 {
			t.Errorf("%s: only %d pages are linked", name, len(seen))
		}
	}
}

func TestLinksOfFilesLeadSomewhere(t *testing.T) {
	for name, records := range map[string][]*record.Record{"a fleet": fleet(), "hostile": hostile()} {
		dir := filepath.Join(t.TempDir(), "site")
		if err := WriteFiles(dir, NewSnapshot(Look{Records: records}, now), ""); err != nil {
			t.Fatal(err)
		}
		pages := 0
		err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			if !regexp.MustCompile(`^[a-z0-9_.-]+$`).MatchString(d.Name()) {
				t.Errorf("%s: a file is named %q", name, d.Name())
			}
			if filepath.Ext(file) != ".html" {
				return nil
			}
			pages++
			content, err := os.ReadFile(file)
			for _, link := range links(t, content) {
				target, _, _ := strings.Cut(link, "#")
				if strings.Contains(target, "://") || target == "" {
					continue
				}
				if _, err := os.Stat(filepath.Join(filepath.Dir(file), target)); err != nil {
					t.Errorf("%s: %s links to %s, which is not there", name, strings.TrimPrefix(file, dir), link)
				}
			}
			return err
		})
		if err != nil || pages < 50 {
			t.Errorf("%s: there are %d pages, %v", name, pages, err)
		}
	}
}

// A mapping leads to its line, and a run to where it ran, if the record knows an address for it.
func TestRecordedAddressesAreLinked(t *testing.T) {
	for _, c := range []struct{ url, want string }{
		{"https://git.example/a?b=1&c=\"#L7", `<dt>Mapping</dt><dd><a href="https://git.example/a?b=1&amp;c=%22#L7" rel="noreferrer noopener"><code>mapping_x:7</code></a></dd>`},
		{"", `<dt>Mapping</dt><dd><code>mapping_x:7</code></dd>`},
		{"javascript:alert(1)", `<dt>Mapping</dt><dd><code>mapping_x:7</code></dd>`},
		{"//evil.example/", `<dt>Mapping</dt><dd><code>mapping_x:7</code></dd>`},
	} {
		r := goodSet("x", 1, 1, 0)
		r.Destinations[0].File, r.Destinations[0].Line, r.Destinations[0].URL = "mapping_x", 7, c.url
		page := get(showing(NewSnapshot(Look{Records: []*record.Record{r}}, now)), "/sets/x").Body.String()
		if !strings.Contains(page, c.want) {
			t.Errorf("%s: the page has not %s", c.url, c.want)
		}
		r.Runs[0].URL = c.url
		run := get(showing(NewSnapshot(Look{Records: []*record.Record{r}}, now)), "/sets/x/runs/"+r.Runs[0].ID).Body.String()
		if leads := strings.Contains(run, `<dt>Where it ran</dt><dd><a href="https://git.example/a?b=1&amp;c=%22#L7" rel="noreferrer noopener">`); leads != strings.HasPrefix(c.url, "https:") {
			t.Errorf("%s: the run leads there: %t", c.url, leads)
		}
	}
}

// A set is found by its name, whatever that is. No name takes the address of another set.
func TestSetsAreFoundByName(t *testing.T) {
	usurper := link.ID("Team_A")
	snapshot := NewSnapshot(Look{Records: []*record.Record{goodSet("Team_A", 1, 1, 0), goodSet("é b", 2, 1, 0), goodSet(usurper, 3, 1, 0)}}, now)
	for path, destinations := range map[string]int{
		"/api/v1/sets/Team_A": 1, "/api/v1/sets/" + usurper: 1, "/api/v1/sets/%C3%A9%20b": 2, "/api/v1/sets/" + link.ID("é b"): 2,
		"/api/v1/sets/" + link.ID(usurper): 3,
	} {
		var got SetDetail
		if err := json.Unmarshal(get(showing(snapshot), path).Body.Bytes(), &got); err != nil || len(got.Destinations) != destinations {
			t.Errorf("%s: %d destinations, want %d, %v", path, len(got.Destinations), destinations, err)
		}
	}
	if w := get(showing(snapshot), "/badge/Team_A.svg"); w.Code != 200 {
		t.Errorf("the badge answers %d", w.Code)
	}
}

func TestResponses(t *testing.T) {
	handler := showing(NewSnapshot(Look{Records: fleet()}, now))
	for _, c := range []struct {
		method, path string
		code         int
		kind, says   string
	}{
		{"GET", "/", 200, htmlKind, "3 of 11 sets failing, 1 overdue"},
		{"HEAD", "/", 200, htmlKind, ""},
		{"GET", "/?state=good", 200, htmlKind, "knative"},
		{"GET", "/?state=x", 400, htmlKind, "The query is invalid"},
		{"GET", "/sets/knative?page=x", 400, htmlKind, "The query is invalid"},
		{"GET", "/sets/nowhere", 404, htmlKind, "There is no such page"},
		{"GET", "/sets/knative/runs/x", 404, htmlKind, "There is no such page"},
		{"GET", "/causes", 200, htmlKind, "2 causes of failure"},
		{"GET", "/causes?page=x", 400, htmlKind, "The query is invalid"},
		{"GET", "/causes/x", 404, htmlKind, "There is no such page"},
		{"GET", "/%2e%2e/etc/passwd", 404, htmlKind, "There is no such page"},
		{"GET", "/badge/knative.svg", 200, svgKind, ">good<"},
		{"GET", "/badge/tekton.svg", 200, svgKind, ">64 failing<"},
		{"GET", "/badge/knative", 404, htmlKind, ""},
		{"GET", "/api/v1/sets?state=failing", 200, jsonKind, `"set":"tekton"`},
		{"GET", "/api/v1/sets?sort=name", 400, jsonKind, `{"error":"The query is invalid"}`},
		{"GET", "/api/v1/sets/x", 404, jsonKind, `{"error":"There is no such page"}`},
		{"GET", "/healthz", 200, "text/plain; charset=utf-8", "ok, as of 2026-11-29T15:04:05Z"},
		{"POST", "/", 405, "text/plain; charset=utf-8", ""},
		{"DELETE", "/api/v1/sets/knative", 405, "text/plain; charset=utf-8", ""},
	} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil))
		if w.Code != c.code || w.Header().Get("Content-Type") != c.kind || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s %s: %d %s, want %d %s with %q", c.method, c.path, w.Code, w.Header().Get("Content-Type"), c.code, c.kind, c.says)
		}
		policy := w.Header().Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'; style-src 'sha256-") || strings.Contains(policy, "unsafe") || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s %s has the headers %v", c.method, c.path, w.Header())
		}
	}
}

func TestPagesAreCompressed(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Accept-Encoding", "gzip")
	w := httptest.NewRecorder()
	showing(NewSnapshot(Look{Records: fleet()}, now)).ServeHTTP(w, r)
	if w.Header().Get("Content-Encoding") != "gzip" {
		t.Errorf("the headers are %v", w.Header())
	}
}

func TestJSONHasWhatTheRecordHas(t *testing.T) {
	records := fleet()
	handler := showing(NewSnapshot(Look{Records: records, Active: []Active{{"tekton", "tekton-9", now}}}, now))
	for _, r := range records {
		var got SetDetail
		if err := json.Unmarshal(get(handler, "/api/v1/sets/"+r.Set).Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r.Runs, got.Runs); diff != "" {
			t.Errorf("%s: runs (-record +JSON):\n%s", r.Set, diff)
		}
		if !slices.EqualFunc(r.Destinations, got.Destinations, func(a, b *record.Destination) bool { return cmp.Equal(a, b) }) {
			t.Errorf("%s: the destinations differ", r.Set)
		}
		if active := r.Set == "tekton"; active != (len(got.ActiveRuns) == 1) || got.Version != 1 {
			t.Errorf("%s: version %d, active runs %q", r.Set, got.Version, got.ActiveRuns)
		}
	}
}

func TestBadgesAreXML(t *testing.T) {
	for _, r := range hostile() {
		badge, err := newSet(r).badge()
		if err != nil {
			t.Fatal(err)
		}
		for d := xml.NewDecoder(bytes.NewReader(badge)); err == nil; {
			_, err = d.Token()
		}
		if !errors.Is(err, io.EOF) {
			t.Errorf("%v: %s", err, badge)
		}
	}
}

// A server without a record is not ready. Later it shows the last records that it could read.
func TestServerKeepsWhatItRead(t *testing.T) {
	source := &fixed{err: errors.New("the API server is down")}
	s := &Server{Source: source}
	handler := s.Handler()
	expect := func(path string, code int, says string) {
		t.Helper()
		if w := get(handler, path); w.Code != code || !strings.Contains(w.Body.String(), says) {
			t.Errorf("%s: %d, want %d with %q", path, w.Code, code, says)
		}
	}
	s.load(t.Context())
	expect("/healthz", 503, "no records")
	expect("/", 503, "the API server is down")
	source.err, source.look.Records = nil, fleet()
	s.load(t.Context())
	expect("/healthz", 200, "ok")
	expect("/sets/knative", 200, "knative")
	source.err = errors.New("forbidden")
	s.load(t.Context())
	expect("/healthz", 200, "ok")
	expect("/sets/knative", 200, "so this page is old: forbidden")
}

func TestServeEndsWithItsContext(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	s := &Server{Source: &fixed{look: Look{Records: fleet()}}, Interval: time.Hour}
	go func() { ended <- s.Serve(ctx, listener) }()
	address := "http://" + listener.Addr().String()
	for s.last.Load() == nil || s.last.Load().snapshot == nil {
		runtime.Gosched()
	}
	response, err := http.Get(address + "/healthz")
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatal(response, err)
	}
	response.Body.Close()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := http.Get(address + "/healthz"); err == nil {
		t.Error("it still answers")
	}
}

// 200 sets with 5,000 destinations and all the history of records, and their pages, fit into 64 MB.
func TestLargeFleetIsSmallInMemory(t *testing.T) {
	snapshot := NewSnapshot(Look{Records: large()}, now)
	handler := showing(snapshot)
	for _, path := range []string{"/", "/sets/large", "/api/v1/sets/large", "/causes/" + link.ID(expired.Key)} {
		get(handler, path)
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.HeapAlloc > 64<<20 {
		t.Errorf("%d MiB are in use, want 64 at most", m.HeapAlloc>>20)
	}
	runtime.KeepAlive(snapshot)
}

func BenchmarkPages(b *testing.B) {
	snapshot := NewSnapshot(Look{Records: large()}, now)
	handler := showing(snapshot)
	for name, path := range map[string]string{
		"overview": "/", "set": "/sets/large", "lastpart": "/sets/large?page=40", "cause": "/causes/" + link.ID(expired.Key),
		"filter": "/sets/large?q=component-77&sort=since", "json": "/api/v1/sets/large",
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.SetBytes(int64(get(handler, path).Body.Len()))
			}
		})
	}
	b.Run("snapshot", func(b *testing.B) {
		records := large()
		for b.Loop() {
			NewSnapshot(Look{Records: records}, now)
		}
	})
}

// A set's page says what came with an image, and when strangers were known to get it.
func TestSetPageShowsWhatCameWithAnImage(t *testing.T) {
	page := get(showing(NewSnapshot(Look{Records: fleet()}, now)), "/"+setPath("gitops")).Body.String()
	for _, want := range []string{"<dt>Came with</dt><dd>2 SBOMs, 1 signature</dd>", "<dt>Public</dt><dd><time"} {
		if n := strings.Count(page, want); n != 2 {
			t.Errorf("the page has %q %d times, want 2", want, n)
		}
	}
}
