package registrytest

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"time"
)

// Status answers instead of the registry, with a status, a body, and headers as pairs of name and
// value.
func Status(code int, body string, headers ...string) Fault {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i+1 < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			w.WriteHeader(code)
			io.WriteString(w, body)
		})
	}
}

// TooManyRequests answers 429 with a Retry-After, in seconds or as an HTTP date. An empty one
// is left out.
func TooManyRequests(retryAfter string) Fault {
	body := `{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}`
	if retryAfter == "" {
		return Status(http.StatusTooManyRequests, body)
	}
	return Status(http.StatusTooManyRequests, body, "Retry-After", retryAfter)
}

// Disconnect cuts the connection without an answer. The registry does not see the request.
func Disconnect() Fault {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { abort() })
	}
}

// LoseAnswer lets the registry carry out the request, and cuts the connection instead of answering.
func LoseAnswer() Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(&blackHole{header: http.Header{}}, r)
			abort()
		})
	}
}

// CutUpload cuts the connection after n bytes of the request's body. The registry sees none of
// them.
func CutUpload(n int64) Fault {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			io.CopyN(io.Discard, r.Body, n)
			abort()
		})
	}
}

// CutAfter cuts the connection after the headers and n bytes of the body. The headers announce the
// whole body.
func CutAfter(n int64) Fault {
	return wrapping(func(w http.ResponseWriter) http.ResponseWriter {
		return &cutWriter{ResponseWriter: w, left: n}
	})
}

// Truncate ends the body after n bytes as if it were complete, in an answer without Content-Length.
func Truncate(n int64) Fault {
	return wrapping(func(w http.ResponseWriter) http.ResponseWriter {
		return &truncateWriter{ResponseWriter: w, left: n}
	})
}

// Corrupt inverts the byte of the body at offset at.
func Corrupt(at int64) Fault {
	return wrapping(func(w http.ResponseWriter) http.ResponseWriter {
		return &corruptWriter{ResponseWriter: w, at: at}
	})
}

// SetHeader sets a header of the answer, or removes it if value is empty.
func SetHeader(name, value string) Fault {
	return wrapping(func(w http.ResponseWriter) http.ResponseWriter {
		return &headerWriter{ResponseWriter: w, name: name, value: value}
	})
}

// Stall does not answer until the client goes away or the Proxy is closed.
func Stall() Fault {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			// The server notices that the client is gone only after it has read the body.
			io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			abort()
		})
	}
}

// StallAfter stops after the headers and n bytes of the body, until the client goes away or the
// Proxy is closed.
func StallAfter(n int64) Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(&cutWriter{ResponseWriter: w, left: n, before: func() { <-r.Context().Done() }}, r)
		})
	}
}

// Endless answers 200 with a body of zeros that ends when the client goes away.
func Endless(contentType string) Fault {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", contentType)
			zeros := make([]byte, 32<<10)
			for r.Context().Err() == nil {
				if _, err := w.Write(zeros); err != nil {
					return
				}
			}
			abort()
		})
	}
}

// Delay waits for d and then lets the registry answer.
func Delay(d time.Duration) Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if wait(r.Context(), d) {
				next.ServeHTTP(w, r)
			}
		})
	}
}

// RefuseMount turns a mount into an ordinary upload, which the registry answers with 202.
func RefuseMount() Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r = r.Clone(r.Context())
			query := r.URL.Query()
			query.Del("mount")
			query.Del("from")
			r.URL.RawQuery = query.Encode()
			next.ServeHTTP(w, r)
		})
	}
}

// Redirect redirects the client to the same path below another base URL, such as a second Proxy's.
func Redirect(base string) Fault {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, strings.TrimSuffix(base, "/")+r.URL.RequestURI(), http.StatusTemporaryRedirect)
		})
	}
}

// abort makes the server cut the connection.
func abort() { panic(http.ErrAbortHandler) }

