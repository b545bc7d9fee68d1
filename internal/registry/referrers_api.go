package registry

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"

	"imagemirror/internal/regerror"
)

// A referrersAPI remembers what a registry makes of requests for referrers.
type referrersAPI struct {
	optional
	asked   sync.Once // by the first request
	missing sync.Map  // paths of repositories whose referrers it refused to list

	mu     sync.Mutex
	failed int   // lists in a row that it failed to send, in all tries
	err    error // of the last of these
}

// How many lists in a row a registry may fail to send before it is asked for no others: one that
// has not sent any, and one that has.
const (
	failedAtFirst = 2
	failedLater   = 8
)

// isMissing reports whether the registry, or a repository, is known to be without the API.
func (a *referrersAPI) isMissing(path string) bool {
	_, known := a.missing.Load(path)
	return known || a.useless()
}

// hopeless returns the last error if so many lists failed that no other is requested, or nil. After
// an error, it is not known whether there are referrers.
func (a *referrersAPI) hopeless() error {
	proven := a.isProven()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.failed >= failedLater || a.failed >= failedAtFirst && !proven {
		return a.err
	}
	return nil
}

// note notes the answer to a request about a repository. Registries without the API answer 404 by
// the specification, but also with other refusals, a redirect to a web site, or a page for people.
func (a *referrersAPI) note(ctx context.Context, path string, err error) {
	status := regerror.StatusOf(err)
	switch {
	case err == nil:
		a.worked()
		a.count(nil)
	case !dispensable(ctx, err) || errors.Is(err, errTooManyReferrers):
	case regerror.IsThrottling(err) || status/100 == 5 && status != http.StatusNotImplemented || status == 0 && !regerror.IsMalformed(err):
		a.count(err)
	case isOfRepository(err):
		if !a.isProven() {
			a.missing.Store(path, true)
		}
	default:
		a.refuse(err)
	}
}

// count counts a list that the registry failed to send. If err is nil, it resets the count.
func (a *referrersAPI) count(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err = err; err == nil {
		a.failed = 0
		return
	}
	a.failed++
}

// isOfRepository reports whether a refusal may be about one repository or its credentials. Then the
// registry may still list the referrers of other repositories.
func isOfRepository(err error) bool {
	switch regerror.StatusOf(err) {
	case http.StatusUnauthorized, http.StatusForbidden:
		return true
	}
	var e *regerror.Error
	return errors.As(err, &e) && slices.Contains([]string{"NAME_UNKNOWN", "MANIFEST_UNKNOWN"}, e.Code)
}
