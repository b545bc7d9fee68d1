package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// Slots are shared fairly: a slow transfer may not keep others waiting without bound. A transfer is
// slow if it moved fewer than crowdedRate bytes per second, times the least rate of all, during its
// turn. If others wait for what it holds, it joins the slow lane, which has half of the slots. If
// that is full, the transfer yields: it is broken off, and begins again in the slow lane once there
// is room. There it yields to others of the lane, but its turns get longer and longer, so that it
// has time enough for whatever it moves. If nothing else is to do, the slow lane has all slots but
// one.
const (
	crowdedRate = 8
	turns       = 6 // in the time that a transfer may stand still
	longer      = 4 // times the turn before
)

// errYielded ends the requests of a transfer that yields, and errLate those of one that yields
// because its source was slow.
var (
	errYielded = errors.New("other images waited for the request slot")
	errLate    = fmt.Errorf("the source was slow, and %w", errYielded)
)

// A turn is the time in which a task transfers a blob.
type turn struct {
	ctx    context.Context // of its requests
	cancel context.CancelCauseFunc
	blob   *blob
	queue  *uploadQueue
	round  int  // how often the transfer yielded, or joined the slow lane; longer turns follow
	slow   bool // it is in the slow lane; needs the engine's lock, as what follows does

	yielded bool
	late    bool      // the source was slow
	since   time.Time // of the window that is judged
	before  progress  // when the window began

	from    atomic.Pointer[blobSource]
	feeding atomic.Pointer[io.PipeReader] // that takes in what was read, of several
	moved   atomic.Int64                  // bytes that were read
	waited  atomic.Int64                  // time that the source was waited for
	limited atomic.Int64                  // time that the bandwidth was waited for
	asked   atomic.Int64                  // when it was last asked, if it has not answered; Unix time in nanoseconds
}

// A progress is what a turn has done so far.
type progress struct {
	moved   int64
	waited  time.Duration // for the source
	limited time.Duration // for the bandwidth
}

// beginTurn begins a turn of a blob in a queue, in the slow lane unless round is 0.
func (e *engine) beginTurn(bl *blob, q *uploadQueue, round int) *turn {
	t := &turn{blob: bl, queue: q, round: round, slow: round > 0, since: time.Now()}
	t.ctx, t.cancel = context.WithCancelCause(e.work)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.turns[t] = true
	return t
}

// endTurnLocked ends a turn and reports whether it yielded.
func (e *engine) endTurnLocked(t *turn) (yielded bool) {
	t.cancel(nil)
	delete(e.turns, t)
	if t.slow {
		e.slow.leave(t.queue, t.blob.registry())
	}
	return t.yielded
}

// asks notes that the source is asked. The caller calls what it returns when it has answered.
func (t *turn) asks() (answered func()) {
	began := time.Now().UnixNano()
	t.asked.Store(began)
	return func() {
		t.asked.Store(0)
		t.waited.Add(time.Now().UnixNano() - began)
	}
}

// now returns what the turn has done so far.
func (t *turn) now(at time.Time) progress {
	p := progress{t.moved.Load(), time.Duration(t.waited.Load()), time.Duration(t.limited.Load())}
	if asked := t.asked.Load(); asked != 0 {
		p.waited += time.Duration(at.UnixNano() - asked)
	}
	return p
}

// isHungry reports whether the turn waits for a slot at its source.
func (t *turn) isHungry() bool {
	from := t.from.Load()
	return from != nil && t.asked.Load() != 0 && !from.from.Holds()
}

// turnTime returns how long a transfer may be slow while others wait, in a round.
func (e *engine) turnTime(round int) time.Duration {
	d := e.Client.Patience() / turns
	for range min(round, 8) {
		d *= longer
	}
	return d
}

// watchTurns judges the turns until ctx ends.
func (e *engine) watchTurns(ctx context.Context) {
	tick := time.NewTicker(e.turnTime(0) / 2)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			e.mu.Lock()
			e.judgeTurnsLocked(now)
			e.mu.Unlock()
		case <-ctx.Done():
			return
		}
	}
}

