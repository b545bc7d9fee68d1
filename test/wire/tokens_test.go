package wire

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"imagemirror/internal/credentials"
	"imagemirror/internal/reference"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// tokens returns how many tokens were asked for, and how many requests were refused without a
// valid one.
func tokens(r remoteRegistry) (asked, refused int) {
	for _, q := range r.Log() {
		switch {
		case q.Kind == "token":
			asked++
		case q.Status == http.StatusUnauthorized:
			refused++
		}
	}
	return asked, refused
}

func TestOneTokenForManyRepositories(t *testing.T) {
	t.Parallel()
	p := newPrivatePair(t)
	w := newWorkload(t, p, 12)
	mirrorLines(t, w.lines...).allAre(t, stream.Copied)
	for side, r := range map[string]remoteRegistry{"source": p.source, "destination": p.destination} {
		asked, refused := tokens(r)
		// Split asks for one to read, and copy for one. The first request of each process
		// learns where tokens are issued.
		want := 2
		if side == "destination" {
			want++ // that split finds out with whether copy may push
		}
		if asked != want || refused != 2 {
			t.Errorf("%s: %d tokens were asked for and %d requests refused for 12 repositories, want %d and 2", side, asked, refused, want)
		}
	}
	p.reset()
	mirrorLines(t, w.lines...).allAre(t, stream.Current)
	if asked, refused := tokens(p.destination); asked != 1 || refused != 1 {
		t.Errorf("with nothing to do %d tokens were asked for and %d requests refused, want 1 and 1", asked, refused)
	}
}

func TestRefusedScopesAreAskedForOneByOne(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusBadRequest, http.StatusForbidden} {
		p := pair{newRegistry(t, &registrytest.Auth{RefuseScopes: status}), newRegistry(t, &registrytest.Auth{RefuseScopes: status})}
		w := newWorkload(t, p, 6)
		mirrorLines(t, w.lines...).allAre(t, stream.Copied)
		// Each process notices it once, and then asks for a token for each repository.
		if asked, _ := tokens(p.source); asked != 2*(1+6) {
			t.Errorf("status %d: %d tokens were asked for at the source, want 14", status, asked)
		}
		// A mount needs two scopes, which copy tries once, too. Split asks for tokens to push.
		if asked, _ := tokens(p.destination); asked != 2*(1+6)+1+6 {
			t.Errorf("status %d: %d tokens were asked for at the destination, want 21", status, asked)
		}
	}
}

func TestExpiredTokensCostNoImage(t *testing.T) {
	t.Parallel()
	p := newPrivatePair(t)
	w := newWorkload(t, p, 6)
	// Every fortieth request finds all tokens expired.
	n := 0
	expire := registrytest.FaultRule{Name: "expire", Match: func(*http.Request) bool {
		n++
		if n%40 == 0 {
			p.destination.ExpireTokens()
		}
		return false
	}}
	p.destination.Inject(expire)
	mirrorLines(t, w.lines...).allAre(t, stream.Copied)
	for _, name := range w.names {
		wantArrived(t, p, name, "mirror/"+name)
	}
}

func TestTokensAreRenewedBeforeTheyExpire(t *testing.T) {
	t.Parallel()
	timed(t, func(factor int) error {
		auth := &registrytest.Auth{Lifetime: seconds(factor)}
		p := pair{newRegistry(t, auth), newRegistry(t, auth)}
		w := newWorkload(t, p, 6)
		slow := registrytest.FaultRule{Name: "slow", Fault: registrytest.Delay(time.Duration(factor) * 100 * time.Millisecond)}
		p.source.Inject(slow)
		p.destination.Inject(slow)
		mirrorLines(t, w.lines...).allAre(t, stream.Copied)
		if asked, refused := tokens(p.destination); refused > 2+asked/2 {
			return fmt.Errorf("%d requests were refused and %d tokens asked for, so tokens are used until they are refused", refused, asked)
		}
		return nil
	})
}

// Wildcards list tags before anything else, and share tokens all the same.
func TestWildcardsShareTokens(t *testing.T) {
	t.Parallel()
	p := newPrivatePair(t)
	const repositories = 40
	var lines []string
	for i := range repositories {
		push(t, p.source, fmt.Sprintf("ci/a%d:v1", i), registrytest.NewImage(registrytest.OCI, "x", "amd64"))
		lines = append(lines, fmt.Sprintf("%s/ci/a%d:v* %s/m/a%d", p.source.Host, i, p.destination.Host, i))
	}
	split(t, settings(), lines...)
	for side, r := range map[string]remoteRegistry{"source": p.source, "destination": p.destination} {
		want := repositories / 20
		if side == "destination" {
			want *= 2 // to read with, and to find out with whether copy may push
		}
		if asked, _ := tokens(r); asked != want {
			t.Errorf("%s: %d tokens were asked for of %d repositories, want %d: one for twenty", side, asked, repositories, want)
		}
	}
}

