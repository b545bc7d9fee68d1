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
	"time"

	"imagemirror/internal/regerror"
	"imagemirror/internal/retry"
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

	hasty   bool  // a repository that stalls is left for another, and asked again later
	doubted *host // that sent the last answer, if it may be encoded or not
	raw     bool  // it was read as if it were not
}

// NewDownload returns a download of a blob of size bytes that is in each of the
// repositories. Those on registries that stalled are asked last.
func NewDownload(digest string, size int64, from []*Repository) *Download {
	from = slices.Clone(from)
	slices.SortStableFunc(from, func(a, b *Repository) int { return int(a.stalls() - b.stalls()) })
	return &Download{from: from, at: from[0], digest: digest, size: size}
}

// stalls returns 1 if the registry that is asked first has stalled while it sent a blob, and
// otherwise 0.
func (r *Repository) stalls() int32 { return r.endpoints[0].host.stalled.Load() }

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
			if d.hasty && errors.Is(err, regerror.ErrStalled) {
				d.by.stalled.Store(1)
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

// openAt opens the blob in one repository.
func (d *Download) openAt(ctx context.Context, r *Repository, offset int64) (body io.ReadCloser, err error) {
	d.at, d.doubted = r, nil
	for _, ep := range r.endpoints {
		d.by = ep.host
		if body, err = ep.blob(ctx, d, offset); err == nil {
			return body, nil
		}
	}
	return nil, r.fail(err, "reading blob", d.digest)
}

// At returns the repository that was opened last.
func (d *Download) At() *Repository { return d.at }

// Stalled notes that the last transfer stalled: other repositories go first from now on,
// for this blob and for others.
func (d *Download) Stalled() {
	d.by.stalled.Store(1)
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
	switch {
	case err != nil:
		return nil, err
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
	return &call{method: http.MethodGet, rest: "blobs/" + d.digest, access: ep.access, kept: &d.slot, hasty: d.hasty, expect: []int{http.StatusOK}}
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

// An Upload is an upload session. One goroutine at a time may use it.
type Upload struct {
	r        *Repository
	ep       repoEndpoint
	at       *url.URL // of the next request; each answer may change it
	minChunk int64    // bytes
	reserved bool     // the slot for the next Put is held
}

// Reserve waits for the request slot that the next Put will use. To upload one blob to
// several registries, reserve in the order of Registry before the first Put: then no
// two uploads wait for each other.
func (u *Upload) Reserve(ctx context.Context) error {
	if err := u.ep.host.budget.Acquire(ctx); err != nil {
		return u.r.fail(err, "pushing a blob to", "")
	}
	u.reserved = true
	return nil
}

// Unreserve releases a reserved slot that was not used.
func (u *Upload) Unreserve() {
	if u.reserved {
		u.reserved = false
		u.ep.host.budget.Release()
	}
}

// Begin asks the registry to mount a blob from the repository with the path from on the
// same registry, unless that is empty. If the registry does not mount it, Begin opens
// an upload. A nil Upload without an error means that the blob is there.
func (r *Repository) Begin(ctx context.Context, digest, from string) (*Upload, error) {
	ep := r.endpoints[0]
	if from != "" && ep.host.auth.MaxScopes() == 1 {
		from = ep.access.Repository // a mount from elsewhere needs a token for two repositories
	}
	if from == "" || ep.host.mounts.refused(from, ep.access.Repository) {
		return r.begin(ctx, "", "")
	}
	up, err := r.begin(ctx, "mount="+url.QueryEscape(digest)+"&from="+url.QueryEscape(from), from)
	if !dispensable(ctx, err) {
		if err == nil {
			ep.host.mounts.kind(from, ep.access.Repository).worked()
		}
		return up, err
	}
	// Registries answer a mount that they cannot do with any status from 200 to 502,
	// instead of opening an upload.
	up, failed := r.begin(ctx, "", "")
	if failed == nil {
		ep.host.mounts.refuse(from, ep.access.Repository, err)
	}
	return up, failed
}

// begin opens an upload. The query may ask for a mount from a repository instead.
func (r *Repository) begin(ctx context.Context, query, from string) (*Upload, error) {
	ep := r.endpoints[0]
	a := ep.access
	a.MountFrom = from
	c := &call{
		method: http.MethodPost, rest: "blobs/uploads/", query: query, access: a, body: []byte{}, optional: query != "",
		expect: []int{http.StatusAccepted, http.StatusCreated},
	}
	if query == "" {
		c.expect = append(c.expect, http.StatusOK, http.StatusNoContent) // an upload if there is a Location
	}
	resp, err := ep.host.do(ctx, c)
	if err != nil {
		return nil, r.fail(err, regerror.OpeningUpload, "")
	}
	defer discard(resp)
	if resp.StatusCode == http.StatusCreated {
		if query == "" {
			return nil, r.fail(&regerror.Error{Err: regerror.Malformed("the registry answered 201 Created to an upload without content")}, regerror.OpeningUpload, "")
		}
		return nil, nil
	}
	up := &Upload{r: r, ep: ep}
	up.minChunk, _ = strconv.ParseInt(resp.Header.Get("OCI-Chunk-Min-Length"), 10, 64)
	if err := up.moveTo(resp); err != nil {
		return nil, r.fail(err, regerror.OpeningUpload, "")
	}
	return up, nil
}

// moveTo takes the address of the next request from the Location of an answer. It may
// be relative.
func (u *Upload) moveTo(resp *http.Response) error {
	from := resp.Request.URL // after redirects
	value := resp.Header.Get("Location")
	if value == "" {
		return &regerror.Error{Err: regerror.Malformed("the response has no Location for the upload")}
	}
	to, err := resolve(from, value)
	if err != nil || to.Scheme != "https" && to.Scheme != "http" {
		return &regerror.Error{Err: regerror.Malformed("the response has an invalid Location %s for the upload", shown(value))}
	}
	if to.Scheme == "https" && from.Scheme == "http" && strings.EqualFold(to.Host, from.Host) && to.Port() != "" {
		to.Scheme = from.Scheme // a port that has just answered plain HTTP
	}
	if to.Scheme == "http" && from.Scheme == "https" {
		itself := withPort(to.Host, to.Scheme) == withPort(from.Host, to.Scheme)
		if !itself && !u.ep.host.allowsPlainHTTP() {
			return &regerror.Error{Err: regerror.Malformed("the Location for the upload leads from https to plain http")}
		}
		// Registries behind a front server that terminates TLS are known to write http.
		to.Scheme = from.Scheme
		if itself {
			to.Host = from.Host
		}
	}
	u.at = to
	return nil
}

// call returns a call of the upload session, with a streamed body unless that is nil.
func (u *Upload) call(method string, body io.Reader, length int64, expect ...int) *call {
	c := &call{method: method, location: u.at, access: u.ep.access, expect: expect}
	if body != nil {
		c.stream, c.length = body, length
		c.header = http.Header{"Content-Type": {"application/octet-stream"}}
	}
	return c
}

// withDigest returns the address of the request that ends the upload.
func (u *Upload) withDigest(digest string) *url.URL {
	at := *u.at
	q := "digest=" + url.QueryEscape(digest)
	if at.RawQuery != "" {
		q = at.RawQuery + "&" + q
	}
	at.RawQuery = q
	return &at
}

// Put sends a whole blob, or the rest of it, in one request and ends the upload. It
// reads body once, or again after a redirect if it is a Rewinder. After an error the
// caller asks Offset how much arrived, or begins another upload.
func (u *Upload) Put(ctx context.Context, digest string, body io.Reader, length int64) error {
	c := u.call(http.MethodPut, body, length, ended...)
	c.location = u.withDigest(digest)
	c.reserved = &u.reserved
	return u.refused(u.finish(ctx, c, digest), length)
}

// PutBytes puts a blob that is in memory, with retries.
func (u *Upload) PutBytes(ctx context.Context, digest string, b []byte) error {
	c := u.call(http.MethodPut, nil, 0, ended...)
	c.location = u.withDigest(digest)
	c.body = b
	c.header = http.Header{"Content-Type": {"application/octet-stream"}}
	return u.refused(u.finish(ctx, c, digest), int64(len(b)))
}

// ended are the statuses of an upload's end. The distribution spec has 201 only.
var ended = []int{http.StatusCreated, http.StatusNoContent, http.StatusOK, http.StatusAccepted, http.StatusPartialContent}

// finish ends an upload. An answer other than 201 Created may mean something else than its
// end, and counts unless the registry lacks the blob then.
func (u *Upload) finish(ctx context.Context, c *call, digest string) error {
	resp, err := u.ep.host.do(ctx, c)
	if err != nil {
		return u.r.fail(err, pushingBlob, digest)
	}
	e := regerror.FromResponse(resp)
	discard(resp)
	if resp.StatusCode == http.StatusCreated || announced(resp.Header) == digest || !u.ep.lacks(ctx, digest) {
		return nil
	}
	e.Err = regerror.Malformed("the registry does not have the blob after that")
	return u.r.fail(e, pushingBlob, digest)
}

// pushingBlob is the Doing of an upload's errors.
const pushingBlob = "pushing blob"

// lacks reports whether the registry says that it does not have a blob. It waits for the
// blob as for a request that is tried again.
func (ep repoEndpoint) lacks(ctx context.Context, digest string) bool {
	err := ep.host.client.policy().Do(ctx, func(int) (time.Duration, error) {
		err := ep.headBlob(ctx, digest)
		if regerror.StatusOf(err) == http.StatusNotFound {
			return 0, err
		}
		return retry.Never, err
	})
	return regerror.StatusOf(err) == http.StatusNotFound
}

func (ep repoEndpoint) headBlob(ctx context.Context, digest string) error {
	resp, err := ep.host.do(ctx, &call{method: http.MethodHead, rest: "blobs/" + digest, access: ep.access, expect: []int{http.StatusOK}})
	if err == nil {
		discard(resp)
	}
	return err
}

// LacksBlob reports whether the registry says, asked once, that the repository does not have
// a blob.
func (r *Repository) LacksBlob(ctx context.Context, digest string) bool {
	return regerror.StatusOf(r.endpoints[0].headBlob(ctx, digest)) == http.StatusNotFound
}

// Patch sends the length bytes of a blob that begin at offset.
func (u *Upload) Patch(ctx context.Context, body io.Reader, offset, length int64) error {
	c := u.call(http.MethodPatch, body, length, http.StatusAccepted, http.StatusNoContent, http.StatusCreated, http.StatusOK)
	c.header.Set("Content-Range", fmt.Sprintf("%d-%d", offset, offset+length-1))
	resp, err := u.ep.host.do(ctx, c)
	if err != nil {
		return u.refused(u.r.fail(err, "pushing part of a blob to", ""), length)
	}
	defer discard(resp)
	if resp.Header.Get("Location") == "" {
		return nil // the upload stays where it is
	}
	if err := u.moveTo(resp); err != nil {
		return u.r.fail(err, "pushing part of a blob to", "")
	}
	return nil
}

// Offset asks how many bytes the registry has after an upload broke off.
func (u *Upload) Offset(ctx context.Context) (int64, error) {
	n, err := u.offset(ctx)
	switch status := regerror.StatusOf(err); {
	case err == nil:
		u.ep.host.chunks.offsets.worked()
	case status != 0 && status != http.StatusNotFound || regerror.IsMalformed(err):
		u.ep.host.chunks.offsets.refuse(err)
	}
	if err != nil {
		return 0, u.r.fail(err, "resuming an upload to", "")
	}
	return n, nil
}

func (u *Upload) offset(ctx context.Context) (int64, error) {
	resp, err := u.ep.host.do(ctx, u.call(http.MethodGet, nil, 0, http.StatusNoContent, http.StatusAccepted, http.StatusOK))
	if err != nil {
		return 0, err
	}
	defer discard(resp)
	if resp.Header.Get("Location") != "" {
		if err := u.moveTo(resp); err != nil {
			return 0, err
		}
	}
	first, last, ok := strings.Cut(strings.TrimPrefix(resp.Header.Get("Range"), "bytes="), "-")
	end, err := strconv.ParseUint(last, 10, 62)
	switch {
	case !ok || first != "0" || err != nil:
		return 0, &regerror.Error{Err: regerror.Malformed("the response has no valid Range for the upload")}
	case end == 0:
		return 0, nil // registries write "0-0" if nothing arrived
	}
	return int64(end) + 1, nil
}

// cancelPatience is how long a registry may take to drop an upload.
const cancelPatience = 5 * time.Second

// Cancel asks the registry to drop an upload that is given up. It ignores a refusal.
func (u *Upload) Cancel(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, cancelPatience)
	defer cancel()
	c := u.call(http.MethodDelete, nil, 0, http.StatusNoContent, http.StatusAccepted, http.StatusOK, http.StatusNotFound)
	c.optional = true
	if resp, err := u.ep.host.do(ctx, c); err == nil {
		discard(resp)
	}
}
