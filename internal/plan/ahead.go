package plan

import (
	"slices"
	"sync"
)

// An ahead tells Options.Ready of copies while the rest of the plan is being made. A nil ahead
// tells nothing.
//
// It does so only if the copies cannot change what those before them do: nothing is at their
// destinations, which are on one registry, and the tokens to push with are announced. Then the
// first image that needs a blob brings it, in any case.
type ahead struct {
	*resolver

	mu      sync.Mutex // guards noted, copied, checked and refused of the targets, too
	targets []*target
	next    int
	open    bool
}

// newAhead returns an ahead for all targets of a plan.
func (r *resolver) newAhead(targets []*target) *ahead {
	for _, t := range targets {
		t.noted = t.settled
	}
	return &ahead{resolver: r, targets: targets}
}

// note notes whether targets are copied. Only the first call for each counts.
func (a *ahead) note(copied bool, targets ...*target) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range targets {
		if !t.noted {
			t.noted, t.copied = true, copied
		}
	}
	a.tellLocked()
}

// check notes whether the destination of targets accepts pushes. refused is the reason if it does
// not, or nil.
func (a *ahead) check(refused error, targets []*target) {
	if a != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		defer a.tellLocked()
	}
	for _, t := range targets {
		t.checked, t.refused = true, refused
	}
}

// begin starts telling. By then, all destinations have answered and pushes to them are announced.
func (a *ahead) begin() {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open = a.independentLocked()
	a.tellLocked()
}

// independentLocked reports whether what is copied for a target cannot depend on others.
func (a *ahead) independentLocked() bool {
	at := ""
	for _, t := range a.targets {
		switch {
		case t.old != "":
			return false
		case t.noted && !t.copied:
			continue
		case at != "" && at != t.to.Registry():
			return false
		}
		at = t.to.Registry()
		if slices.Contains(t.from.Registries(), at) || t.copying && !t.to.PushesAtOnce() {
			return false
		}
	}
	return true
}

// tellLocked tells of all copies up to the first target that is not decided yet.
func (a *ahead) tellLocked() {
	for a.open && a.next < len(a.targets) {
		t := a.targets[a.next]
		if !t.noted || t.copied && !t.checked {
			return
		}
		a.next++
		if t.copied && t.refused == nil {
			a.open = a.Ready(t.destination, a.blobs(t))
		}
	}
}

// blobs returns the digests of the blobs of a target's image that are copied.
func (a *ahead) blobs(t *target) (digests []string) {
	archive := a.trees.archive
	for _, m := range t.tree(archive) {
		for _, b := range archive.Blobs(m) {
			if a.Foreign || !b.Foreign {
				digests = append(digests, archive.Digest(b.Ref))
			}
		}
	}
	return digests
}
