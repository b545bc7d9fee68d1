// Package secret knows the credentials that the process uses, and hides them in text that leaves
// it. Servers echo what they are sent: headers, queries and bodies, whole or in part, in JSON,
// HTML, URLs or mail, in hex, base32 or base64, and those in one another. A server that means to
// give away what it was sent can write it in a way that nobody recognizes, such as backwards.
//
// What is known belongs to the process and is never handed around: a package that loads or gets
// a credential adds it, and one that makes text of what came from outside hides it there, before
// the text is cut. The writers at the edges hide it once more.
package secret

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
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
	// Telling is how many bytes of a longer form give it away: a server may cut what it echoes.
	Telling = 12
	// maxPieced bounds the passwords of which any piece is hidden, not only the beginning. A
	// longer one is a key or a token, whose pieces open nothing and may be ordinary words, such
	// as the addresses in the JSON of a cloud's key.
	maxPieced = 128
	// maxPieces bounds the pieces that are kept, of all passwords.
	maxPieces = 1 << 18
	// maxPassing bounds the forms of tokens, of which each has three.
	maxPassing = 3 * 4096
	// linger is how long a token is hidden after it has expired.
	linger = 10 * time.Minute
)

// known are the secrets of the process.
var known patterns

// Add makes a user's password, or what is sent in its place, known for good.
func Add(user, password string) { known.add(user, password) }

// AddToken makes a bearer token known. It is forgotten some time after its lifetime.
func AddToken(token string, lifetime time.Duration) {
	known.addToken(token, time.Now().Add(lifetime+linger))
}

// Hide returns s without the secrets of the process, in all forms in which servers echo them.
func Hide(s string) string { return known.hide(s) }

// NewWriter returns a writer that hides secrets. Give it whole lines.
func NewWriter(w io.Writer) io.Writer { return hidingWriter{w} }

type hidingWriter struct{ to io.Writer }

func (w hidingWriter) Write(p []byte) (int, error) {
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

// A windowKey is how a form begins.
type windowKey [window]byte

// patterns are any number of secrets. It is safe for concurrent use.
type patterns struct {
	mu      sync.RWMutex
	all     map[string]*form      // by text
	by      map[windowKey][]*form // sorted
	starts  [1 << 16 / 64]uint64  // a bit for each hash of the first bytes of a key
	passing []*form               // those with an end, in the order in which they came
	pieces  map[piece]struct{}    // of passwords
	parts   [1 << 16 / 64]uint64  // a bit for each hash of the first bytes of a piece
}

// A piece is a part of a password, in any form.
type piece [Telling]byte

func (s *patterns) add(user, password string) {
	if password == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.putPassword(password)
	s.putPassword(strings.Join(strings.Fields(password), " ")) // as part of one line
	pair := user + ":" + password
	s.putForms(encodings(pair), password)
	if len(password) < window {
		s.putRaw(pair, time.Time{})
	}
}

// putPassword adds a password in all its forms. The lock is held.
func (s *patterns) putPassword(password string) {
	s.putForms(append(encodings(password), password), password)
}

// putForms adds forms that a password is in, with their pieces. The lock is held.
func (s *patterns) putForms(forms []string, password string) {
	for _, text := range forms {
		s.putRaw(text, time.Time{})
		s.putPieces(text, password)
	}
}

// putPieces adds the pieces of a form of a password. The lock is held.
func (s *patterns) putPieces(text, password string) {
	if len(password) < window || len(password) > maxPieced {
		return
	}
	if s.pieces == nil {
		s.pieces = map[piece]struct{}{}
	}
	for ; len(text) >= Telling && len(s.pieces) < maxPieces; text = text[1:] {
		s.pieces[piece([]byte(text[:Telling]))] = struct{}{}
		h := hash(text)
		s.parts[h/64] |= 1 << (h % 64)
	}
}

func (s *patterns) addToken(token string, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, text := range append(inBase64(token), token) {
		s.putRaw(text, until)
	}
	if len(s.passing) > maxPassing {
		s.forget(time.Now())
	}
}

// encodings returns the forms of a password in which none of its characters is left. Padding that
// follows them is hidden with them.
func encodings(password string) []string {
	b := []byte(beginning(password))
	hexed := hex.EncodeToString(b)
	return append(inBase64(password), base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b), hexed, strings.ToUpper(hexed))
}

// inBase64 returns a secret in both alphabets of base64.
func inBase64(secret string) []string {
	b := []byte(beginning(secret))
	return []string{base64.RawStdEncoding.EncodeToString(b), base64.RawURLEncoding.EncodeToString(b)}
}

// beginning returns as much of a secret as is encoded: more than is kept of any form, so that each
// counts as cut, and whole groups of base64.
func beginning(secret string) string { return secret[:min(len(secret), maxForm+1)] }

// putRaw adds one form. The lock is held.
func (s *patterns) putRaw(text string, until time.Time) {
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
		s.all, s.by = map[string]*form{}, map[windowKey][]*form{}
	}
	f := &form{text, cut, until}
	s.all[text] = f
	k := windowKey([]byte(text[:window]))
	at, _ := slices.BinarySearchFunc(s.by[k], text, func(f *form, text string) int { return strings.Compare(f.text, text) })
	s.by[k] = slices.Insert(s.by[k], at, f)
	h := hash(text)
	s.starts[h/64] |= 1 << (h % 64)
	if !until.IsZero() {
		s.passing = append(s.passing, f)
	}
}

// forget drops the forms that have ended, and if too many are left, a quarter of them, the oldest
// first. The lock is held.
func (s *patterns) forget(now time.Time) {
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
