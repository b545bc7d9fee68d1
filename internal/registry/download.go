package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"imagemirror/internal/regerror"
)

// A Download reads one blob from any of several repositories. It keeps one request slot
// from the first Open to Close, even between a transfer that broke off and the next
// Open. One goroutine at a time may use it.
type Download struct {
	from   []*Repository
	at     *Repository
	by     *host // of the endpoint that was asked last
	digest string
	size   int64 // bytes
	slot   slot

	elsewhere string // the host that answered last, if the registry led to it
	page      bool   // it announced a web page

	chosen  int64 // when from was put in order, in Unix nanoseconds
	hasty   bool  // a repository that stalls is left for another, and asked again later
	doubted *host // that sent the last answer, if it may be encoded or not
	raw     bool  // it was read as if it were not
}

// NewDownload returns a download of a blob of size bytes that is in each of the
// repositories. It asks those on registries that stalled last, ending with the one that stalled
// most recently: if all of them have stalled, that one is most likely the slow one.
func NewDownload(digest string, size int64, from []*Repository) *Download {
	from = slices.Clone(from)
	slices.SortStableFunc(from, func(a, b *Repository) int { return cmp.Compare(a.stalled(), b.stalled()) })
	return &Download{from: from, at: from[0], digest: digest, size: size, chosen: time.Now().UnixNano()}
}

// stalled returns when the registry that is asked first last stalled while it sent a blob, in Unix
// nanoseconds, or 0 if it never did.
func (r *Repository) stalled() int64 { return r.endpoints[0].host.stalled.Load() }

// Open opens the blob at an offset. The caller closes the body, whose content is not
// verified and may end early. With several repositories the error is a *SourcesError.
func (d *Download) Open(ctx context.Context, offset int64) (body io.ReadCloser, err error) {
	var all SourcesError
	d.hasty = len(d.from) > 1
	for next := d.from; len(next) > 0; d.hasty = false {
		var stalled []*Repository
		for _, r := range next {
			if body, err = d.openAt(ctx, r, offset); err == nil {
				return body, nil
			}
			all.add(r.name, err)
			hung := errors.Is(err, regerror.ErrStalled)
			if hung {
				d.by.stalled.Store(time.Now().UnixNano())
			}
			if d.hasty && (hung || errors.Is(err, errStalledMeanwhile)) {
				stalled = append(stalled, r)
			}
		}
		next = stalled
	}
	if len(d.from) > 1 {
		return nil, &all
	}
	return nil, err
}

// errStalledMeanwhile means that a registry has stalled, for somebody else, since a download chose
// to ask it first. Downloads wait for slots, so many may have chosen it before that was known.
var errStalledMeanwhile = regerror.Permanent(errors.New("the registry has stalled meanwhile"))

// openAt opens the blob in one repository.
func (d *Download) openAt(ctx context.Context, r *Repository, offset int64) (body io.ReadCloser, err error) {
	d.at, d.doubted = r, nil
	for _, ep := range r.endpoints {
		d.by = ep.host
		if body, err = ep.blob(ctx, d, offset); err == nil {
			return body, nil
		}
		if errors.Is(err, errStalledMeanwhile) {
			break // all endpoints get another chance
		}
	}
	return nil, r.fail(err, "reading blob", d.digest)
}

// At returns the repository that was opened last.
func (d *Download) At() *Repository { return d.at }

// Answered returns the host that answered last, if the registry led to another, and whether it
// announced a web page instead of a blob.
func (d *Download) Answered() (host string, page bool) { return d.elsewhere, d.page }

// note notes who answered, and with what.
func (d *Download) note(h *host, resp *http.Response) {
	mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	d.elsewhere, d.page = "", mediaType == "text/html"
	if u := resp.Request.URL; !h.at(u) {
		d.elsewhere = u.Host
	}
}

// Registry returns the registry that was asked last, after an Open.
func (d *Download) Registry() string { return d.by.endpoint.Registry }

// Stalled notes that the last transfer stalled: other repositories go first from now on,
// for this blob and for others.
func (d *Download) Stalled() {
	d.by.stalled.Store(time.Now().UnixNano())
	d.Turn()
}

// Turn makes the next Open begin with the next repository, if there is one.
func (d *Download) Turn() { d.from = append(d.from[1:], d.from[0]) }

