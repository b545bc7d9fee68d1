package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"imagemirror/internal/regerror"
)

// Download reads one blob, from where it is to be had. It keeps its place in a registry's budget from the first Open to
// Close, also while it breaks off and is opened again. It is used by one goroutine at a time.
type Download struct {
	from   []*Repository
	at     *Repository
	digest string
	slot   slot
}

// NewDownload is a download of a blob that is in each of the repositories.
func NewDownload(digest string, from []*Repository) *Download {
	return &Download{from: slices.Clone(from), at: from[0], digest: digest}
}

// Open opens the blob at an offset. What the body yields is not verified, and may end early. The caller closes it. Where there are
// several repositories, the error is a *SourcesError.
func (d *Download) Open(ctx context.Context, offset int64) (body io.ReadCloser, err error) {
	var all SourcesError
	for _, r := range d.from {
		d.at = r
		for _, l := range r.locations {
			if body, err = l.blob(ctx, d, offset); err == nil {
				return body, nil
			}
		}
		err = r.fail(err, "reading the blob "+d.digest+" in")
		all.add(r.name, err)
	}
	if len(d.from) > 1 {
		return nil, &all
	}
	return nil, err
}

// At is the repository that was opened last.
func (d *Download) At() *Repository { return d.at }

// Turn makes the next Open begin with another repository, where there is one.
func (d *Download) Turn() { d.from = append(d.from[1:], d.from[0]) }

// SourcesError says that none of several repositories gives a blob.
type SourcesError struct {
	by   map[string]error // by the repository's name
	last error
}

func (e *SourcesError) add(name string, err error) {
	if e.by == nil {
		e.by = map[string]error{}
	}
	e.by[name], e.last = err, err
}

func (e *SourcesError) Error() string { return e.last.Error() }
func (e *SourcesError) Unwrap() error { return e.last }

// Is says whether one of them had no place in flight.
func (e *SourcesError) Is(target error) bool {
	for _, err := range e.by {
		if target == regerror.ErrBusy && errors.Is(err, regerror.ErrBusy) {
			return true
		}
	}
	return false
}

// Of is the error of the repository with a name, or of any where there is none of it.
func (e *SourcesError) Of(name string) error { return cmp.Or(e.by[name], e.last) }

// Feeds says that an upload waits for the body from now on, which has a place in a budget. So the download takes up what
// breaks off without waiting for a place itself, until it is closed.
func (d *Download) Feeds() { d.slot.feeding = true }

// Close gives the place back. The download may be opened again.
func (d *Download) Close() { d.slot.release() }

func (l location) blob(ctx context.Context, d *Download, offset int64) (io.ReadCloser, error) {
	c := &call{method: http.MethodGet, rest: "blobs/" + d.digest, access: l.access, kept: &d.slot, expect: []int{http.StatusOK}}
	if offset > 0 {
		c.header = http.Header{"Range": {fmt.Sprintf("bytes=%d-", offset)}}
		c.expect = append(c.expect, http.StatusPartialContent)
	}
	resp, err := l.host.do(ctx, c)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusPartialContent {
		if !strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", offset)) {
			_ = resp.Body.Close()
			return nil, &regerror.Error{Err: regerror.Malformed("it was asked for the blob from byte %d and answers %.80q", offset, resp.Header.Get("Content-Range"))}
		}
		return resp.Body, nil
	}
	// A registry that does not do ranges sends all of it.
	if _, err := io.CopyN(io.Discard, resp.Body, offset); err != nil {
		_ = resp.Body.Close()
		return nil, &regerror.Error{Err: regerror.Plain(ctx, err)}
	}
	return resp.Body, nil
}

// Upload is an upload session. It is used by one goroutine at a time.
type Upload struct {
	r        *Repository
	l        location
	at       *url.URL // where the next request goes; the registry may change it with each answer
	minChunk int64
	reserved bool
}

