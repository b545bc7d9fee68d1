package registry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"imagemirror/internal/regerror"
	"imagemirror/internal/retry"
)

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
	to, err := resolveLocation(from, value)
	if err != nil || to.Scheme != "https" && to.Scheme != "http" {
		return &regerror.Error{Err: regerror.Malformed("the response has an invalid Location %s for the upload", shownAddress(value))}
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
	err := ep.host.policy().Do(ctx, func(int) (time.Duration, error) {
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