// Lists of tags that are slow, and come at the same time, share tokens too. If they take several
// times as long as is waited for lists, each part of them has tokens.
func TestSlowWildcardsShareTokens(t *testing.T) {
	t.Parallel()
	p := newPrivatePair(t)
	push(t, p.source, "ci/plain:v1", registrytest.NewImage(registrytest.OCI, "x", "amd64"))
	lines := []string{line(p, "ci/plain:v1", "m/plain:v1")}
	for i := range 20 {
		push(t, p.source, fmt.Sprintf("ci/a%d:v1", i), registrytest.NewImage(registrytest.OCI, "x", "amd64"))
		lines = append(lines, fmt.Sprintf("%s/ci/a%d:v* %s/m/a%d", p.source.Host, i, p.destination.Host, i))
	}
	late := make(chan struct{}) // closed when what needs no list goes on without them
	p.destination.Inject(registrytest.FaultRule{Kind: "HEAD manifest", Times: 1, Fault: open(late)})
	p.source.Inject(registrytest.FaultRule{Kind: "GET tags", Fault: heldUntil(late)})
	config := settings()
	config.Stall, config.Retries = 6*time.Second, 100
	patience := config.Stall / 6 // with lists
	began := time.Now()
	made := split(t, config, lines...)
	if len(made.Copies) != len(lines) {
		t.Errorf("%d copies are planned, want %d", len(made.Copies), len(lines))
	}
	parts := 1 + int(time.Since(began)/patience)
	if asked, _ := tokens(p.destination); asked > 4*parts {
		t.Errorf("%d tokens were asked for of 21 repositories in at most %d parts, want 2 to read and to push with for each", asked, parts)
	}
}

// A turning keychain returns another credential after some lookups, as clouds do after minutes.
type turning struct{ left atomic.Int64 }

func (k *turning) For(context.Context, reference.Side, string, string) (credentials.Credential, error) {
	if k.left.Add(-1) < 0 {
		return credentials.Credential{Username: "second", Password: "p"}, nil
	}
	return credentials.Credential{Username: "first", Password: "p"}, nil
}

// A credential that changes during a run costs one token for many repositories, not one for each.
func TestChangedCredentialsCostOneTokenForMany(t *testing.T) {
	t.Parallel()
	all := []string{""}
	auth := &registrytest.Auth{Users: []registrytest.User{
		{Name: "first", Password: "p", Pull: all, Push: all}, {Name: "second", Password: "p", Pull: all, Push: all},
	}}
	p := pair{newRegistry(t, auth), newRegistry(t, auth)}
	w := newWorkload(t, p, 15)
	k := &turning{}
	k.left.Store(200)
	mirrorAs(t, settings(), k, w.lines...).allAre(t, stream.Copied)
	for side, r := range map[string]remoteRegistry{"source": p.source, "destination": p.destination} {
		if asked, _ := tokens(r); asked > 4 {
			t.Errorf("%s: %d tokens were asked for of 15 repositories", side, asked)
		}
	}
}

// One process sends the requests of both split and copy. It finds out once how a registry
// authenticates, and gets each token to read once: 45 repositories share three. The first token
// to push also reads the repository with the common layer. The other two are asked for again
// with that scope, to mount from there.
func TestOneProcessKeepsItsTokens(t *testing.T) {
	t.Parallel()
	p := newPrivatePair(t)
	w := newWorkload(t, p, 45)
	runLines(t, w.lines...).allAre(t, stream.Copied)
	// The source is asked before it is known that all manifests are needed.
	wantRequests(t, p.source, map[string]int{"HEAD manifest": 1, "GET manifest": w.manifests, "GET blob": w.blobs, "token": 3, "GET tags": len(w.names), "GET referrers": 1})
	wantRequests(t, p.destination, map[string]int{
		"HEAD manifest": len(w.names) + 1, "POST mount": w.places, "PUT upload": w.blobs, "PUT manifest": w.manifests,
		"token": 3 + 3 + 2,
	})
	p.reset()
	runLines(t, w.lines...).allAre(t, stream.Current)
	for _, r := range []remoteRegistry{p.source, p.destination} {
		wantRequests(t, r, map[string]int{"HEAD manifest": len(w.names) + 1, "token": 3})
	}
}

// Without tokens, one process sends exactly the requests that split and copy send.
func TestOneProcessIsTheLowerBound(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	w := newWorkload(t, p, 9)
	runLines(t, w.lines...).allAre(t, stream.Copied)
	wantRequests(t, p.source, map[string]int{"GET manifest": w.manifests, "GET blob": w.blobs, "GET tags": len(w.names), "GET referrers": 1})
	wantRequests(t, p.destination, map[string]int{
		"HEAD manifest": len(w.names), "POST mount": w.places, "PUT upload": w.blobs, "PUT manifest": w.manifests,
	})
	for _, name := range w.names {
		wantArrived(t, p, name, "mirror/"+name)
	}
}
