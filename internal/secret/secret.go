// Package secret knows the credentials that the process uses, and hides them in text that leaves
// it. Servers echo what they are sent: headers, queries and bodies, whole or in part, in JSON,
// HTML or URLs.
//
// What is known belongs to the process and is never handed around: a package that loads or gets
// a credential adds it, and one that makes text of what came from outside hides it there, before
// the text is cut. The writers at the edges hide it once more.
package secret

import (
	"encoding/base64"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// mask stands where a secret was. It needs no escape in JSON, HTML, URLs and shells.
const mask = "***"

const (
	// window is the length of the shortest form that is hidden, in bytes. A shorter password is
	// hidden in its base64, and beside its user's name: alone it may be part of any word.
	window = 6
	// maxForm bounds what is kept of a form. What follows it in a text is hidden too, as far as
	// it may belong to it.
	maxForm = 512
	// telling is how many bytes of a longer form give it away: a server may cut what it echoes.
	telling = 12
	// maxPassing bounds the forms of tokens, of which each has three.
	maxPassing = 3 * 4096
	// linger is how long a token is hidden after it has expired.
	linger = 10 * time.Minute
)

// known are the secrets of the process.
var known set

// Add makes a user's password, or what is sent in its place, known for good.
func Add(user, password string) { known.add(user, password) }

// AddToken makes a bearer token known. It is forgotten some time after its lifetime.
func AddToken(token string, lifetime time.Duration) {
	known.addToken(token, time.Now().Add(lifetime+linger))
}

// Hide returns s without the secrets of the process, in all forms in which servers echo them.
func Hide(s string) string { return known.hide(s) }

// NewWriter returns a writer that hides secrets. Give it whole lines.
func NewWriter(w io.Writer) io.Writer { return writer{w} }

type writer struct{ to io.Writer }

func (w writer) Write(p []byte) (int, error) {
	if _, err := io.WriteString(w.to, Hide(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// A form is one way in which a secret is written.
type form struct {
	text  string
	cut   bool      // only the beginning is kept
	until time.Time // when it is forgotten; zero is never
}

// A key is how a form begins.
type key [window]byte

// A set is any number of secrets. It is safe for concurrent use.
type set struct {
	mu      sync.RWMutex
	all     map[string]*form // by text
	by      map[key][]*form
	starts  [1 << 16 / 64]uint64 // a bit for each hash of the first bytes of a key
	passing []*form              // those with an end, in the order in which they came
}

func (s *set) add(user, password string) {
	if password == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(password, time.Time{})
	s.put(strings.Join(strings.Fields(password), " "), time.Time{}) // as part of one line
	pair := user + ":" + password
	s.putEncoded(pair, time.Time{})
	if len(password) < window {
		s.putRaw(pair, time.Time{})
	}
}

func (s *set) addToken(token string, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(token, until)
	if len(s.passing) > maxPassing {
		s.forget(time.Now())
	}
}

// put adds a secret as it is and in base64. The lock is held.
func (s *set) put(secret string, until time.Time) {
	s.putRaw(secret, until)
	s.putEncoded(secret, until)
}

// putEncoded adds the base64 of a secret in both alphabets. Padding that follows it is hidden
// with it.
func (s *set) putEncoded(secret string, until time.Time) {
	if most := maxForm / 4 * 3; len(secret) > most {
		secret = secret[:most+3] // one group more, so that the form counts as cut
	}
	s.putRaw(base64.RawStdEncoding.EncodeToString([]byte(secret)), until)
	s.putRaw(base64.RawURLEncoding.EncodeToString([]byte(secret)), until)
}

// putRaw adds one form. The lock is held.
func (s *set) putRaw(text string, until time.Time) {
	if len(text) < window {
		return
	}
	cut := len(text) > maxForm
	if cut {
		text = strings.Clone(text[:maxForm])
	}
	if f := s.all[text]; f != nil {
		f.cut = f.cut || cut
		if until.IsZero() || !f.until.IsZero() && f.until.Before(until) {
			f.until = until
		}
		return
	}
	if s.all == nil {
		s.all, s.by = map[string]*form{}, map[key][]*form{}
	}
	f := &form{text, cut, until}
	s.all[text] = f
	k := key([]byte(text[:window]))
	s.by[k] = append(s.by[k], f)
	h := hash(text)
	s.starts[h/64] |= 1 << (h % 64)
	if !until.IsZero() {
		s.passing = append(s.passing, f)
	}
}

// forget drops the forms that have ended, and if too many are left, a quarter of them, the oldest
// first. The lock is held.
func (s *set) forget(now time.Time) {
	live := slices.DeleteFunc(s.passing, func(f *form) bool { return f.until.IsZero() || f.until.Before(now) })
	if surplus := len(live) - maxPassing*3/4; surplus > 0 {
		live = slices.Delete(live, 0, surplus)
	}
	kept := make(map[*form]bool, len(live))
	for _, f := range live {
		kept[f] = true
	}
	gone := func(f *form) bool { return !f.until.IsZero() && !kept[f] }
	for k, forms := range s.by {
		if s.by[k] = slices.DeleteFunc(forms, gone); len(s.by[k]) == 0 {
			delete(s.by, k)
		}
	}
	maps.DeleteFunc(s.all, func(_ string, f *form) bool { return gone(f) })
	s.passing = live
}

// hash returns a number below 1<<16 for the first four bytes of a text.
func hash(s string) uint32 {
	n := uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
	return n * 2654435761 >> 16
}
