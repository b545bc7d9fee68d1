package auth

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
)

// The request that begins to prefetch may end, or be given up, before the tokens of others are
// there. These are not asked for again.
func TestPrefetchOutlivesTheRequestThatBeganIt(t *testing.T) {
	asked, answer := make(chan struct{}, 10), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		if slices.Contains(r.URL.Query()["scope"], "repository:org/image-39:pull") {
			select {
			case <-answer:
			case <-r.Context().Done():
			}
		}
		_, _ = w.Write([]byte(`{"token":"T"}`))
	}))
	t.Cleanup(s.Close)
	a := newAuthorizer(t, s.URL+"/token")
	run, stop := context.WithCancel(t.Context())
	defer stop()
	repositories := names("org/image-%02d", 2*maxRepositories)
	for _, name := range repositories {
		a.Announce(run, Access{Repository: name}, nil)
	}
	first, end := context.WithCancel(t.Context())
	a.Await(first, Access{Repository: repositories[0]})
	<-asked
	<-asked // both tokens are under way, and the first one is there
	end()
	last := Access{Repository: repositories[len(repositories)-1]}
	close(answer)
	a.Await(t.Context(), last)
	if _, err := a.Authorize(t.Context(), last, Authorization{}); err != nil {
		t.Fatal(err)
	}
	if again := len(asked); again != 0 {
		t.Errorf("%d tokens were asked for again", again)
	}
}

// A run that ends asks for no tokens any more, and nothing waits for those that were under way.
func TestPrefetchEndsWithTheRun(t *testing.T) {
	asked, gone := make(chan struct{}, 10), make(chan struct{}, 10)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
		gone <- struct{}{}
	}))
	t.Cleanup(s.Close)
	a := newAuthorizer(t, s.URL+"/token")
	run, stop := context.WithCancel(t.Context())
	repositories := names("org/image-%02d", 2*maxRepositories)
	for _, name := range repositories {
		a.Announce(run, Access{Repository: name}, nil)
	}
	a.prefetch(a.Challenge(), false)
	<-asked
	stop()
	<-gone
	for _, name := range repositories {
		a.Await(t.Context(), Access{Repository: name})
	}
	if again := len(asked); again != 0 {
		t.Errorf("%d tokens were asked for after the end", again)
	}
}

// A request waits for no token that is under way if one is there that has all scopes it needs.
func TestTokensThatAreThereAreUsed(t *testing.T) {
	answer := make(chan struct{})
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		value := "first"
		if asked.Add(1) > 1 {
			value = "second"
			<-answer
		}
		_, _ = fmt.Fprintf(w, `{"token":%q}`, value)
	}))
	t.Cleanup(s.Close)
	a := newAuthorizer(t, s.URL+"/token")
	pushing := func(name, from string) Access { return Access{Repository: name, Push: true, MountFrom: from} }
	for _, name := range []string{"org/a", "org/b"} {
		a.Announce(t.Context(), pushing(name, ""), nil)
	}
	if _, err := a.Authorize(t.Context(), pushing("org/a", ""), Authorization{}); err != nil {
		t.Fatal(err)
	}
	a.AnnounceAll(t.Context(), []Announcement{{pushing("org/a", ""), []string{"org/base"}}, {pushing("org/b", ""), []string{"org/base"}}})
	for _, c := range []struct{ from, want string }{{"", "first"}, {"org/a", "first"}, {"org/base", "second"}} {
		if c.want == "second" {
			close(answer)
		}
		a.Await(t.Context(), pushing("org/b", c.from))
		got, err := a.Authorize(t.Context(), pushing("org/b", c.from), Authorization{})
		if err != nil || got.value != c.want {
			t.Errorf("a push that mounts from %q has the token %q (%v), want the %s", c.from, got.value, err, c.want)
		}
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("%d tokens were asked for, want 2", n)
	}
}
