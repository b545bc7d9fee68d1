// Package coding undoes the content codings of HTTP answers (RFC 9110, section 8.4). Requests
// ask for none, since digests are over the plain content. Some front servers and CDNs apply
// gzip all the same.
package coding

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"

	"imagemirror/internal/fault"
	"imagemirror/internal/regerror"
	"imagemirror/internal/secret"
)

// Identity is the Accept-Encoding of a request whose answer must not be encoded.
const Identity = "identity"

// Transport returns a transport whose requests ask for answers without a content coding. It
// decodes gzip that comes anyway, and fails for any other coding. The reader of the body
// bounds its decoded size.
//
// As with net/http's own transport, a request with an Accept-Encoding of its own gets the
// body of a successful answer as it came. Errors are decoded for it too.
func Transport(base http.RoundTripper) http.RoundTripper { return transport{base} }

type transport struct{ base http.RoundTripper }

func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	raw := req.Header.Get("Accept-Encoding") != ""
	if !raw {
		req = req.WithContext(req.Context()) // a copy
		req.Header = maps.Clone(req.Header)
		req.Header.Set("Accept-Encoding", Identity)
	}
	resp, err := t.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	failed := resp.StatusCode >= http.StatusBadRequest
	if raw && !failed || req.Method == http.MethodHead {
		return resp, nil
	}
	c, err := Of(resp.Header)
	switch {
	case err == nil && c == Gzip:
		resp.Body = NewReader(resp.Body)
		resp.Header.Del("Content-Encoding")
		resp.Header.Del("Content-Length")
		resp.ContentLength, resp.Uncompressed = -1, true
	case err != nil && failed: // its status says enough
		_ = resp.Body.Close()
		resp.Body = http.NoBody
	case err != nil:
		_ = resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// A Coding is a content coding that can be undone.
type Coding int

// The codings that can be undone.
const (
	None Coding = iota
	Gzip
)

// Of returns the coding that an answer's headers name. It fails for any other than gzip.
func Of(h http.Header) (Coding, error) {
	found := None
	for _, name := range strings.Split(strings.Join(h.Values("Content-Encoding"), ","), ",") {
		switch name := strings.ToLower(strings.TrimSpace(name)); {
		case isNone(name):
		case found == None && (name == "gzip" || name == "x-gzip"):
			found = Gzip
		default:
			return None, unsupported(strings.Join(h.Values("Content-Encoding"), ", "))
		}
	}
	return found, nil
}

// isNone reports whether a name in Content-Encoding means that the content is as it was
// stored. Object stores return aws-chunked, which ended with the upload, and charsets are a
// common mistake.
func isNone(name string) bool {
	switch name {
	case "", "identity", "none", "binary", "utf-8", "utf8", "aws-chunked":
		return true
	}
	return false
}

// ErrUnsupported means that an answer came in a coding that cannot be undone.
var ErrUnsupported = errors.New("unsupported content encoding")

// unsupported returns the ErrUnsupported of an answer, which names its coding.
func unsupported(name string) error { return regerror.Permanent(unsupportedError(name)) }

type unsupportedError string

func (e unsupportedError) Error() string {
	return fmt.Sprintf("the answer has the content encoding %.40q, which was not asked for", secret.Hide(string(e)))
}

func (e unsupportedError) Is(target error) bool { return target == ErrUnsupported }

// Kind returns what kind of failure the error is the cause of.
func (e unsupportedError) Kind() fault.Kind { return fault.Answer }

// Advice returns what a person can do about the error.
func (e unsupportedError) Advice() string {
	return "ask the registry's operators to answer a request with Accept-Encoding: identity without an encoding"
}

// magic begins all gzip data (RFC 1952, section 2.3.1).
const magic = "\x1f\x8b"

// NewReader returns the decoded form of a body in gzip. It returns a body that is not in gzip
// as it is: servers are known to name a coding that they did not apply.
func NewReader(body io.ReadCloser) io.ReadCloser {
	r := &decodedBody{body: body}
	r.encoded = bufio.NewReader(io.TeeReader(body, (*byteCount)(&r.in)))
	return r
}

type decodedBody struct {
	body    io.ReadCloser
	encoded *bufio.Reader
	decoded io.Reader // nil before the first Read
	in, out int64     // bytes of either form so far
}

func (r *decodedBody) Read(p []byte) (int, error) {
	if r.decoded == nil {
		if err := r.begin(); err != nil {
			return 0, err
		}
	}
	n, err := r.decoded.Read(p)
	r.out += int64(n)
	return n, err
}

// begin looks at the first bytes, which show whether the body is in gzip.
func (r *decodedBody) begin() error {
	start, err := r.encoded.Peek(len(magic))
	if err != nil && err != io.EOF {
		return err
	}
	if string(start) != magic {
		r.decoded = r.encoded
		return nil
	}
	// gzip.NewReader reads the header at once.
	decoded, err := gzip.NewReader(&boundedReader{r})
	if err != nil {
		return fmt.Errorf("decoding gzip: %w", err)
	}
	r.decoded = decoded
	return nil
}

func (r *decodedBody) Close() error { return r.body.Close() }

// slack is how many bytes of gzip may come without any content: the longest header and more.
const slack = 1 << 20

// errVoid ends data that a reader of the decoded form could not bound.
var errVoid = errors.New("the gzip data has no content")

// A boundedReader is the encoded form, which ends if it never decodes to anything. gzip may consist
// of empty blocks without end. Sixteen bytes for each byte of content leave room for servers
// that flush after every few bytes.
type boundedReader struct{ *decodedBody }

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.in > slack+16*b.out {
		return 0, errVoid
	}
	return b.encoded.Read(p)
}

func (b *boundedReader) ReadByte() (byte, error) {
	if b.in > slack+16*b.out {
		return 0, errVoid
	}
	return b.encoded.ReadByte()
}

// A byteCount counts what is written to it.
type byteCount int64

func (c *byteCount) Write(p []byte) (int, error) {
	*c += byteCount(len(p))
	return len(p), nil
}
