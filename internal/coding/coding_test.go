package coding

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"imagemirror/internal/regerror"
)

// pack returns content in gzip.
func pack(t testing.TB, content string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// An answer is a transport that gives one answer and keeps the request.
type answer struct {
	status  int
	codings []string
	body    string
	got     *http.Request
}

func (a *answer) RoundTrip(req *http.Request) (*http.Response, error) {
	a.got = req
	return &http.Response{
		StatusCode: a.status, Header: http.Header{"Content-Encoding": a.codings}, Request: req,
		Body: io.NopCloser(strings.NewReader(a.body)), ContentLength: int64(len(a.body)),
	}, nil
}

func TestTransport(t *testing.T) {
	const content = `{"tags":["v1"]}`
	for _, c := range []struct {
		name    string
		status  int
		codings []string
		body    string
		want    string
		err     string
	}{
		{"no coding", 200, nil, content, content, ""},
		{"gzip", 200, []string{"gzip"}, pack(t, content), content, ""},
		{"x-gzip in capitals", 200, []string{"X-GZIP"}, pack(t, content), content, ""},
		{"gzip of two members", 200, []string{"gzip"}, pack(t, content) + pack(t, content), content + content, ""},
		{"gzip and identity in two headers", 200, []string{"gzip", "identity"}, pack(t, content), content, ""},
		{"gzip in name only", 200, []string{"gzip"}, content, content, ""},
		{"gzip of nothing", 200, []string{"gzip"}, "", "", ""},
		{"a charset", 200, []string{"UTF-8"}, content, content, ""},
		{"what S3 leaves of an upload", 200, []string{"aws-chunked"}, content, content, ""},
		{"an error in gzip", 404, []string{"gzip"}, pack(t, content), content, ""},
		{"an error in brotli", 404, []string{"br"}, "\x0b\x02", "", ""},
		{"brotli", 200, []string{"br"}, "\x0b\x02", "", `the content encoding "br", which was not asked for`},
		{"zstd", 200, []string{"zstd"}, "\x28\xb5", "", `"zstd"`},
		{"gzip twice", 200, []string{"gzip, gzip"}, pack(t, pack(t, content)), "", `"gzip, gzip"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := &answer{status: c.status, codings: c.codings, body: c.body}
			got, err := send(t, a, http.Header{})
			if a.got.Header.Get("Accept-Encoding") != "identity" {
				t.Errorf("the request has the headers %v", a.got.Header)
			}
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err) || !regerror.IsPermanent(err)) {
				t.Fatalf("the error is %v, want %q", err, c.err)
			}
			if got != c.want {
				t.Errorf("the content is %q, want %q", got, c.want)
			}
		})
	}
}

func TestOwnAcceptEncodingGetsTheRawBody(t *testing.T) {
	packed := pack(t, "content")
	asking := http.Header{"Accept-Encoding": {Identity}}
	if got, err := send(t, &answer{status: 200, codings: []string{"gzip"}, body: packed}, asking); got != packed || err != nil {
		t.Errorf("got %q and %v, want the body as it came", got, err)
	}
	if got, err := send(t, &answer{status: 403, codings: []string{"gzip"}, body: packed}, asking); got != "content" || err != nil {
		t.Errorf("of an error, got %q and %v, want its words", got, err)
	}
}

func send(t *testing.T, a *answer, header http.Header) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://registry/v2/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	resp, err := Transport(a).RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

func TestCutOrEmptyDataEnds(t *testing.T) {
	packed := pack(t, strings.Repeat("content", 1000))
	empty := pack(t, "")
	for _, c := range []struct {
		name string
		body string
		want error
	}{
		{"cut in its header", packed[:5], io.ErrUnexpectedEOF},
		{"cut in its content", packed[:len(packed)-20], io.ErrUnexpectedEOF},
		{"damaged at its end", packed[:len(packed)-8] + "12345678", gzip.ErrChecksum},
		{"many empty members", strings.Repeat(empty, 2*slack/len(empty)), errVoid},
	} {
		_, err := io.ReadAll(NewReader(io.NopCloser(strings.NewReader(c.body))))
		if !errors.Is(err, c.want) {
			t.Errorf("%s: the error is %v, want %v", c.name, err, c.want)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add("plain")
	f.Add(pack(f, "content"))
	f.Add(pack(f, "")[:12])
	f.Fuzz(func(t *testing.T, s string) {
		// What is packed comes back. Anything else ends.
		got, err := io.ReadAll(NewReader(io.NopCloser(strings.NewReader(pack(t, s)))))
		if err != nil || string(got) != s {
			t.Errorf("packed %q, got %q and %v", s, got, err)
		}
		if _, err := io.CopyN(io.Discard, NewReader(io.NopCloser(strings.NewReader(s))), 1<<20); err == nil {
			return
		}
	})
}
