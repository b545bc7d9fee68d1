package registry

import (
	"context"
	"errors"
	"net/http"

	"imagemirror/internal/regerror"
)

// Delete removes a tag or, by its digest, a manifest with all of its tags (OCI distribution spec,
// "Content Management"). What is not there is an error with status 404.
func (r *Repository) Delete(ctx context.Context, identifier string) error {
	ep := r.endpoints[0]
	access := ep.access
	access.Delete = true
	resp, err := ep.host.do(ctx, &call{
		method: http.MethodDelete, rest: "manifests/" + identifier, access: access,
		expect: []int{http.StatusAccepted, http.StatusOK, http.StatusNoContent},
	})
	if err != nil {
		return r.fail(err, "deleting", identifier)
	}
	discard(resp)
	return nil
}

// IsUndeletable reports whether an error of Delete means that the registry does not delete what it
// was asked to, whoever asks. GHCR and Docker Hub answer 405, and so does distribution unless
// storage.delete is enabled. Registries that delete by digest only answer 400 to a tag, with the
// code UNSUPPORTED, DIGEST_INVALID or INVALID_REQUEST.
func IsUndeletable(err error) bool {
	var e *regerror.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Status {
	case http.StatusMethodNotAllowed, http.StatusNotImplemented, http.StatusBadRequest:
		return true
	case http.StatusNotFound, http.StatusForbidden:
		return e.Code == "UNSUPPORTED"
	}
	return false
}