// judgeTurnsLocked looks for slow transfers that others wait for.
func (e *engine) judgeTurnsLocked(now time.Time) {
	hungry := map[string][]*turn{} // by the source's registry
	for t := range e.turns {
		if t.isHungry() {
			t.since = now
			hungry[t.blob.registry()] = append(hungry[t.blob.registry()], t)
		}
	}
	for t := range e.turns {
		if now.Sub(t.since) >= e.turnTime(t.round) {
			e.judgeLocked(t, now, hungry[t.blob.registry()])
		}
	}
}

// judgeLocked begins another window of a turn, and moves a transfer that was slow in the last one
// out of the way of the turns that are hungry for its source, and of what its queue has to do.
func (e *engine) judgeLocked(t *turn, now time.Time, hungry []*turn) {
	p, window := t.now(now), now.Sub(t.since)
	window -= p.limited - t.before.limited
	moved, waited := p.moved-t.before.moved, p.waited-t.before.waited
	t.before, t.since = p, now
	least := max(e.Client.LeastRate(), 1<<14) * crowdedRate
	if t.from.Load() == nil || p.moved == t.blob.size || moved >= int64(float64(least)*window.Seconds()) {
		return
	}
	if t.blob.sources[0].IsPaused() {
		return // all of its images wait
	}
	t.late = waited > window/2
	if t.slow {
		if e.slowWaitLocked(t.blob.registry(), t.queue) {
			e.yieldLocked(t)
		}
		return
	}
	if t.late {
		if len(hungry) > 0 || t.queue.hasNormalLocked() || t.isInTheWayLocked() {
			e.makeWayLocked(t)
		}
		return
	}
	if slowest := t.feeding.Load(); slowest != nil {
		_ = slowest.CloseWithError(errYielded) // it gets the blob on its own
		return
	}
	for _, other := range hungry {
		if other.queue != t.queue {
			e.makeWayLocked(t)
			return
		}
	}
}

// isInTheWayLocked reports whether requests wait for the slots of a destination of the turn.
func (t *turn) isInTheWayLocked() bool {
	at := t.blob.byRegistry[t.queue.registry]
	return at != nil && at.wanted[0].repo.to.IsCrowded()
}

// makeWayLocked moves a transfer to the slow lane, or breaks it off if that is full, or if another
// source may be faster.
func (e *engine) makeWayLocked(t *turn) {
	elsewhere := t.late && len(t.blob.sources) > 1
	if !elsewhere && e.slow.enter(t.queue, t.blob.registry(), e.slow.half()) {
		t.slow, t.round = true, 1
		return
	}
	e.yieldLocked(t)
}

// yieldLocked breaks a transfer off.
func (e *engine) yieldLocked(t *turn) {
	t.yielded = true
	if t.late {
		t.cancel(errLate)
	}
	t.cancel(errYielded)
}

// A slowLane bounds the slow transfers of each source, and of each queue.
type slowLane struct {
	slots    int            // of a registry
	bySource map[string]int // under way, by registry
	waiting  int
}

func newSlowLane(slots int) *slowLane { return &slowLane{slots: slots, bySource: map[string]int{}} }

// half returns the bound while others wait.
func (l *slowLane) half() int { return max(1, l.slots/2) }

// all returns the bound while nothing else is to do. One slot is left for what comes.
func (l *slowLane) all() int { return max(1, l.slots-1) }

// hasRoom reports whether another slow transfer would keep to the bound.
func (l *slowLane) hasRoom(q *uploadQueue, source string, most int) bool {
	return q.slow < most && l.bySource[source] < most
}

// enter counts another slow transfer if there is room for it, and reports whether there was.
func (l *slowLane) enter(q *uploadQueue, source string, most int) bool {
	if !l.hasRoom(q, source, most) {
		return false
	}
	q.slow++
	l.bySource[source]++
	return true
}

func (l *slowLane) leave(q *uploadQueue, source string) {
	q.slow--
	l.bySource[source]--
}
