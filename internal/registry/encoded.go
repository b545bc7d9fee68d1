package registry

import (
	"io"
	"net/http"

	"imagemirror/internal/coding"
	"imagemirror/internal/regerror"
)

// content returns the content of a blob from an answer that has all of it.
//
// Content-Encoding: gzip may mean two things: a front server encoded the blob, or a
// store took the gzip of a layer for an encoding. In the second case the body is the
// blob. The length tells them apart. Without a length the digest has to: the content is
// read in one way first, and in the other if its digest is wrong.
func (d *Download) content(h *host, resp *http.Response) (io.ReadCloser, error) {
	c, err := coding.Of(resp.Header)
	switch {
	case err == nil && c == coding.None, resp.ContentLength == d.size:
		return resp.Body, nil
	case err != nil:
		_ = resp.Body.Close()
		return nil, &regerror.Error{Err: err}
	case resp.ContentLength >= 0:
		return coding.NewReader(resp.Body), nil
	}
	if d.doubted, d.raw = h, h.plain.Load(); d.raw {
		return resp.Body, nil
	}
	return coding.NewReader(resp.Body), nil
}

// Recode makes the next Open read the blob in the other way, if it was in doubt whether
// the content was encoded. It reports whether it was. Call it for wrong content.
func (d *Download) Recode() bool {
	if d.doubted == nil {
		return false
	}
	d.doubted.plain.Store(!d.raw)
	return true
}

// isEncoded reports whether the answer to a request for a blob from an offset on is
// encoded, or part of something encoded. Then it is of no use.
func (d *Download) isEncoded(resp *http.Response, offset int64) bool {
	c, err := coding.Of(resp.Header)
	return (err != nil || c != coding.None) && resp.ContentLength != d.size-offset
}
