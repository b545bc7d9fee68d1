package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"imagemirror/internal/manifest"
	"imagemirror/internal/regerror"
	"imagemirror/internal/text"
)

// A meter is what a registry says of the pulls that it still allows. Docker Hub counts the GETs of
// manifests, and not their HEADs, and says in both what is left: "RateLimit-Remaining: 76;w=21600"
// (docs.docker.com/docker-hub/usage/pulls). A response may also say in RateLimit-Reset in how many
// seconds there are more (draft-polli-ratelimit-headers-05, sections 3.2 and 3.3).
type meter struct {
	learned sync.Once // what is left was asked for

	mu    sync.Mutex
	known bool
	left  int       // less those that are being asked for
	more  time.Time // when there are more, at the latest; zero if that is not known
}

// An OutOfPullsError is the error of a manifest that was not asked for, since the registry allows
// no more pulls than are in reserve.
type OutOfPullsError struct {
	Host          string // the registry, by its own name
	Left, Reserve int
	More          time.Time // when it allows more, at the latest; zero if that is not known
}

func (e *OutOfPullsError) Error() string {
	when := "a later run copies it"
	if !e.More.IsZero() {
		when = "it fits by " + e.More.UTC().Format("2006-01-02 15:04 UTC") + " at the latest"
	}
	return fmt.Sprintf("%s allows %s, and the set keeps %d in reserve: %s", e.Host, text.Count(e.Left, "more pull"), e.Reserve, when)
}

// read takes note of what an answer says. It allows fewer than are left only if others pull, too.
func (m *meter) read(resp *http.Response) {
	remaining, parameters, _ := strings.Cut(resp.Header.Get("RateLimit-Remaining"), ";")
	left, err := strconv.Atoi(strings.TrimSpace(remaining))
	known, more := err == nil && left >= 0, moreIn(resp.Header, parameters)
	m.mu.Lock()
	defer m.mu.Unlock()
	refused := resp.StatusCode == http.StatusTooManyRequests
	switch {
	case known && m.known:
		m.left = min(m.left, left)
	case known:
		m.known, m.left = true, left
	case refused && more > longestPause:
		m.known, m.left = true, 0
	default:
		return
	}
	if m.more = (time.Time{}); more > 0 {
		m.more = time.Now().Add(more)
	}
}

// longestPause is what a registry may ask to wait without being out of pulls: see retry.After.
const longestPause = time.Minute

// maxMore bounds what is believed of the time until a registry allows more pulls.
const maxMore = 31 * 24 * time.Hour

// moreIn returns in which time a registry allows more pulls, at the latest, or 0.
func moreIn(h http.Header, parameters string) time.Duration {
	window := ""
	for p := range strings.SplitSeq(parameters, ";") {
		if w, ok := strings.CutPrefix(strings.TrimSpace(p), "w="); ok {
			window = w
		}
	}
	for _, seconds := range []string{h.Get("Retry-After"), h.Get("RateLimit-Reset"), window} {
		if n, err := strconv.Atoi(strings.TrimSpace(seconds)); err == nil && n > 0 {
			return min(time.Duration(min(n, 1<<31))*time.Second, maxMore)
		}
	}
	return 0
}

// take counts a pull that is about to be asked for, unless that leaves fewer than are in reserve.
func (m *meter) take(reserve int) *OutOfPullsError {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known && m.left <= reserve {
		return &OutOfPullsError{Left: max(m.left, 0), Reserve: reserve, More: m.more}
	}
	m.left--
	return nil
}

// isSpent reports whether the registry allows no more pulls.
func (m *meter) isSpent() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.known && m.left <= 0
}

// spent returns the error of a pull that was refused.
func (m *meter) spent(reserve int) *OutOfPullsError {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &OutOfPullsError{Reserve: reserve, More: m.more}
}

// Reserve has the repository leave so many pulls of its registry to others: UseManifest then fails
// with an OutOfPullsError. It is to be called before the repository is used.
func (r *Repository) Reserve(pulls int) {
	for i := range r.endpoints {
		r.endpoints[i].reserve = pulls
	}
}

// getManifest asks for a manifest, if the registry allows that. If it is optional, do tries once.
func (ep repoEndpoint) getManifest(ctx context.Context, identifier string, optional bool) (*http.Response, error) {
	c := &call{
		method: http.MethodGet, rest: "manifests/" + identifier, access: ep.access, optional: optional,
		header: http.Header{"Accept": {manifest.Accept}}, expect: []int{http.StatusOK},
	}
	if ep.reserve > 0 {
		return ep.pull(ctx, c, identifier)
	}
	return ep.host.do(ctx, c)
}

// pull asks for a manifest unless that takes what is in reserve. Before the first pull, a HEAD
// tells how many are left, which is none itself.
func (ep repoEndpoint) pull(ctx context.Context, c *call, identifier string) (*http.Response, error) {
	m := &ep.host.budget.meter
	m.learned.Do(func() { _, _ = ep.askHead(ctx, identifier) })
	if out := m.take(ep.reserve); out != nil {
		out.Host = ep.host.endpoint.Registry
		return nil, out
	}
	c.metered = true
	resp, err := ep.host.do(ctx, c)
	var refused *regerror.Error
	if errors.As(err, &refused) && refused.Throttled() {
		out := m.spent(ep.reserve)
		out.Host = ep.host.endpoint.Registry
		return nil, out
	}
	return resp, err
}
