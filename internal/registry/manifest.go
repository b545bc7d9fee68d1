package registry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"imagemirror/internal/digest"
	"imagemirror/internal/manifest"
	"imagemirror/internal/regerror"
	"imagemirror/internal/retry"
)

// Head asks what digest a tag or digest is at. An image that does not exist is an *regerror.Error with status 404.
func (r *Repository) Head(ctx context.Context, identifier string) (found string, err error) {
	for _, l := range r.locations {
		if found, err = l.head(ctx, identifier); err == nil {
			return found, nil
		}
	}
	return "", r.fail(err, "asking for "+identifier+" in")
}

func (l location) head(ctx context.Context, identifier string) (string, error) {
	resp, err := l.host.do(ctx, &call{
		method: http.MethodHead, rest: "manifests/" + identifier, access: l.access,
		header: http.Header{"Accept": {manifest.Accept}}, expect: []int{http.StatusOK},
	})
	if err != nil {
		return "", err
	}
	announced := resp.Header.Get("Docker-Content-Digest")
	_ = resp.Body.Close()
	if digest.Valid(announced) {
		return announced, nil
	}
	// Some registries' HEAD has no digest, or none that can be used: the content has to tell.
	m, err := l.manifest(ctx, identifier)
	return m.Digest, err
}

// Manifest reads a manifest by tag or digest.
func (r *Repository) Manifest(ctx context.Context, identifier string) (m manifest.Raw, err error) {
	for _, l := range r.locations {
		if m, err = l.manifest(ctx, identifier); err == nil {
			return m, nil
		}
	}
	return manifest.Raw{}, r.fail(err, "reading the manifest "+identifier+" in")
}

func (l location) manifest(ctx context.Context, identifier string) (m manifest.Raw, err error) {
	err = l.host.client.policy().Do(ctx, func(int) (wait time.Duration, err error) {
		m, wait, err = l.readManifest(ctx, identifier)
		return wait, err
	})
	return m, err
}

// readManifest reads a manifest once. Another try may help when its bytes came and were not what was announced, which
// a broken transfer explains; do has retried all else.
func (l location) readManifest(ctx context.Context, identifier string) (m manifest.Raw, wait time.Duration, err error) {
	resp, err := l.host.do(ctx, &call{
		method: http.MethodGet, rest: "manifests/" + identifier, access: l.access,
		header: http.Header{"Accept": {manifest.Accept}}, expect: []int{http.StatusOK},
	})
	if err != nil {
		return manifest.Raw{}, retry.Never, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, manifest.MaxSize+1))
	if err != nil {
		return manifest.Raw{}, 0, &regerror.Error{Err: regerror.Plain(ctx, err)}
	}
	if len(b) > manifest.MaxSize {
		return manifest.Raw{}, retry.Never, &regerror.Error{Err: regerror.Malformed("the manifest has more than %d bytes, which is more than registries have to take", manifest.MaxSize)}
	}
	m = manifest.Raw{Digest: digest.Of(b), MediaType: resp.Header.Get("Content-Type"), Content: b}
	announced := resp.Header.Get("Docker-Content-Digest")
	if digest.Valid(identifier) {
		announced = identifier
	}
	if digest.Valid(announced) && announced != m.Digest {
		return manifest.Raw{}, 0, &regerror.Error{Err: regerror.Malformed("the manifest was announced as %s, and what came is %s", announced, m.Digest)}
	}
	return m, 0, nil
}

// PutManifest stores a manifest under a tag, or under its digest. The registry's word that it has another digest is an
// error.
func (r *Repository) PutManifest(ctx context.Context, identifier string, m manifest.Raw) error {
	l := r.locations[0]
	resp, err := l.host.do(ctx, &call{
		method: http.MethodPut, rest: "manifests/" + identifier, access: l.access, body: m.Content,
		header: http.Header{"Content-Type": {m.MediaType}}, expect: []int{http.StatusCreated, http.StatusOK, http.StatusAccepted},
	})
	if err != nil {
		return r.fail(err, fmt.Sprintf("pushing the manifest %s to", identifier))
	}
	defer discard(resp)
	if got := resp.Header.Get("Docker-Content-Digest"); digest.Valid(got) && got != m.Digest {
		return r.fail(&regerror.Error{Err: regerror.Malformed("it stored %s as %s", m.Digest, got)}, fmt.Sprintf("pushing the manifest %s to", identifier))
	}
	return nil
}