func wrapping(wrap func(http.ResponseWriter) http.ResponseWriter) Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(wrap(w), r) })
	}
}

// A cutWriter cuts the connection after left bytes.
type cutWriter struct {
	http.ResponseWriter
	left   int64
	before func() // is called before the cut; nil: cut at once
}

func (w *cutWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *cutWriter) WriteHeader(status int) {
	w.ResponseWriter.WriteHeader(status)
	if status >= http.StatusOK && w.left == 0 {
		w.cut()
	}
}

func (w *cutWriter) Write(b []byte) (int, error) {
	if int64(len(b)) < w.left {
		w.left -= int64(len(b))
		return w.ResponseWriter.Write(b)
	}
	w.ResponseWriter.Write(b[:w.left])
	w.cut()
	return 0, nil
}

func (w *cutWriter) cut() {
	// The client has to get what was written before the connection ends.
	_ = http.NewResponseController(w.ResponseWriter).Flush()
	if w.before != nil {
		w.before()
	}
	abort()
}

// A truncateWriter drops everything after left bytes.
type truncateWriter struct {
	http.ResponseWriter
	left int64
}

func (w *truncateWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *truncateWriter) WriteHeader(status int) {
	w.Header().Del("Content-Length")
	w.ResponseWriter.WriteHeader(status)
}

func (w *truncateWriter) Write(b []byte) (int, error) {
	n := min(w.left, int64(len(b)))
	w.left -= n
	if _, err := w.ResponseWriter.Write(b[:n]); err != nil {
		return 0, err
	}
	return len(b), nil
}

// A corruptWriter inverts one byte.
type corruptWriter struct {
	http.ResponseWriter
	at int64 // from the next byte to be written
}

func (w *corruptWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *corruptWriter) Write(b []byte) (int, error) {
	if w.at >= 0 && w.at < int64(len(b)) {
		b = bytes.Clone(b)
		b[w.at] ^= 0xff
	}
	w.at -= int64(len(b))
	return w.ResponseWriter.Write(b)
}

// A headerWriter sets or removes a header when the headers are written.
type headerWriter struct {
	http.ResponseWriter
	name, value string
}

func (w *headerWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *headerWriter) WriteHeader(status int) {
	w.Header().Del(w.name)
	if w.value != "" {
		w.Header().Set(w.name, w.value)
	}
	w.ResponseWriter.WriteHeader(status)
}

// A blackHole swallows an answer.
type blackHole struct{ header http.Header }

func (b *blackHole) Header() http.Header         { return b.header }
func (b *blackHole) WriteHeader(int)             {}
func (b *blackHole) Write(p []byte) (int, error) { return len(p), nil }

// Drip lets the registry answer, and sends a byte of the body after each pause, until the client
// goes away or the Proxy is closed.
func Drip(pause time.Duration) Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(&drippingWriter{ResponseWriter: w, next: func() bool { return wait(r.Context(), pause) }}, r)
		})
	}
}

// A drippingWriter writes single bytes, and waits for next before each.
type drippingWriter struct {
	http.ResponseWriter
	next func() bool // false: the client is gone
}

func (w *drippingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *drippingWriter) Write(b []byte) (int, error) {
	_ = http.NewResponseController(w.ResponseWriter).Flush() // the headers come at once
	for i := range b {
		if !w.next() {
			abort()
		}
		if _, err := w.ResponseWriter.Write(b[i : i+1]); err != nil {
			abort()
		}
		_ = http.NewResponseController(w.ResponseWriter).Flush()
	}
	return len(b), nil
}

// SlowUpload reads a piece of size bytes of the request's body after each pause, until the client
// goes away or the Proxy is closed. The registry sees none of them.
func SlowUpload(size int64, pause time.Duration) Fault {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			for wait(r.Context(), pause) {
				if _, err := io.CopyN(io.Discard, r.Body, size); err != nil {
					break
				}
			}
			abort()
		})
	}
}