// A SourcesError means that none of several repositories served a blob.
type SourcesError struct {
	by   map[string]error // by repository name
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

// Is reports whether target is regerror.ErrBusy and the cause in one of the repositories.
func (e *SourcesError) Is(target error) bool {
	for _, err := range e.by {
		if target == regerror.ErrBusy && errors.Is(err, regerror.ErrBusy) {
			return true
		}
	}
	return false
}

// Of returns the error of the named repository, or the last one if there is none of it.
func (e *SourcesError) Of(name string) error { return cmp.Or(e.by[name], e.last) }

// Feeds notes that an upload, which holds a request slot, reads the body from now on.
// Until Close, an Open does not wait for a slot at another registry: two registries
// could wait for each other.
func (d *Download) Feeds() { d.slot.feeding = true }

// Holds reports whether the download has a slot. Any goroutine may ask.
func (d *Download) Holds() bool { return d.slot.held.Load() }

// Close releases the slot. The download may be opened again.
func (d *Download) Close() { d.slot.release() }

// blob requests a blob from an offset on: the rest of it, or all of it from a registry
// that does not serve a range.
func (ep repoEndpoint) blob(ctx context.Context, d *Download, offset int64) (io.ReadCloser, error) {
	if offset == 0 || ep.host.ranges.useless() {
		return ep.whole(ctx, d, offset)
	}
	body, err := ep.rest(ctx, d, offset)
	switch {
	case err == nil:
		ep.host.ranges.worked()
		return body, nil
	case !dispensable(ctx, err):
		return nil, err
	}
	body, failed := ep.whole(ctx, d, offset)
	if failed == nil {
		ep.host.ranges.refuse(err)
	}
	return body, failed
}

// whole requests all of a blob and skips what comes before the offset.
func (ep repoEndpoint) whole(ctx context.Context, d *Download, offset int64) (io.ReadCloser, error) {
	resp, err := ep.host.do(ctx, ep.download(d))
	if err != nil {
		return nil, err
	}
	d.note(ep.host, resp)
	return ep.skipping(d, resp, offset)
}

// skipping returns the content of a blob from an offset on.
func (ep repoEndpoint) skipping(d *Download, resp *http.Response, offset int64) (io.ReadCloser, error) {
	content, err := d.content(ep.host, resp)
	if err != nil {
		return nil, err
	}
	return &skippingBody{content, offset}, nil
}

// rest requests a blob from an offset on.
func (ep repoEndpoint) rest(ctx context.Context, d *Download, offset int64) (io.ReadCloser, error) {
	c := ep.download(d)
	c.header = http.Header{"Range": {fmt.Sprintf("bytes=%d-", offset)}}
	c.expect = append(c.expect, http.StatusPartialContent)
	resp, err := ep.host.do(ctx, c)
	if err != nil {
		return nil, err
	}
	d.note(ep.host, resp)
	switch {
	case resp.StatusCode != http.StatusPartialContent: // a registry without ranges sends it all
		return ep.skipping(d, resp, offset)
	case !isRest(resp.Header, offset) || d.isEncoded(resp, offset):
		_ = resp.Body.Close()
		return nil, &regerror.Error{Err: errNotTheRange}
	}
	return resp.Body, nil
}

// errNotTheRange is the error of an answer with another part of a blob.
var errNotTheRange = regerror.Malformed("the registry answered with another part of the blob than asked for")

func (ep repoEndpoint) download(d *Download) *call {
	return &call{method: http.MethodGet, rest: "blobs/" + d.digest, access: ep.access, kept: &d.slot, hasty: d.hasty, chosen: d.chosen, expect: []int{http.StatusOK}}
}

// isRest reports whether a partial answer is one range, from the offset to the end (RFC
// 9110, section 14.4). A multipart answer has no Content-Range of its own.
func isRest(h http.Header, offset int64) bool {
	unit, rest, _ := strings.Cut(strings.TrimSpace(h.Get("Content-Range")), " ")
	span, size, _ := strings.Cut(strings.TrimSpace(rest), "/")
	from, to, _ := strings.Cut(span, "-")
	first, err := strconv.ParseInt(from, 10, 64)
	if err != nil || first != offset || !strings.EqualFold(unit, "bytes") {
		return false
	}
	last, err := strconv.ParseInt(to, 10, 64)
	if err != nil || last < first {
		return false
	}
	return size == "*" || size == strconv.FormatInt(last+1, 10)
}

// A skippingBody leaves out the beginning of a body.
type skippingBody struct {
	io.ReadCloser
	skip int64 // bytes
}

func (b *skippingBody) Read(p []byte) (int, error) {
	if b.skip > 0 {
		n, err := io.CopyN(io.Discard, b.ReadCloser, b.skip)
		b.skip -= n
		if err != nil {
			return 0, err
		}
	}
	return b.ReadCloser.Read(p)
}
