package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The bounds on time of the cases, and how long a run with them may take at most.
var (
	hurry   = []string{"MIRROR_STALL=3s", "MIRROR_RETRIES=4", "MIRROR_DEADLINE=10s", "MIRROR_COPY_DEADLINE=15s"}
	atMost  = 35 * time.Second
	dripped = time.Second // between two bytes
)

// A slowCase is what a registry is slow with.
type slowCase struct {
	name  string
	whole bool                                                                 // nothing comes from the host
	slow  func(w http.ResponseWriter, q *http.Request, next http.Handler) bool // answers, if it is slow with that
}

var slowCases = []slowCase{
	{"a manifest drips", false, dripping("/manifests/")},
	{"a blob drips", false, dripping("/blobs/")},
	{"a list of tags drips", false, dripping("/tags/list")},
	{"the words of a 404 drip", false, func(w http.ResponseWriter, q *http.Request, _ http.Handler) bool {
		drip(w, q, http.StatusNotFound, http.Header{}, []byte(strings.Repeat("not here ", 100)))
		return true
	}},
	{"429 with Retry-After, for ever", true, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	}},
	{"a token drips", true, func(w http.ResponseWriter, q *http.Request, _ http.Handler) bool {
		if q.URL.Path == "/token" {
			drip(w, q, http.StatusOK, http.Header{}, []byte(`{"token":"`+strings.Repeat("x", 1000)+`"}`))
		} else {
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+q.Host+`/token",service="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
		return true
	}},
	{"no answer at all", false, func(_ http.ResponseWriter, q *http.Request, _ http.Handler) bool {
		<-q.Context().Done()
		return true
	}},
}

// dripping answers requests for a part of a registry's paths byte by byte.
func dripping(path string) func(http.ResponseWriter, *http.Request, http.Handler) bool {
	return func(w http.ResponseWriter, q *http.Request, next http.Handler) bool {
		if q.Method != http.MethodGet || !strings.Contains(q.URL.Path, path) {
			return false
		}
		all := httptest.NewRecorder()
		next.ServeHTTP(all, q)
		drip(w, q, all.Code, all.Header(), all.Body.Bytes())
		return true
	}
}

// drip sends an answer byte by byte, until the client is gone.
func drip(w http.ResponseWriter, q *http.Request, status int, header http.Header, body []byte) {
	for k, v := range header {
		w.Header()[k] = v
	}
	w.WriteHeader(status)
	out := http.NewResponseController(w)
	for i := range body {
		if _, err := w.Write(body[i : i+1]); err != nil || out.Flush() != nil {
			return
		}
		select {
		case <-time.After(dripped):
		case <-q.Context().Done():
			return
		}
	}
}

// allSlow is the case of all others in one run.
const allSlow = "all of these at once"

var timePart = trial{
	name: "Time", cases: []string{"one", allSlow},
	columns: "Good images are on a host of their own, and on the slow one as far as it answers for them. The bounds are " +
		strings.Join(hurry, ", ") + ".\n\n| the source | run took | good images that arrived |\n| :-- | --: | --: |",
	run: (*torturer).time,
}

// time mirrors from slow registries. The runs of single cases go on at the same time: they wait.
func (t *torturer) time(ctx context.Context, name string) error {
	var groups [][]slowCase
	for _, c := range slowCases {
		groups = append(groups, []slowCase{c})
	}
	if name == allSlow {
		groups = [][]slowCase{slowCases}
	}
	var waits []func() error
	for _, g := range groups {
		wait, err := t.slowRun(ctx, name, g)
		if err != nil {
			return err
		}
		waits = append(waits, wait)
	}
	for _, wait := range waits {
		if err := wait(); err != nil {
			return err
		}
	}
	return nil
}

// slowRun starts a run from slow registries and a good one. The function that it returns waits for
// its end and prints a row.
func (t *torturer) slowRun(ctx context.Context, name string, cases []slowCase) (wait func() error, err error) {
	destination := listen(nothingThere{})
	lines := addHost(nil, destination, "h", &hostile{}, func(*hostile) {}, nil)
	want := good
	for i, c := range cases {
		more := addHost(nil, destination, fmt.Sprint("h", i), &hostile{}, func(h *hostile) {
			h.tag("evil/one", h.image("good one", 3))
			h.tag("evil/two", h.index(0, h.image("good two", 3)))
			h.lists["evil/one"], h.lists["evil/more"] = []string{"v1"}, []string{"v1", "v2"}
			h.lines = append(h.lines, "evil/more:*")
		}, c.slow)
		lines = append(lines, more...)
		if !c.whole {
			want += good
		}
	}
	if len(cases) == 1 {
		name = cases[0].name
	}
	work, mapping, err := t.work(lines)
	if err != nil {
		return nil, err
	}
	to := filepath.Join(work, "report")
	_, ended, err := t.start(ctx, job{command: []string{"run", "-out", to, mapping}, env: hurry, output: os.DevNull})
	return func() error {
		o := ended()
		n, err := arrived(to)
		t.row(name, fmt.Sprintf("%.1f s", o.took.Seconds()), fmt.Sprintf("%d of %d", n, want))
		if err != nil || n != want || o.took > atMost || o.crashed() {
			t.fail("%s: %d of %d good images arrived in %s, exit status %d: %s (%w)", name, n, want, o.took, o.status, o.end(), err)
		}
		return nil
	}, err
}

// addHost starts a registry, which is slow with what is not good, and adds the lines of its images.
func addHost(lines []string, destination, path string, h *hostile, make func(*hostile), slow func(http.ResponseWriter, *http.Request, http.Handler) bool) []string {
	host := listen(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if slow == nil || strings.Contains(q.URL.Path, "/good/") || !slow(w, q, h) {
			h.ServeHTTP(w, q)
		}
	}))
	for _, l := range h.prepare(make, good) {
		to, _, _ := strings.Cut(l, ":*")
		lines = append(lines, host+"/"+l+" "+destination+"/"+path+"/"+to)
	}
	return lines
}
