package auth

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
)

// A request that waits for a token that somebody else asks for is called off like any other: for
// the same token, and for one that is asked for once it is known how many scopes the service takes.
func TestWaitForATokenEndsWithItsRequest(t *testing.T) {
	asked, answer := make(chan struct{}, 10), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		<-answer
		_, _ = w.Write([]byte(`{"token":"T"}`))
	}))
	t.Cleanup(s.Close)
	a := newAuthorizer(t, s.URL+"/token")
	repositories := names("org/image-%02d", 2*maxRepositories)
	for _, name := range repositories {
		a.Announce(t.Context(), Access{Repository: name}, nil)
	}
	get := func(ctx context.Context, repository string) error {
		_, err := a.tokenWith(ctx, Access{Repository: repository}, Authorization{answers: a.Challenge()}, "")
		return err
	}
	first := make(chan error)
	go func() { first <- get(t.Context(), repositories[0]) }()
	<-asked
	cause := errors.New("the image is over")
	over, end := context.WithCancelCause(t.Context())
	end(cause)
	for _, name := range []string{repositories[1], repositories[len(repositories)-1]} {
		if err := get(over, name); !errors.Is(err, cause) {
			t.Errorf("the wait for a token of %s ended with %v, want %v", name, err, cause)
		}
	}
	close(answer)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if err := get(t.Context(), repositories[1]); err != nil || len(asked) != 0 {
		t.Errorf("got %v for the token that is there, and %d tokens were asked for again", err, len(asked))
	}
}
