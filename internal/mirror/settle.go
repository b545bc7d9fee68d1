package mirror

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"imagemirror/internal/fault"
	"imagemirror/internal/regerror"
	"imagemirror/internal/retry"
)

// Some registries store what they get in several places, and take a while to know everywhere what
// was sent to one of them: GHCR, Nexus and registries in front of S3 have answered
// MANIFEST_BLOB_UNKNOWN to a manifest right after they accepted its blobs
// (github.com/openshift/image-registry issue 220, github.com/moby/moby issue 36823).
const (
	settleTime  = 30 * time.Second // longest wait for what was sent to be known
	neverAtMost = 8                // manifests for which waiting was in vain before a registry is not waited for
)

// settlePolicy returns how a manifest is pushed again while what was sent is not known.
func settlePolicy() retry.Policy {
	return retry.Policy{Tries: math.MaxInt, First: 500 * time.Millisecond, Max: 5 * time.Second}
}

// A settling remembers whether a registry gets to know what was sent to it. If it never does,
// its images do not wait one after the other.
type settling struct {
	worked bool // a manifest was accepted after a wait
	never  int  // manifests that were not
}

func (s settling) hopeless() bool { return !s.worked && s.never >= neverAtMost }

// putManifest pushes a manifest under a tag or its digest. If the registry does not know yet
// what was sent to it, putManifest waits and pushes again.
func (e *engine) putManifest(m *wantedManifest, identifier string) error {
	began, waited := time.Now(), false
	p := settlePolicy()
	p.Host = m.repo.to.Registry()
	err := p.Do(e.work, func(n int) (time.Duration, error) {
		err := e.putOnce(m, identifier)
		if !e.mayKnowLater(m, err) || time.Since(began) >= min(settleTime, e.Client.Patience()) {
			return retry.Never, withTries(err, n)
		}
		waited = true
		return 0, withTries(err, n)
	})
	if waited {
		e.settled(m, err)
	}
	return e.explainForeign(m, e.explainSparse(m, err))
}

// settled notes what came of a wait.
func (e *engine) settled(m *wantedManifest, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := &m.repo.queue.settling
	s.worked = s.worked || err == nil
	if _, unknown := regerror.UnknownContent(err); unknown {
		s.never++
	}
}

// mayKnowLater reports whether err says that something is unknown which this run has sent.
func (e *engine) mayKnowLater(m *wantedManifest, err error) bool {
	digests, unknown := regerror.UnknownContent(err)
	e.mu.Lock()
	defer e.mu.Unlock()
	return unknown && !e.stopped && e.Client.Retries() > 1 && !m.repo.queue.settling.hopeless() &&
		(len(digests) == 0 && m.absent == 0 || slices.ContainsFunc(digests, m.repo.wantsLocked))
}

// wantsLocked reports whether a blob or a manifest is to be in the repository.
func (r *repo) wantsLocked(digest string) bool {
	for id := range r.blobs {
		if id.digest == digest {
			return true
		}
	}
	for id := range r.manifests {
		if id.digest == digest {
			return true
		}
	}
	return false
}

// explainForeign adds to an error that the registry wants a layer which was left out since it is
// not for redistribution.
func (e *engine) explainForeign(m *wantedManifest, err error) error {
	digests, unknown := regerror.UnknownContent(err)
	if !unknown || e.Foreign {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	var r *regerror.Error
	for _, d := range digests {
		if errors.As(err, &r) && r.Err == nil && !m.repo.wantsLocked(d) && bytes.Contains(e.content(m).Content, []byte(d)) {
			explained := *r
			explained.Err = foreignError{d}
			return &explained
		}
	}
	return err
}

// A foreignError is the cause of a push that a registry refuses without a foreign layer.
type foreignError struct{ digest string }

func (f foreignError) Error() string {
	return fmt.Sprintf("the layer %s is not for redistribution, and was left out", f.digest)
}

// Kind returns what kind of failure the error is the cause of.
func (foreignError) Kind() fault.Kind { return fault.Unsupported }

func (foreignError) Advice() string {
	return "set MIRROR_FOREIGN_LAYERS=true to push such layers too, if their license allows that"
}
