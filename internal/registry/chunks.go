package registry

import (
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"

	"imagemirror/internal/fault"
	"imagemirror/internal/regerror"
	"imagemirror/internal/text"
)

// Sizes of a request's body, in bytes, for registries that refuse larger ones.
const (
	largeChunk = 16 << 20 // is tried first: Azure's registry accepts about 20 MB in one PUT
	leastChunk = 1 << 20  // nginx accepts as much by default (client_max_body_size)
)

// chunks remembers in how many requests a registry accepts a blob.
type chunks struct {
	most    atomic.Int64 // bytes of one request; 0 while none was refused
	joining optional     // of several requests to one blob
	offsets optional     // GET of an upload: how much of it has arrived
}

// refuse notes a body that was refused for its size. It reports whether a smaller one
// may be accepted. least is the smallest chunk that the registry says it accepts, or 0.
func (c *chunks) refuse(size, least int64) (smaller bool) {
	least = max(least, leastChunk)
	if size <= least || c.joining.useless() {
		return false
	}
	next := max(min(largeChunk, size/2), least)
	for {
		most := c.most.Load()
		if most != 0 && most <= next || c.most.CompareAndSwap(most, next) {
			return true
		}
	}
}

// A TooLargeError is the cause of a request that was refused for the size of its body.
type TooLargeError struct {
	Size  int64 // bytes of the body
	Final bool  // a smaller chunk will not do
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the limit on a request's body seems to be below %s", text.Size(e.Size))
}

// Kind returns what kind of failure the error is the cause of.
func (e *TooLargeError) Kind() fault.Kind { return fault.TooLarge }

// Advice returns what a person can do about it.
func (e *TooLargeError) Advice() string {
	return "ask the registry's operators to raise that limit of their front server, such as client_max_body_size of nginx"
}

// sized returns err with a *TooLargeError as its cause if a request with a body of so
// many bytes was refused for its size. smaller reports whether a smaller one may do.
func sized(err error, size int64, smaller func() bool) error {
	var e *regerror.Error
	if !errors.As(err, &e) || e.Status != http.StatusRequestEntityTooLarge || size == 0 {
		return err
	}
	large := *e
	large.Err = &TooLargeError{Size: size, Final: !smaller()}
	return &large
}

// refused returns the error of a chunk of so many bytes.
func (u *Upload) refused(err error, size int64) error {
	return sized(err, size, func() bool { return u.ep.host.chunks.refuse(size, u.minChunk) })
}

// Chunk returns how many bytes to send in one request: as many as are wanted, unless the
// registry is known to refuse that, or to accept more at least.
func (u *Upload) Chunk(wanted int64) int64 {
	if most := u.ep.host.chunks.most.Load(); most != 0 && !u.ep.host.chunks.joining.useless() {
		wanted = min(wanted, most)
	}
	return max(wanted, u.minChunk)
}

// Resumes reports whether the registry may say how much of an upload that broke off has
// arrived, and take the rest in another request.
func (u *Upload) Resumes() bool {
	c := &u.ep.host.chunks
	return !c.joining.useless() && !c.offsets.useless()
}

// Joined notes how an upload in several requests ended. It reports whether the registry
// may accept the blob in one request instead: GitHub's keeps only what came last, and
// Google's refuses all but one request.
func (u *Upload) Joined(err error) (inOne bool) {
	switch c := &u.ep.host.chunks; {
	case err == nil:
		c.joining.worked()
	case c.most.Load() == 0 && refusesToJoin(err):
		c.joining.refuse(err)
		return true
	}
	return false
}

// refusesToJoin reports whether a registry may refuse an error's request because it is
// one of several. The statuses that are left out are about credentials, about an upload
// that is gone, and about the size.
func refusesToJoin(err error) bool {
	switch status := regerror.StatusOf(err); status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusRequestEntityTooLarge:
		return false
	case http.StatusNotImplemented:
		return true
	}
	return regerror.IsRefusal(err)
}
