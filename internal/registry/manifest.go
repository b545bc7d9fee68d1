package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"imagemirror/internal/digest"
	"imagemirror/internal/manifest"
	"imagemirror/internal/reference"
	"imagemirror/internal/regerror"
	"imagemirror/internal/retry"
)

// Head returns the digest that a tag or digest is at. An image that does not exist is a
// *regerror.Error with status 404.
func (r *Repository) Head(ctx context.Context, identifier string) (found string, err error) {
	d, err := r.Describe(ctx, identifier)
	return d.Digest, err
}

// Describe does what Head does, and returns the media type too, as the registry gives it.
func (r *Repository) Describe(ctx context.Context, identifier string) (found manifest.Descriptor, err error) {
	for _, ep := range r.endpoints {
		if found, err = ep.head(ctx, identifier); err == nil {
			return found, nil
		}
	}
	return manifest.Descriptor{}, r.fail(err, "checking", identifier)
}

// head asks with HEAD and, if the answer does not tell, with GET.
func (ep repoEndpoint) head(ctx context.Context, identifier string) (manifest.Descriptor, error) {
	if ep.host.heads.useless() {
		m, err := ep.manifest(ctx, identifier)
		return described(m), err
	}
	found, err := ep.askHead(ctx, identifier)
	if err == nil && found.Digest != "" {
		ep.host.heads.worked()
		return found, nil
	}
	if err != nil && (ep.headSuffices(err) || !dispensable(ctx, err)) {
		return found, err
	}
	m, failed := ep.manifest(ctx, identifier)
	switch status := regerror.StatusOf(failed); {
	case err == nil: // HEAD found it, and did not say the digest
	case regerror.StatusOf(err) == http.StatusNotFound:
		if failed == nil {
			ep.host.heads.doubt() // the image may be new
		}
	case failed == nil || status == http.StatusNotFound:
		ep.host.heads.refuse(err)
	case status == 0 && regerror.StatusOf(err) != 0:
		return found, err
	}
	return described(m), failed
}

func described(m manifest.Raw) manifest.Descriptor {
	return manifest.Descriptor{MediaType: m.MediaType, Digest: m.Digest}
}

// askHead returns what a HEAD is answered with. Some registries answer without a digest,
// with a malformed one, or with another than was asked for: then it is empty, and the
// content has to tell.
func (ep repoEndpoint) askHead(ctx context.Context, identifier string) (found manifest.Descriptor, err error) {
	resp, err := ep.host.do(ctx, ep.headCall(identifier))
	if err != nil {
		return found, err
	}
	_ = resp.Body.Close()
	found.Digest, found.MediaType = resp.Header.Get("Docker-Content-Digest"), resp.Header.Get("Content-Type")
	if !digest.Valid(found.Digest) || digest.Valid(identifier) && found.Digest != identifier {
		return manifest.Descriptor{}, nil
	}
	return found, nil
}

// announced returns the digest in an answer's Docker-Content-Digest, to compare content
// with, or "" if there is none of sha256. Capitals and quotes do not matter.
func announced(h http.Header) string {
	d := strings.ToLower(strings.Trim(h.Get("Docker-Content-Digest"), ` "'`))
	if !digest.Valid(d) {
		return ""
	}
	return d
}

// headSuffices reports whether a HEAD was refused in a way that GET does not explain: by
// the token service, for an image that does not exist, or for a destination that may not
// be read. Any other answer has no body that says why, or is about HEAD itself: Nexus has
// answered 405, and front servers 403, or a 404 that is not labeled as JSON.
func (ep repoEndpoint) headSuffices(err error) bool {
	var e *regerror.Error
	if !errors.As(err, &e) {
		return false
	}
	atDestination := ep.access.Side == reference.Destination
	switch e.Status {
	case http.StatusNotFound:
		return atDestination || e.JSON
	case http.StatusUnauthorized:
		return atDestination || e.Doing == regerror.GettingToken
	}
	return e.Doing == regerror.GettingToken
}

// headCall returns the call that asks for a manifest's digest.
func (ep repoEndpoint) headCall(identifier string) *call {
	return &call{
		method: http.MethodHead, rest: "manifests/" + identifier, access: ep.access, optional: true,
		header: http.Header{"Accept": {manifest.Accept}}, expect: []int{http.StatusOK},
	}
}

