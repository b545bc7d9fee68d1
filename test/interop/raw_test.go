package interop

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"imagemirror/internal/manifest"
	"imagemirror/internal/registrytest"
)

// A raw speaks plain HTTP to a registry. It changes no byte, and trusts no header.
type raw struct {
	host   string
	client *http.Client
}

// answer is what a registry answered.
type answer struct {
	status  int
	header  http.Header
	content []byte
}

func (r raw) send(ctx context.Context, method string, at *url.URL, body []byte, header, value string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, at.String(), bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set(header, value)
	resp, err := r.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, content}, err
}

func (r raw) url(format string, args ...any) *url.URL {
	return &url.URL{Scheme: "http", Host: r.host, Path: "/v2/" + fmt.Sprintf(format, args...)}
}

// manifest reads a manifest.
func (r raw) manifest(ctx context.Context, repo, ref string) (document, error) {
	a, err := r.send(ctx, http.MethodGet, r.url("%s/manifests/%s", repo, ref), nil, "Accept", manifest.Accept)
	if err != nil || a.status != http.StatusOK {
		return document{}, fmt.Errorf("GET manifest %s of %s: %d %s, %w", ref, repo, a.status, a.content, err)
	}
	return document{a.header.Get("Content-Type"), a.content}, nil
}

// blob reads a blob.
func (r raw) blob(ctx context.Context, repo, digest string) ([]byte, error) {
	a, err := r.send(ctx, http.MethodGet, r.url("%s/blobs/%s", repo, digest), nil, "Accept", "*/*")
	if err != nil || a.status != http.StatusOK {
		return nil, fmt.Errorf("GET blob %s of %s: %d %s, %w", digest, repo, a.status, a.content, err)
	}
	return a.content, nil
}

// upload uploads a blob.
func (r raw) upload(ctx context.Context, repo string, content document) error {
	a, err := r.send(ctx, http.MethodPost, r.url("%s/blobs/uploads/", repo), nil, "Accept", "*/*")
	if err != nil || a.status != http.StatusAccepted {
		return fmt.Errorf("POST upload to %s: %d %s, %w", repo, a.status, a.content, err)
	}
	at, err := r.url("").Parse(a.header.Get("Location"))
	if err != nil {
		return err
	}
	query := at.Query()
	query.Set("digest", content.digest())
	at.RawQuery = query.Encode()
	a, err = r.send(ctx, http.MethodPut, at, content.content, "Content-Type", "application/octet-stream")
	if err != nil || a.status != http.StatusCreated {
		return fmt.Errorf("PUT upload to %s: %d %s, %w", repo, a.status, a.content, err)
	}
	return nil
}

// put pushes a manifest. It reports whether the registry accepts it.
func (r raw) put(ctx context.Context, repo, ref string, d document) (bool, error) {
	a, err := r.send(ctx, http.MethodPut, r.url("%s/manifests/%s", repo, ref), d.content, "Content-Type", d.mediaType)
	return a.status == http.StatusCreated, err
}

// seed pushes a sample below a prefix. It reports whether the registry accepts it.
func (r raw) seed(ctx context.Context, prefix string, s sample) (bool, error) {
	repo := prefix + s.repo
	for _, b := range s.blobs {
		if err := r.upload(ctx, repo, b); err != nil {
			return false, err
		}
	}
	for i, m := range s.manifests {
		refs := []string{m.digest()}
		if i == len(s.manifests)-1 && !s.byDigest {
			refs = s.tags
		}
		for _, ref := range refs {
			if accepted, err := r.put(ctx, repo, ref, m); !accepted {
				return false, err
			}
		}
	}
	return true, nil
}

func newRaw(r *registrytest.Registry) raw {
	return raw{r.Host, &http.Client{Transport: &http.Transport{DisableCompression: true}}}
}