// Reserve waits for the place in the registry's budget that the next Put will take. Who uploads one blob to several
// registries reserves in the order of Registry, and only then begins, so that no two wait for each other.
func (u *Upload) Reserve(ctx context.Context) error {
	if err := u.l.host.budget.Acquire(ctx); err != nil {
		return u.r.fail(err, "pushing a blob to")
	}
	u.reserved = true
	return nil
}

// Unreserve gives a reserved place back that was not used.
func (u *Upload) Unreserve() {
	if u.reserved {
		u.reserved = false
		u.l.host.budget.Release()
	}
}

// Begin makes a blob's way into the repository: it asks the registry to mount it from the repository with the path
// from on the same registry, unless that is empty, and opens an upload where the registry does not. A nil Upload
// means that the blob is there.
func (r *Repository) Begin(ctx context.Context, digest, from string) (*Upload, error) {
	l := r.locations[0]
	if from != "" && l.host.auth.MaxScopes() == 1 {
		from = l.access.Repository // a mount from another needs a token for both
	}
	if from == "" || l.host.mounts.refused(from, l.access.Repository) {
		return r.begin(ctx, "", "")
	}
	up, err := r.begin(ctx, "mount="+url.QueryEscape(digest)+"&from="+url.QueryEscape(from), from)
	status := regerror.StatusOf(err)
	if err == nil || status < 400 || status >= 500 || status == http.StatusTooManyRequests {
		return up, err
	}
	// Some registries refuse a mount that they cannot do, with 400, 401, 403 or 404, instead of opening an upload.
	up, err = r.begin(ctx, "", "")
	if err == nil {
		l.host.mounts.refuse(from, l.access.Repository, status)
	}
	return up, err
}

func (r *Repository) begin(ctx context.Context, query, from string) (*Upload, error) {
	l := r.locations[0]
	a := l.access
	a.MountFrom = from
	resp, err := l.host.do(ctx, &call{
		method: http.MethodPost, rest: "blobs/uploads/", query: query, access: a, body: []byte{},
		expect: []int{http.StatusAccepted, http.StatusCreated},
	})
	if err != nil {
		return nil, r.fail(err, "opening an upload to")
	}
	defer discard(resp)
	if resp.StatusCode == http.StatusCreated {
		if query == "" {
			return nil, r.fail(&regerror.Error{Err: regerror.Malformed("it says that a blob is there which it was not told of")}, "opening an upload to")
		}
		return nil, nil
	}
	up := &Upload{r: r, l: l, at: l.host.url(a.Repository, "blobs/uploads/")}
	up.minChunk, _ = strconv.ParseInt(resp.Header.Get("OCI-Chunk-Min-Length"), 10, 64)
	if err := up.moveTo(resp); err != nil {
		return nil, r.fail(err, "opening an upload to")
	}
	return up, nil
}

// moveTo follows the Location of an answer, absolute or relative, with its query.
func (u *Upload) moveTo(resp *http.Response) error {
	value := resp.Header.Get("Location")
	if value == "" {
		return &regerror.Error{Err: regerror.Malformed("its answer says not where the upload goes on")}
	}
	to, err := u.at.Parse(value)
	if err != nil || to.Scheme != "https" && to.Scheme != "http" {
		return &regerror.Error{Err: regerror.Malformed("its upload goes on at %.80q, which is no address", value)}
	}
	if to.Scheme == "http" && u.at.Scheme == "https" {
		itself := withPort(to.Host, to.Scheme) == withPort(u.at.Host, to.Scheme)
		if !itself && !u.l.host.allowsPlainHTTP() {
			return &regerror.Error{Err: regerror.Malformed("its upload goes on from https to plain http")}
		}
		// Registries behind a front server that ends TLS are known to call themselves http.
		to.Scheme = u.at.Scheme
		if itself {
			to.Host = u.at.Host
		}
	}
	u.at = to
	return nil
}

func (u *Upload) call(method string, body io.Reader, length int64, expect ...int) *call {
	c := &call{method: method, location: u.at, access: u.l.access, expect: expect}
	if body != nil {
		c.stream, c.length = body, length
		c.header = http.Header{"Content-Type": {"application/octet-stream"}}
	}
	return c
}

