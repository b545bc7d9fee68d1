package plan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"imagemirror/internal/digest"
	"imagemirror/internal/registry"
	"imagemirror/internal/settings"
	"imagemirror/internal/stream"
	"imagemirror/internal/text"
)

// reservePulls tells the repositories of sources how many pulls their sets keep in reserve. The
// smallest reserve counts: a set without one may use all pulls.
func reservePulls(targets []*target) {
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
	window settings.LargeWindow
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

// settleRecorded settles a target without a request if its tag never moves, and earlier runs
// recorded lately that its destination is good.
func (t *target) settleRecorded(now time.Time) {
	if d := t.recorded; d != nil && t.mayBeUnasked() && t.isRecordedGood(now) {
		t.settled, t.fromRecord, t.digest, t.old = true, true, d.Digest, d.Digest
	}
}

// mayBeUnasked reports whether a record can stand for the answers of registries: the tag never
// moves, and nothing has to be looked at in each run, such as signatures that are made later.
func (t *target) mayBeUnasked() bool {
	looksEachTime := t.referrers.Copy == settings.CopyAlways || len(t.demands) > 0
	return !t.settled && t.err == nil && t.immutable && !looksEachTime
}

// isRecordedGood reports whether the record says that the destination has what the target needs,
// and is recent enough.
func (t *target) isRecordedGood(now time.Time) bool {
	d := t.recorded
	// While no mapping named the tag, somebody may have deleted it.
	good := d.Gone.IsZero() && d.FailingSince.IsZero() && digest.Valid(d.Digest) && !t.lacksPlatforms(d.Digest)
	same := d.Source == t.Source && (t.mayBeKept() || t.source.Digest == d.Digest)
	age := now.Sub(d.CheckedAt())
	return good && same && age >= 0 && age < cmp.Or(t.settings.Recheck, settings.DefaultRecheck)
}

// deferred returns the result of a target that is left for a later run.
func (t *target) deferred(allowed bool) stream.Result {
	return stream.Result{ID: t.ID, Status: stream.Deferred, Digest: t.digest, Old: t.old, Time: time.Now().UTC(), Note: t.err.Error(), Allowed: allowed}
}

// beginPulls waits until no other image is pulled, if the image's registry counts that: see
// registry.Repository.BeginPulls.
func (im *imageTree) beginPulls(ctx context.Context, identifier string) {
	if im.ended == nil {
		im.ended = im.from.BeginPulls(ctx, identifier)
	}
}

// endPulls ends what beginPulls began, if it did.
func (im *imageTree) endPulls() {
	if im.ended != nil {
		im.ended()
	}
}

// unread returns how many manifests the archive does not have.
func (im *imageTree) unread(digests []string) (n int) {
	for _, d := range digests {
		if _, _, ok := im.archive.Find(d); !ok {
			n++
		}
	}
	return n
}