// Manifest reads a manifest by tag or digest, and checks that its content has the digest.
func (r *Repository) Manifest(ctx context.Context, identifier string) (m manifest.Raw, err error) {
	err = r.UseManifest(ctx, identifier, func(got manifest.Raw) { m = got })
	return m, err
}

// UseManifest reads a manifest as Manifest does, and calls use with it, once. Only a few large
// manifests of a registry are in memory until their use returns.
func (r *Repository) UseManifest(ctx context.Context, identifier string, use func(manifest.Raw)) (err error) {
	for _, ep := range r.endpoints {
		if err = ep.useManifest(ctx, identifier, use); err == nil {
			return nil
		}
	}
	if out := new(OutOfPullsError); errors.As(err, &out) {
		return out
	}
	return r.fail(err, "reading manifest", identifier)
}

// BadManifest returns the error of a manifest in the repository whose content is at fault.
func (r *Repository) BadManifest(digest string, err error) error {
	return r.fail(err, "reading manifest", digest)
}

func (ep repoEndpoint) manifest(ctx context.Context, identifier string) (m manifest.Raw, err error) {
	err = ep.useManifest(ctx, identifier, func(got manifest.Raw) { m = got })
	return m, err
}

func (ep repoEndpoint) useManifest(ctx context.Context, identifier string, use func(manifest.Raw)) error {
	return ep.host.policy().Do(ctx, func(n int) (wait time.Duration, err error) {
		m, release, wait, err := ep.readManifest(ctx, identifier, false)
		defer release()
		if err == nil {
			use(m)
		}
		if errors.Is(err, errNotJSON) && n >= cutTries || regerror.IsSlow(err) && n >= SlowTries {
			wait = retry.Never
		}
		return wait, err
	})
}

// A manifest of more than smallManifest bytes is large. largeManifests of a registry are in memory
// at once: more would only wait for the processor.
const (
	smallManifest  = 256 << 10
	largeManifests = 2
)

// readContent reads a manifest of at most manifest.MaxSize bytes, or a byte more. The caller
// releases it when it is used. It is read into a buffer that others have used: to grow one for each
// manifest makes three times as much garbage.
func (h *host) readContent(ctx context.Context, body io.Reader) (content []byte, release func(), err error) {
	release = func() {}
	small, ok := h.buffers.Get().(*bytes.Buffer)
	if !ok {
		small = new(bytes.Buffer)
	}
	defer h.buffers.Put(small)
	small.Reset()
	if _, err = small.ReadFrom(io.LimitReader(body, smallManifest+1)); err != nil || small.Len() <= smallManifest {
		return bytes.Clone(small.Bytes()), release, err
	}
	select {
	case h.large <- struct{}{}:
		release = func() { <-h.large }
	case <-ctx.Done():
		return nil, release, ctx.Err()
	}
	all := bytes.NewBuffer(make([]byte, 0, manifest.MaxSize+bytes.MinRead+1))
	all.Write(small.Bytes())
	_, err = all.ReadFrom(io.LimitReader(body, int64(manifest.MaxSize+1-all.Len())))
	return all.Bytes(), release, err
}

// readManifest reads a manifest once. Another try may help if the transfer broke off or
// its content has another digest than announced. Everything else has been retried by
// do, unless the request is optional. The caller calls release when it has used the manifest.
func (ep repoEndpoint) readManifest(ctx context.Context, identifier string, optional bool) (m manifest.Raw, release func(), wait time.Duration, err error) {
	resp, err := ep.getManifest(ctx, identifier, optional)
	if err != nil {
		return manifest.Raw{}, func() {}, retry.Never, err
	}
	defer resp.Body.Close()
	b, release, err := ep.host.readContent(ctx, resp.Body)
	if err != nil {
		return manifest.Raw{}, release, 0, &regerror.Error{Err: regerror.Plain(ctx, err)}
	}
	if len(b) > manifest.MaxSize {
		return manifest.Raw{}, release, retry.Never, &regerror.Error{Err: regerror.Malformed("the manifest exceeds %d bytes, the most that registries must accept", manifest.MaxSize)}
	}
	m = manifest.Raw{Digest: digest.Of(b), MediaType: resp.Header.Get("Content-Type"), Content: b}
	if m.Digest == identifier { // whatever it is, it was asked for
		return m, release, 0, nil
	}
	if e := statedError(resp, b); e != nil {
		return manifest.Raw{}, release, 0, e
	}
	want := announced(resp.Header)
	if digest.Valid(identifier) {
		want = identifier
	}
	if want != "" && want != m.Digest {
		// The digest of a signed manifest in schema 1 is that of its payload.
		if _, err := manifest.Parse(m.MediaType, b); errors.Is(err, manifest.ErrSchema1) {
			return manifest.Raw{}, release, retry.Never, &regerror.Error{Err: err}
		}
		return manifest.Raw{}, release, 0, &regerror.Error{Err: regerror.Malformed("the manifest was announced as %s, but its content is %s", want, m.Digest)}
	}
	if want == "" && !json.Valid(b) {
		return manifest.Raw{}, release, 0, &regerror.Error{Err: regerror.Malformed("%w", errNotJSON)}
	}
	return m, release, 0, nil
}

