// Package fault has what is known about why a mapping failed: what kind of failure it is, whose
// fault, and what to do. Failures of one kind at one host have one cause, whatever their messages.
package fault

import (
	"slices"

	"imagemirror/internal/reference"
)

// A Kind is what went wrong. Kinds are part of the format of streams, reports and records, of
// alerts and of the runbook: none is renamed.
type Kind string

// The kinds. Title tells people.
const (
	// The host as a whole.
	Unavailable Kind = "unavailable" // no connection, no answer in time, cut connections, 5xx
	TLS         Kind = "tls"         // its certificate is not trusted, or it does not speak TLS
	Proxy       Kind = "proxy"       // the proxy on the way is down or refuses; Host is the proxy's
	Blocked     Kind = "blocked"     // registries.conf blocks it, or a firewall answers instead of it
	Throttled   Kind = "throttled"   // it asks for fewer requests: 429
	Credentials Kind = "credentials" // absent, wrong or expired: 401
	Denied      Kind = "denied"      // the credentials are good, and do not allow it: 403
	Quota       Kind = "quota"       // no room left, or not in this plan
	ReadOnly    Kind = "read-only"   // no pushes at all
	Answer      Kind = "invalid-answer"
	Deadline    Kind = "deadline" // it was not done by MIRROR_DEADLINE or MIRROR_COPY_DEADLINE

	// Images one by one.
	Missing     Kind = "missing"       // no such image, tag or repository
	Image       Kind = "invalid-image" // the source's content contradicts itself
	TooLarge    Kind = "too-large"     // the image or a part of it
	Unsupported Kind = "unsupported"   // the destination does not take images of this kind
	Policy      Kind = "policy"        // the destination does not take this image: unsigned, vulnerable
	Unverified  Kind = "unverified"    // it lacks a signature that is demanded
	TooNew      Kind = "too-new"       // it is younger than is demanded
	Immutable   Kind = "immutable"     // its tag may not move
	Moved       Kind = "moved"         // its tag is held, and something else moved it
	Rejected    Kind = "rejected"      // another 4xx
	Conflict    Kind = "conflict"      // two mappings have one tag, or a template makes none of a mapping's
	Private     Kind = "private"       // it is published, and strangers cannot pull it

	// The run.
	NoPlan       Kind = "no-plan"      // split made none, so that nothing was mirrored
	Disagreement Kind = "disagreement" // results contradict the plan
	Unfinished   Kind = "unfinished"   // no result, or interrupted
	Deferred     Kind = "deferred"     // images wait for pulls, and the settings do not allow that
	Internal     Kind = "internal"     // all else
)

// Kinds returns all kinds.
func Kinds() []Kind {
	return []Kind{
		Unavailable, TLS, Proxy, Blocked, Throttled, Credentials, Denied, Quota, ReadOnly, Answer, Deadline,
		Missing, Image, TooLarge, Unsupported, Policy, Unverified, TooNew, Immutable, Moved, Rejected, Conflict, Private,
		NoPlan, Disagreement, Unfinished, Deferred, Internal,
	}
}

// Parse returns the kind with a name, and Internal if there is none.
func Parse(name string) Kind {
	if k := Kind(name); slices.Contains(Kinds(), k) {
		return k
	}
	return Internal
}

// PerImage reports whether failures of the kind are about one image each, so that each has a
// message of its own to read. Those of other kinds say the same of a host or of the run.
func (k Kind) PerImage() bool {
	return slices.Contains([]Kind{Image, TooLarge, Unsupported, Policy, Unverified, TooNew, Immutable, Moved, Rejected, Conflict, Private, Disagreement, Internal}, k)
}

// Published reports whether the destination has the image in spite of a failure of the kind. After
// all others its tag is where it was.
func (k Kind) Published() bool { return k == Private }

// A Fault is what is known about why a mapping failed.
type Fault struct {
	Kind   Kind
	Side   reference.Side // at fault, or ""
	Host   string         // at fault: a registry, or a CDN, token service or proxy on the way; or ""
	Status int            // HTTP status that decided it, or 0
	Advice string         // what to do, one line
}

// New returns an error with a Fault.
func New(f Fault, message string) error { return &known{f, message} }

type known struct {
	fault   Fault
	message string
}

func (k *known) Error() string { return k.message }

// Fault returns what is known about the error.
func (k *known) Fault() Fault { return k.fault }

// Mark returns err as the cause of a failure of the kind.
func (k Kind) Mark(err error) error { return &marked{err, k} }

type marked struct {
	error
	kind Kind
}

func (m *marked) Unwrap() error { return m.error }

// Kind returns the kind of failure that the error is the cause of.
func (m *marked) Kind() Kind { return m.kind }
