package progress

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"imagemirror/internal/waits"
)

// noticeable is how long something waits before that is shown: most waits are over before.
const noticeable = 2 * time.Second

// minHost is how many characters of a registry's name are shown, at least.
const minHost = 9

// A shownWait is one under way.
type shownWait struct {
	waits.Wait
	began time.Time
	sent  bool // all bytes of the blob were given to the registry
}

// noticeable reports whether a person should be told.
func (w shownWait) noticeable(now time.Time) bool {
	return now.Sub(w.began) >= noticeable || w.timed() && w.Limit >= noticeable
}

// timed reports whether a wait lasts as long as its limit says.
func (w shownWait) timed() bool { return w.Kind == waits.Pause || w.Kind == waits.Again }

// say tells in words what is waited for, and how long that may still take or has taken. The
// registry's name is cut so that all fits into width characters, if it can.
func (w shownWait) say(now time.Time, width int) string {
	passed := now.Sub(w.began)
	before, after := w.words(shortWait(passed), shortWait(max(w.Limit-passed, 0)))
	host := w.Host
	if room := width - len(before) - len(after); len(host) > room && room >= minHost {
		host = fitColumn(host, room)
	}
	return before + host + after
}

// words returns what stands before and after the registry's name.
func (w shownWait) words(passed, left string) (before, after string) {
	switch w.Kind {
	case waits.Bytes:
		return "no bytes from ", ", gives up in " + left
	case waits.Upload:
		if w.sent {
			return "sent, waiting " + passed + " for ", " to store it"
		}
		return "", " takes no bytes, gives up in " + left
	case waits.Slot:
		return "waiting " + passed + " for a slot of ", ""
	case waits.Pause:
		return "", " asked to wait, " + left + " left"
	case waits.Turn:
		return "waiting " + passed + " for MIRROR_RATE at ", ""
	case waits.Again:
		return "next attempt at ", " in " + left
	case waits.Token:
		return "no token of ", " yet, gives up in " + left
	case waits.First:
		return "waiting " + passed + " for another blob's upload to ", ""
	}
	return "no answer from ", ", gives up in " + left
}

// shortWait returns a duration in whole seconds, as 1m05s.
func shortWait(d time.Duration) string {
	d = d.Truncate(time.Second)
	if d < time.Minute {
		return d.String()
	}
	return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
}

// A stack has the waits of one transfer. What began last is what the transfer waits for: while
// an upload waits for the registry, the bytes of its body may be waited for.
type stack struct {
	mu      sync.Mutex
	under   []*shownWait
	changed time.Time // when a wait last began or ended
}

// Begin adds a wait.
func (s *stack) Begin(w waits.Wait) (end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	begun := &shownWait{Wait: w}
	s.under, s.changed = append(s.under, begun), time.Now()
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if i := slices.Index(s.under, begun); i >= 0 {
			s.under, s.changed = slices.Delete(s.under, i, i+1), time.Now()
		}
	}
}

// top returns what is waited for, since the last change, and whether there is anything.
func (s *stack) top() (shownWait, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.under) == 0 {
		return shownWait{}, false
	}
	w := *s.under[len(s.under)-1]
	w.began = s.changed
	return w, true
}

// A pool has the waits of requests that belong to no transfer.
type pool struct {
	mu    sync.Mutex
	under map[*shownWait]bool
}

// Begin adds a wait.
func (p *pool) Begin(w waits.Wait) (end func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	begun := &shownWait{Wait: w, began: time.Now()}
	if p.under == nil {
		p.under = map[*shownWait]bool{}
	}
	p.under[begun] = true
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.under, begun)
	}
}

// all returns the waits under way.
func (p *pool) all() []shownWait {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]shownWait, 0, len(p.under))
	for w := range p.under {
		all = append(all, *w)
	}
	return all
}

// A crowd is requests that wait for the same.
type crowd struct {
	shownWait // the one that began first
	requests  int
}

func (c crowd) say(now time.Time, width int) string {
	requests := " (1 request)"
	if c.requests > 1 {
		requests = fmt.Sprintf(" (%d requests)", c.requests)
	}
	return c.shownWait.say(now, width-len(requests)) + requests
}

// crowds groups the waits that a person should be told of by registry and kind, the largest group
// first. It leaves out requests that wait for a slot: others are under way, or wait too.
func crowds(all []shownWait, now time.Time) []crowd {
	type same struct {
		kind waits.Kind
		host string
		sent bool
	}
	by := map[same]crowd{}
	for _, w := range all {
		if w.Kind == waits.Slot || !w.noticeable(now) {
			continue
		}
		k := same{w.Kind, w.Host, w.sent}
		c := by[k]
		if c.requests == 0 || w.began.Before(c.began) {
			c.shownWait = w
		}
		c.requests++
		by[k] = c
	}
	var found []crowd
	for _, c := range by {
		found = append(found, c)
	}
	slices.SortFunc(found, func(a, b crowd) int {
		return cmp.Or(b.requests-a.requests, strings.Compare(a.Host, b.Host), cmp.Compare(a.Kind, b.Kind))
	})
	return found
}

// A blame counts how often each registry was being waited for.
type blame map[string]int

// sample counts waits. A slot, a turn and another upload are this program's own limits.
func (b blame) sample(all []shownWait) {
	for _, w := range all {
		switch w.Kind {
		case waits.Slot, waits.Turn, waits.First:
		default:
			b[w.Host]++
		}
	}
}

// slowest returns the registry that was waited for most, or "".
func (b blame) slowest() string {
	slowest := ""
	for host, n := range b {
		if most := b[slowest]; n > most || n == most && host < slowest {
			slowest = host
		}
	}
	return slowest
}