func (u *Upload) withDigest(digest string) *url.URL {
	at := *u.at
	q := "digest=" + url.QueryEscape(digest)
	if at.RawQuery != "" {
		q = at.RawQuery + "&" + q
	}
	at.RawQuery = q
	return &at
}

// Put sends a whole blob, or what is left of it, in one request, and ends the upload. body is read once: on an error the caller
// asks Offset how far it came, or begins another upload.
func (u *Upload) Put(ctx context.Context, digest string, body io.Reader, length int64) error {
	c := u.call(http.MethodPut, body, length, http.StatusCreated, http.StatusNoContent, http.StatusOK)
	c.location = u.withDigest(digest)
	c.reserved = &u.reserved
	return u.finish(ctx, c)
}

// PutBytes is Put for a blob that is in memory, which is sent again where that may help.
func (u *Upload) PutBytes(ctx context.Context, digest string, b []byte) error {
	c := u.call(http.MethodPut, nil, 0, http.StatusCreated, http.StatusNoContent, http.StatusOK)
	c.location = u.withDigest(digest)
	c.body = b
	c.header = http.Header{"Content-Type": {"application/octet-stream"}}
	return u.finish(ctx, c)
}

func (u *Upload) finish(ctx context.Context, c *call) error {
	resp, err := u.l.host.do(ctx, c)
	if err != nil {
		return u.r.fail(err, "pushing a blob to")
	}
	discard(resp)
	return nil
}

// Patch sends the part of a blob that begins at offset, and has length bytes.
func (u *Upload) Patch(ctx context.Context, body io.Reader, offset, length int64) error {
	c := u.call(http.MethodPatch, body, length, http.StatusAccepted, http.StatusNoContent, http.StatusCreated)
	c.header.Set("Content-Range", fmt.Sprintf("%d-%d", offset, offset+length-1))
	resp, err := u.l.host.do(ctx, c)
	if err != nil {
		return u.r.fail(err, "pushing a part of a blob to")
	}
	defer discard(resp)
	if err := u.moveTo(resp); err != nil {
		return u.r.fail(err, "pushing a part of a blob to")
	}
	return nil
}

// Offset asks how many bytes the registry has, after an upload broke off.
func (u *Upload) Offset(ctx context.Context) (int64, error) {
	resp, err := u.l.host.do(ctx, u.call(http.MethodGet, nil, 0, http.StatusNoContent, http.StatusAccepted, http.StatusOK))
	if err != nil {
		return 0, u.r.fail(err, "asking after an upload to")
	}
	defer discard(resp)
	if resp.Header.Get("Location") != "" {
		if err := u.moveTo(resp); err != nil {
			return 0, u.r.fail(err, "asking after an upload to")
		}
	}
	first, last, ok := strings.Cut(strings.TrimPrefix(resp.Header.Get("Range"), "bytes="), "-")
	end, err := strconv.ParseInt(last, 10, 64)
	if !ok || first != "0" || err != nil || end < 0 {
		return 0, u.r.fail(&regerror.Error{Err: regerror.Malformed("its upload says not how far it is")}, "asking after an upload to")
	}
	if end == 0 {
		return 0, nil // "0-0" is how registries say that nothing came
	}
	return end + 1, nil
}

// Chunks says whether the registry is known to refuse large bodies in one request, and the least size of the parts that
// it then wants, in bytes; 0 where it does not say.
func (u *Upload) Chunks() (wanted bool, least int64) { return u.l.host.chunked.Load(), u.minChunk }

// WantChunks notes that the registry refused a large body in one request.
func (u *Upload) WantChunks() { u.l.host.chunked.Store(true) }

// Cancel drops the upload, as far as the registry can be told.
func (u *Upload) Cancel(ctx context.Context) {
	resp, err := u.l.host.do(ctx, u.call(http.MethodDelete, nil, 0, http.StatusNoContent, http.StatusAccepted, http.StatusOK, http.StatusNotFound))
	if err == nil {
		discard(resp)
	}
}
