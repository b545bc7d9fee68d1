package credentials

import (
	"context"
	"sync"
	"time"
)

// fresh is how long an answer of a helper or a cloud is kept. Google's metadata server hands out tokens that are good
// for as little as 5 minutes more.
const fresh = 4 * time.Minute

// memo keeps answers that are slow to get, and lets one caller ask while the others wait for the answer.
type memo[V any] struct {
	mu      sync.Mutex
	answers map[string]*answer[V]
}

type answer[V any] struct {
	turn  chan struct{} // holds a token while someone asks or reads
	value V
	err   error
	until time.Time
}

// do returns the answer for key, asking where there is none. Errors are kept too, unless it was ctx that ended.
func (m *memo[V]) do(ctx context.Context, key string, ask func() (V, error)) (V, error) {
	a := m.answer(key)
	select {
	case a.turn <- struct{}{}:
		defer func() { <-a.turn }()
	case <-ctx.Done():
		var none V
		return none, ctx.Err()
	}
	if time.Now().Before(a.until) {
		return a.value, a.err
	}
	value, err := ask()
	if ctx.Err() == nil {
		a.value, a.err, a.until = value, err, time.Now().Add(fresh)
	}
	return value, err
}

func (m *memo[V]) answer(key string) *answer[V] {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.answers[key]
	if a == nil {
		if m.answers == nil {
			m.answers = map[string]*answer[V]{}
		}
		a = &answer[V]{turn: make(chan struct{}, 1)}
		m.answers[key] = a
	}
	return a
}
