package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzhttp"
	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"

	"imagemirror/internal/metrics"
	"imagemirror/internal/record"
	"imagemirror/internal/text"
)

// A Server serves the status of image sets.
type Server struct {
	Source   Source
	Interval time.Duration // between two looks at the source
	Version  string        // of the program

	last atomic.Pointer[loaded]
}

// Bounds on connections and requests.
const (
	headerTime = 5 * time.Second
	readTime   = 10 * time.Second
	writeTime  = time.Minute
	idleTime   = 30 * time.Second
	lastWords  = 10 * time.Second // for responses under way when the server stops
	maxHeader  = 16 << 10
	maxOpen    = 256 // connections
	maxAtOnce  = 4   // pages that are made at once: it bounds memory
)

// Serve answers requests at a listener until ctx ends. Then it lets responses under way finish.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: headerTime, ReadTimeout: readTime, WriteTimeout: writeTime,
		IdleTimeout: idleTime, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(slog.Default().Handler(), slog.LevelWarn),
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		s.keepLoading(ctx)
		return nil
	})
	g.Go(func() error {
		if err := server.Serve(netutil.LimitListener(listener, maxOpen)); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serving the status: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
		defer cancel()
		return server.Shutdown(patience)
	})
	return g.Wait()
}

// Handler returns what answers requests. The first call to load has to come before it can show
// sets.
func (s *Server) Handler() http.Handler {
	s.last.CompareAndSwap(nil, &loaded{})
	mux := http.NewServeMux()
	slots := make(chan struct{}, maxAtOnce)
	handle := func(pattern string, from maker) { mux.Handle("GET "+pattern, s.answer(slots, from)) }
	handle("/{$}", overviewAnswer)
	handle("/causes", causesAnswer)
	handle("/causes/{cause}", causeAnswer)
	handle("/sets/{set}", setAnswer)
	handle("/sets/{set}/runs", runsAnswer)
	handle("/sets/{set}/runs/{run}", runAnswer)
	handle("/badge/{file}", badgeAnswer)
	handle("/api/v1/sets", setListAnswer)
	handle("/api/v1/sets/{set}", setDetailAnswer)
	handle("/api/v1/causes", causeListAnswer)
	handle("/api/v1/causes/{cause}", causeDetailAnswer)
	handle("/", func(view, *http.Request) (*response, error) { return nil, errNotFound })
	mux.HandleFunc("GET /healthz", s.health)
	mux.Handle("GET /metrics", metrics.Handler(s.records))
	return guarded(gzhttp.GzipHandler(mux))
}

// guarded adds the headers that each response has.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy+"; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		h.Set("Cache-Control", "no-cache")
		next.ServeHTTP(w, r)
	})
}

// health answers 200 once records were read, even if they cannot be read now: an old page that
// says so is better than none.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	last := s.last.Load()
	if last.snapshot == nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, "no records were read yet")
		return
	}
	fmt.Fprintln(w, "ok, as of", last.snapshot.Taken.UTC().Format(time.RFC3339))
}

// records returns the records that pages show now, for metrics.
func (s *Server) records(*http.Request) ([]*record.Record, error) {
	last := s.last.Load()
	if last.snapshot == nil {
		return nil, errors.New("no records were read yet")
	}
	return last.snapshot.look.Records, nil
}

// A response is the body of a response, and its type.
type response struct {
	kind  string // for Content-Type
	write func(io.Writer) error
}

// A maker makes the response to a request.
type maker func(view, *http.Request) (*response, error)

var errNotFound = errors.New("there is no such page")

// answer returns a handler that writes what from makes. It holds a slot only while that is made,
// since a client may read slowly.
func (s *Server) answer(slots chan struct{}, from maker) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, ready := s.view()
		if !ready {
			w.Header().Set("Retry-After", "5")
			s.lost(w, r, v, http.StatusServiceUnavailable, "Not ready yet", "The records of image sets are being read. Reload in a moment.")
			return
		}
		select {
		case slots <- struct{}{}:
		case <-r.Context().Done():
			return
		}
		a, err := from(v, r)
		<-slots
		switch {
		case err == nil:
			w.Header().Set("Content-Type", a.kind)
			_ = a.write(w) // if that fails, nobody is there any more
		case errors.Is(err, errNotFound):
			s.lost(w, r, v, http.StatusNotFound, "There is no such page", "A set, run or cause may be over, or has another name.")
		case errors.Is(err, errQuery):
			s.lost(w, r, v, http.StatusBadRequest, "The query is invalid", "Remove what follows the question mark in the address.")
		default:
			slog.Error("answering a request", "path", text.Line(r.URL.Path, maxLine), "error", err)
			s.lost(w, r, v, http.StatusInternalServerError, "The page could not be made", "The log of the status server has the reason.")
		}
	})
}

// view returns the view of the newest snapshot, and reports whether there is one.
func (s *Server) view() (view, bool) {
	last := s.last.Load()
	v := view{Snapshot: last.snapshot, version: s.Version}
	if last.snapshot == nil {
		v.Snapshot = NewSnapshot(Look{}, time.Now())
	}
	if last.err != nil {
		v.notices = append(v.notices, fmt.Sprintf("The records have not been readable since %s, so this page is old: %v",
			last.since.UTC().Format(fullTime), last.err))
	}
	return v, last.snapshot != nil
}

// A lostBody is what a page shows that has nothing to show.
type lostBody struct{ Headline, Advice string }

func (s *Server) lost(w http.ResponseWriter, r *http.Request, v view, code int, headline, advice string) {
	if strings.HasPrefix(r.URL.Path, "/api/") {
		w.Header().Set("Content-Type", jsonKind)
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": headline})
		return
	}
	p := v.page(strings.TrimPrefix(r.URL.EscapedPath(), "/"), query{}, "lost", headline, &lostBody{headline, advice})
	body, err := p.render()
	if err != nil {
		slog.Error("answering a request", "error", err)
	}
	w.Header().Set("Content-Type", htmlKind)
	w.WriteHeader(code)
	_, _ = w.Write(body)
}

const (
	htmlKind = "text/html; charset=utf-8"
	jsonKind = "application/json"
	svgKind  = "image/svg+xml"
)

// inMemory returns a response whose body is in memory.
func inMemory(kind string, body []byte) *response {
	return &response{kind, func(w io.Writer) error {
		_, err := w.Write(body)
		return err
	}}
}

// html returns a page as a response.
func (p *page) html() (*response, error) {
	body, err := p.render()
	return inMemory(htmlKind, body), err
}

// jsonOf returns v as a response that is written as it is encoded.
func jsonOf(v jsonDocument) (*response, error) { return &response{jsonKind, v.writeJSON}, nil }
