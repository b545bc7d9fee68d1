// Package waits tells whoever watches a context what the requests under it wait for, as
// net/http/httptrace does for connections. Without a watcher it costs a look-up in the context.
package waits

import (
	"context"
	"time"
)

// A Kind is a reason to wait.
type Kind int

// The kinds. A wait is for a registry, which Wait.Host names.
const (
	Answer Kind = iota // of the registry, to a request without a streamed body
	Bytes              // of a blob, from the registry
	Upload             // that the registry takes the bytes of a blob, and answers
	Slot               // a request slot
	Pause              // the end of the time for which the registry asked with Retry-After
	Turn               // the next request that MIRROR_RATE allows
	Again              // the next attempt at a request that failed
	Token              // a token for the registry
	First              // the first upload to a repository of the registry, which goes alone
)

// A Wait is one reason why something does not go on.
type Wait struct {
	Kind  Kind
	Host  string        // host or host:port
	Limit time.Duration // how long it takes at most; 0 if that is unknown
}

// A Watcher is told of waits. Many goroutines call Begin at once, and it must not block. It
// returns what to call when the wait is over.
type Watcher interface {
	Begin(Wait) (end func())
}

type key struct{}

// Watch returns a context whose waits w is told of, instead of the watcher of ctx.
func Watch(ctx context.Context, w Watcher) context.Context {
	return context.WithValue(ctx, key{}, w)
}

// Begin tells the watcher of ctx of a wait, and returns what to call when the wait is over.
func Begin(ctx context.Context, w Wait) (end func()) {
	if watcher, ok := ctx.Value(key{}).(Watcher); ok {
		return watcher.Begin(w)
	}
	return func() {}
}
