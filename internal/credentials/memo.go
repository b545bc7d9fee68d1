package credentials

import (
	"context"
	"sync"
	"time"
)

// freshFor is how long an answer of a helper or a cloud is kept. Google's metadata
// server may return tokens that expire in 5 minutes.
const freshFor = 4 * time.Minute

// A memo keeps answers that are slow to get. One caller asks while the others wait for
// the answer.
type memo[V any] struct {
	mu      sync.Mutex
	answers map[string]*memoEntry[V]
}

type memoEntry[V any] struct {
	turn  chan struct{} // holds a value while someone asks or reads
	value V
	err   error
	until time.Time
}

// do returns the answer for key, and calls ask if there is none. It keeps errors, too,
// unless ctx ended.
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
		a.value, a.err, a.until = value, err, time.Now().Add(freshFor)
	}
	return value, err
}

func (m *memo[V]) answer(key string) *memoEntry[V] {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.answers[key]
	if a == nil {
		if m.answers == nil {
			m.answers = map[string]*memoEntry[V]{}
		}
		a = &memoEntry[V]{turn: make(chan struct{}, 1)}
		m.answers[key] = a
	}
	return a
}
