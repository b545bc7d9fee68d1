package plan

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"imagemirror/internal/digest"
	"imagemirror/internal/registry"
	"imagemirror/internal/settings"
	"imagemirror/internal/stream"
	"imagemirror/internal/text"
)

// reserve has the repositories of sources leave to others the pulls that sets keep in reserve. A
// repository that a set without a reserve needs, too, is pulled from as if there were none.
func reserve(targets []*target) {
	least := map[*registry.Repository]int{}
	for _, t := range targets {
		if t.settled || t.from == nil {
			continue
		}
		pulls, seen := least[t.from]
		if mine := t.settings.Reserve; !seen || mine < pulls {
			least[t.from] = mine
		}
	}
	for from, pulls := range least {
		from.Reserve(pulls)
	}
}

// A closedError is the error of an image that waits for the window of its set.
type closedError struct {
	bytes  int64
	window settings.Window
	now    time.Time
}

func (e *closedError) Error() string {
	begins := e.window.Hours.Next(e.now)
	return fmt.Sprintf("an image of %s waits for the window %s, which begins in %s",
		text.Size(e.bytes), e.window.Hours, text.Duration(begins.Sub(e.now).Round(time.Minute)))
}

// closed returns the error of a target whose image has to wait for the window of its set, or nil.
func (t *target) closed(im *imageTree) error {
	w, now := t.settings.Window, time.Now()
	if t.err != nil || w.Hours.Contains(now) {
		return nil
	}
	var bytes int64
	for _, ref := range im.archive.Tree(t.digest) {
		_, claimed := im.archive.Weigh(ref)
		bytes += claimed
	}
	w.Above = cmp.Or(w.Above, settings.DefaultWindowAbove)
	if !w.Waits(bytes, now) {
		return nil
	}
	return &closedError{bytes, w, now}
}

// isDeferred reports whether a target is left for a later run because of err, and whether the
// settings of its set allow that.
func (t *target) isDeferred(err error) (yes, allowed bool) {
	if out := new(registry.OutOfPullsError); errors.As(err, &out) {
		return true, t.settings.AllowDeferred
	}
	closed := new(closedError)
	yes = errors.As(err, &closed)
	return yes, yes
}

// settleRecorded settles a target without a request if it is a tag that never moves, and earlier
// runs have recorded lately that its destination is good. What has to be looked at each time, such
// as signatures that are made later, is a reason to ask.
func (t *target) settleRecorded(now time.Time) {
	d := t.recorded
	if d == nil || t.settled || t.err != nil || !t.immutable || t.referrers.Copy == settings.CopyAlways || len(t.demands) > 0 || !d.FailingSince.IsZero() || t.lacksPlatforms(d.Digest) || !digest.Valid(d.Digest) {
		return
	}
	same := t.mayBeKept() || t.source.Digest == d.Digest
	age := now.Sub(d.CheckedAt())
	if same && d.Source == t.Source && age >= 0 && age < cmp.Or(t.settings.Recheck, settings.DefaultRecheck) {
		t.settled, t.fromRecord, t.digest, t.old = true, true, d.Digest, d.Digest
	}
}

// deferred returns the result of a target that is left for a later run.
func (t *target) deferred(allowed bool) stream.Result {
	return stream.Result{ID: t.ID, Status: stream.Deferred, Digest: t.digest, Old: t.old, Time: time.Now().UTC(), Note: t.err.Error(), Allowed: allowed}
}
