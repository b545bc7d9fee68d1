package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"imagemirror/internal/digest"
	"imagemirror/internal/manifest"
	"imagemirror/internal/regerror"
	"imagemirror/internal/text"
)

// A meter is what a registry says of the pulls that it still allows. Docker Hub counts the GETs of
// manifests, and not their HEADs, and says in both what is left: "RateLimit-Remaining: 76;w=21600"
// (docs.docker.com/docker-hub/usage/pulls). A response may also say in RateLimit-Reset in how many
// seconds there are more (draft-polli-ratelimit-headers-05, sections 3.2 and 3.3).
type meter struct {
	learned sync.Once     // what is left was asked for
	turn    chan struct{} // held by the image whose manifests are pulled

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
	Needs         int       // pulls that the image needs yet, if that is known
	More          time.Time // when it allows more, at the latest; zero if that is not known
}

func (e *OutOfPullsError) Error() string {
	when := "a later run copies it"
	if !e.More.IsZero() {
		when = "it fits by " + e.More.UTC().Format("2006-01-02 15:04 UTC") + " at the latest"
	}
	needs := ""
	if e.Needs > 0 {
		needs = fmt.Sprintf(", and the image needs %d", e.Needs)
	}
	return fmt.Sprintf("%s allows %s, and the set keeps %d in reserve%s: %s", e.Host, text.Count(e.Left, "more pull"), e.Reserve, needs, when)
}

// read takes note of what an answer says. It allows fewer than are left only if others pull, too.
func (m *meter) read(resp *http.Response) {
	now := time.Now()
	left, window, known := remaining(resp.Header)
	more := moreIn(resp.Header, window, now)
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
		m.more = now.Add(more)
	}
}

// longestPause is what a registry may ask to wait without being out of pulls: see retry.After.
const longestPause = time.Minute

// maxMore bounds what is believed of the time until a registry allows more pulls.
const maxMore = 31 * 24 * time.Hour

// remaining returns how many pulls are left, and the window that they are counted in, if that is
// said. Of several limits the one that leaves least counts, and of those that leave as much the one
// with the longest window. Each is in a field or in a member of a list (RFC 9110, section 5.3).
func remaining(h http.Header) (left int, window time.Duration, known bool) {
	fields := strings.Join(h.Values("RateLimit-Remaining"), ",")
	for member := range strings.SplitSeq(fields, ",") {
		number, parameters, _ := strings.Cut(member, ";")
		f, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || f != f {
			continue
		}
		n := int(min(max(f, 0), 1<<31)) // a negative count means none
		w := windowOf(parameters)
		switch {
		case !known || n < left:
			left, window, known = n, w, true
		case n == left:
			window = max(window, w)
		}
	}
	return left, window, known
}

// windowOf returns the window that the parameters of a limit have, or 0.
func windowOf(parameters string) time.Duration {
	for p := range strings.SplitSeq(parameters, ";") {
		if w, ok := strings.CutPrefix(strings.TrimSpace(p), "w="); ok {
			return parseSeconds(w, time.Time{})
		}
	}
	return 0
}

// moreIn returns how long it takes at most until a registry allows more pulls, or 0.
func moreIn(h http.Header, window time.Duration, now time.Time) time.Duration {
	return cmp.Or(parseSeconds(h.Get("Retry-After"), now), parseSeconds(h.Get("RateLimit-Reset"), now), window)
}

// leastEpoch is the least number that is a time, in seconds since 1970, and no duration: some
// registries say until when to wait.
const leastEpoch = 1_000_000_000

// parseSeconds reads a duration in seconds, which may also be written as the time at which it ends
// if now is known. It returns 0 for anything else.
func parseSeconds(s string, now time.Time) time.Duration {
	s = strings.TrimSpace(s)
	var until time.Time
	n, err := strconv.ParseInt(s, 10, 64)
	switch at, err2 := http.ParseTime(s); {
	case err == nil && (n < leastEpoch || now.IsZero()):
		return min(time.Duration(min(max(n, 0), 1<<31))*time.Second, maxMore)
	case err == nil:
		until = time.Unix(n, 0)
	case err2 == nil && !now.IsZero():
		until = at
	default:
		return 0
	}
	return min(max(until.Sub(now), 0), maxMore)
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

// isKnown reports whether the registry says what it allows.
func (m *meter) isKnown() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.known
}

// check fails unless the registry allows n pulls besides those in reserve.
func (m *meter) check(n, reserve int) *OutOfPullsError {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n == 0 || !m.known || m.left-n >= reserve {
		return nil
	}
	return &OutOfPullsError{Left: max(m.left, 0), Reserve: reserve, Needs: n, More: m.more}
}

// KeepsReserve reports whether pulls are kept in reserve: see Reserve.
func (r *Repository) KeepsReserve() bool { return r.endpoints[0].reserve > 0 }

// BeginPulls waits until no other image is pulled from the registry, if that counts pulls and some
// are kept in reserve: of images that are pulled at once, each could take pulls that another one
// needs to be whole. identifier is what will be pulled first. The caller calls done at the end.
func (r *Repository) BeginPulls(ctx context.Context, identifier string) (done func()) {
	if !r.KeepsReserve() {
		return func() {}
	}
	ep := r.endpoints[0]
	m := &ep.host.budget.meter
	m.learned.Do(func() { _, _ = ep.askHead(ctx, identifier) })
	if !m.isKnown() {
		return func() {}
	}
	select {
	case m.turn <- struct{}{}:
		return func() { <-m.turn }
	case <-ctx.Done():
		return func() {}
	}
}

// AllowsPulls fails with an OutOfPullsError if the registry does not allow n more pulls besides
// those in reserve.
func (r *Repository) AllowsPulls(n int) error {
	ep := r.endpoints[0]
	if out := ep.host.budget.meter.check(n, ep.reserve); out != nil {
		out.Host = ep.host.endpoint.Registry
		return out
	}
	return nil
}

// Reserve keeps pulls of the registry in reserve for others: when only those are left, UseManifest
// fails with an OutOfPullsError. Call it before the repository is used.
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
		child: digest.Valid(identifier), // most images are read by their tags
	}
	if ep.reserve > 0 {
		return ep.pull(ctx, c, identifier)
	}
	return ep.host.do(ctx, c)
}

// pull asks for a manifest unless that takes what is in reserve. Before the first pull, a HEAD
// tells how many are left, and does not count as a pull.
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
