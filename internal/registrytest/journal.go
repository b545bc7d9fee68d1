package registrytest

import (
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// A Request is a request that reached a Proxy.
type Request struct {
	// Kind is METHOD and manifest, blob, upload, tags or referrers; or "POST mount", "token",
	// "ping" or "other".
	Kind   string
	Method string
	Path   string
	Query  string
	Repo   string      // empty if the request is about no repository
	Ref    string      // the tag or digest that it is about, if it has one
	Scheme string      // of the Authorization header, such as Bearer; empty without one
	User   string      // whose credentials it had, if the Proxy demands and knows them
	Header http.Header // without Authorization
	Status int         // 0 if no header was answered
	Fault  string      // name of the rule that struck
}

// A RepoBlob is a blob in a repository.
type RepoBlob struct{ Repo, Digest string }

// Stats are the counters of a Proxy.
type Stats struct {
	Requests    map[string]int   // by Request.Kind
	Down, Up    int64            // bytes of bodies, answered and sent
	BlobDown    int64            // the part of Down that answered GET blob
	BlobUp      int64            // the part of Up that was sent to uploads
	MaxInFlight int              // most requests at one time
	Faults      int              // requests that a rule struck
	Fetched     map[RepoBlob]int // GETs of blobs that were answered with content
	Uploaded    map[RepoBlob]int // uploads that were committed
	Mounted     map[RepoBlob]int // mounts that were granted
}

// Total returns the number of requests.
func (s Stats) Total() int {
	n := 0
	for _, k := range s.Requests {
		n += k
	}
	return n
}

// A journal keeps the log and the counters of a Proxy.
type journal struct {
	mu       sync.Mutex
	inFlight int
	stats    Stats
	log      []*Request
}

func newStats() Stats {
	return Stats{Requests: map[string]int{}, Fetched: map[RepoBlob]int{}, Uploaded: map[RepoBlob]int{}, Mounted: map[RepoBlob]int{}}
}

func (j *journal) reset() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stats, j.log = newStats(), nil
	j.stats.MaxInFlight = j.inFlight
}

func (j *journal) snapshot() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.stats
	s.Requests, s.Fetched = maps.Clone(s.Requests), maps.Clone(s.Fetched)
	s.Uploaded, s.Mounted = maps.Clone(s.Uploaded), maps.Clone(s.Mounted)
	return s
}

func (j *journal) requests() []Request {
	j.mu.Lock()
	defer j.mu.Unlock()
	log := make([]Request, len(j.log))
	for i, r := range j.log {
		log[i] = *r
	}
	return log
}

// begin records a request.
func (j *journal) begin(r *http.Request) *exchange {
	at := operationOf(r)
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	header := r.Header.Clone()
	header.Del("Authorization")
	entry := &Request{
		Kind: at.kind, Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Repo: at.repo, Ref: at.ref,
		Scheme: scheme, Header: header,
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.log = append(j.log, entry)
	j.stats.Requests[entry.Kind]++
	j.inFlight++
	j.stats.MaxInFlight = max(j.stats.MaxInFlight, j.inFlight)
	return &exchange{j: j, endpoint: at, entry: entry}
}

// An exchange is a request and its answer under way.
type exchange struct {
	j        *journal
	endpoint operation
	entry    *Request
	over     bool
}

// end removes the request from those in flight. Calls after the first do nothing.
func (x *exchange) end() {
	x.j.mu.Lock()
	defer x.j.mu.Unlock()
	if !x.over {
		x.over = true
		x.j.inFlight--
	}
}

func (x *exchange) user(name string) {
	x.j.mu.Lock()
	defer x.j.mu.Unlock()
	x.entry.User = name
}

func (x *exchange) fault(name string) {
	x.j.mu.Lock()
	defer x.j.mu.Unlock()
	x.entry.Fault = name
	x.j.stats.Faults++
}

// answer records the status before the client can see it, so that a client finds its own answer
// counted.
func (x *exchange) answer(status int) {
	x.j.mu.Lock()
	defer x.j.mu.Unlock()
	x.entry.Status = status
	at := RepoBlob{x.endpoint.repo, x.endpoint.ref}
	switch {
	case x.endpoint.kind == "GET blob" && (status == http.StatusOK || status == http.StatusPartialContent):
		x.j.stats.Fetched[at]++
	case x.endpoint.kind == "POST mount" && status == http.StatusCreated:
		x.j.stats.Mounted[at]++
	case strings.HasSuffix(x.endpoint.kind, " upload") && at.Digest != "" && status == http.StatusCreated:
		x.j.stats.Uploaded[at]++
	}
}

func (x *exchange) down(n int) {
	x.j.mu.Lock()
	defer x.j.mu.Unlock()
	x.j.stats.Down += int64(n)
	if x.endpoint.kind == "GET blob" {
		x.j.stats.BlobDown += int64(n)
	}
}

func (x *exchange) up(n int) {
	x.j.mu.Lock()
	defer x.j.mu.Unlock()
	x.j.stats.Up += int64(n)
	if strings.HasSuffix(x.endpoint.kind, " upload") {
		x.j.stats.BlobUp += int64(n)
	}
}

// A recorder records an answer on its way to the client.
type recorder struct {
	http.ResponseWriter
	x       *exchange
	started bool
	left    int64 // bytes of the body to come, or -1 if the header does not say
}

// Unwrap lets http.ResponseController find the server's writer.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *recorder) WriteHeader(status int) {
	if status >= http.StatusOK && !w.started {
		w.started, w.left = true, -1
		if n, err := strconv.ParseInt(w.Header().Get("Content-Length"), 10, 64); err == nil {
			w.left = n
		}
		w.x.answer(status)
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if !w.started {
		w.WriteHeader(http.StatusOK)
	}
	w.x.down(len(b))
	// With the last byte the client has its answer, and may send its next request before this
	// handler returns.
	if w.left -= int64(len(b)); w.left == 0 {
		w.x.end()
	}
	return w.ResponseWriter.Write(b)
}

// A countedBody is the body of a request on its way to the registry.
type countedBody struct {
	io.ReadCloser
	x *exchange

	mu   sync.Mutex  // held while the body is read
	over atomic.Bool // it has been read to its end
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.read(p)
	b.x.up(n)
	return n, err
}

func (b *countedBody) read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.over.Store(true)
	}
	return n, err
}

// end drops the rest of a body whose request was answered before it was read. net/http would
// drop it after the handler. With full duplex it begins to watch the connection then, so the
// next request's body would find it being read, and panic.
func (b *countedBody) end(w http.ResponseWriter) {
	// A client that still sends may be waiting for the answer.
	_ = http.NewResponseController(w).Flush()
	buf := make([]byte, 32<<10)
	for {
		if _, err := b.read(buf); err != nil {
			return
		}
	}
}