// statedError returns the error that came with a status of success instead of a manifest, or
// nil.
func statedError(resp *http.Response, b []byte) *regerror.Error {
	var answer struct {
		Errors        []json.RawMessage `json:"errors"`
		SchemaVersion json.RawMessage   `json:"schemaVersion"`
		MediaType     json.RawMessage   `json:"mediaType"`
	}
	if json.Unmarshal(b, &answer) != nil || len(answer.Errors) == 0 || answer.SchemaVersion != nil || answer.MediaType != nil {
		return nil
	}
	e := regerror.FromResponse(&http.Response{StatusCode: resp.StatusCode, Body: io.NopCloser(bytes.NewReader(b))})
	e.Err = regerror.Malformed("the registry sent an error instead of the manifest")
	return e
}

// errNotJSON means that a manifest came without a digest and is not JSON. A registry that
// speaks HTTP/1.0 does not tell how long its answers are, and they may be cut.
var errNotJSON = errors.New("the manifest is not JSON: the answer may be cut")

// cutTries is how often a manifest is read that is not JSON, and has no digest.
const cutTries = 3

// SlowTries is how often a body is read that comes too slowly: each time takes as long as
// a stall.
const SlowTries = 3

// PutManifest stores a manifest under a tag or its digest. It fails if the registry
// answers that it stored another digest. An answer other than 201 Created counts only if
// the registry has the manifest then: errors have come with 200.
func (r *Repository) PutManifest(ctx context.Context, identifier string, m manifest.Raw) error {
	ep := r.endpoints[0]
	resp, err := ep.host.do(ctx, &call{
		method: http.MethodPut, rest: "manifests/" + identifier, access: ep.access, body: m.Content,
		header: http.Header{"Content-Type": {m.MediaType}}, expect: []int{http.StatusCreated, http.StatusOK, http.StatusAccepted},
	})
	if err != nil {
		return sized(r.fail(err, regerror.PushingManifest, identifier), int64(len(m.Content)), func() bool { return false })
	}
	if resp.Header.Get("OCI-Subject") != "" {
		ep.host.lists.Store(true)
	}
	got := announced(resp.Header)
	e := regerror.FromResponse(resp)
	discard(resp)
	switch {
	case got != "" && got != m.Digest:
		e = &regerror.Error{Err: regerror.Malformed("the registry stored %s as %s", m.Digest, got)}
	case got != "" || resp.StatusCode == http.StatusCreated:
		return nil
	default:
		if !ep.lacksManifest(ctx, identifier, m.Digest) {
			return nil
		}
		e.Err = regerror.Malformed("the registry does not have the manifest after that")
	}
	return r.fail(e, regerror.PushingManifest, identifier)
}

// lacksManifest reports whether a tag or digest is not at the manifest with the given
// digest. It waits for it as for a request that is tried again.
func (ep repoEndpoint) lacksManifest(ctx context.Context, identifier, digest string) bool {
	err := ep.host.policy().Do(ctx, func(int) (wait time.Duration, err error) {
		at, err := ep.head(ctx, identifier)
		if err == nil && at.Digest != digest || regerror.StatusOf(err) == http.StatusNotFound {
			return 0, errLacks
		}
		return retry.Never, err
	})
	return errors.Is(err, errLacks)
}

// errLacks means that a registry does not have what it accepted.
var errLacks = errors.New("not there")
