package auth

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"

	"imagemirror/internal/regerror"
)

// A request for a token that is given up, such as for an image that took too long, says nothing
// of the service: the next one asks for as many scopes.
func TestTokensThatAreGivenUpAreNotRefused(t *testing.T) {
	for name, cause := range map[string]error{"its image is over": errors.New("the deadline is over"), "its time is over": context.DeadlineExceeded, "the run ends": nil} {
		var asked atomic.Int64
		request, end := context.WithCancelCause(t.Context())
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if asked.Add(1) == 1 {
				end(cause)
				<-r.Context().Done()
				return
			}
			_, _ = w.Write([]byte(`{"token":"T"}`))
		}))
		t.Cleanup(s.Close)
		a := newAuthorizer(t, s.URL+"/token")
		repositories := names("org/image-%d", 5)
		for _, name := range repositories {
			a.Announce(t.Context(), Access{Repository: name}, nil)
		}
		want := Access{Repository: repositories[0]}
		if _, err := a.tokenWith(request, want, Authorization{answers: a.Challenge()}, ""); err == nil {
			t.Errorf("%s: a token was had", name)
		}
		for _, repository := range repositories {
			if _, err := a.Authorize(t.Context(), Access{Repository: repository}, Authorization{}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if n := asked.Load(); n != 2 {
			t.Errorf("%s: %d tokens were asked for, want 2", name, n)
		}
	}
}

func TestRefusesMany(t *testing.T) {
	over, end := context.WithTimeout(t.Context(), 0)
	defer end()
	lost := func(err error) error { return &regerror.Error{Doing: regerror.GettingToken, Err: err} }
	dial := &net.OpError{Op: "dial", Net: "tcp", Err: io.EOF}
	for _, c := range []struct {
		name string
		ctx  context.Context
		err  error
		want bool
	}{
		{"a stall", t.Context(), lost(regerror.ErrStalled), true},
		{"a cut", t.Context(), lost(io.EOF), true},
		{"a status", over, &regerror.Error{Status: http.StatusBadRequest}, true},
		{"no connection", t.Context(), lost(&url.Error{Err: dial}), false},
		{"no connection to a proxy", t.Context(), lost(&url.Error{Err: &net.OpError{Op: "proxyconnect", Net: "tcp", Err: dial}}), false},
		{"no time", over, lost(context.DeadlineExceeded), false},
		{"no time, by another name", over, lost(errors.New("the deadline is over")), false},
	} {
		if got := refusesMany(c.ctx, c.err); got != c.want {
			t.Errorf("%s: got %t, want %t", c.name, got, c.want)
		}
	}
}
