package wire

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"imagemirror/internal/credentials"
	"imagemirror/internal/reference"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// A someone has one credential for all registries.
type someone credentials.Credential

func (s someone) For(context.Context, reference.Side, string, string) (credentials.Credential, error) {
	return credentials.Credential(s), nil
}

// team may pull everything, and push below open.
var team = registrytest.User{Name: "team", Password: "secret", Pull: []string{""}, Push: []string{"open"}}

var asTeam = someone{Username: "team", Password: "secret"}

// preflightLines returns mappings into so many repositories that team may push to, and may not.
func preflightLines(t *testing.T, p pair, open, closed int) (lines []string) {
	t.Helper()
	push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64"))
	for i := range open {
		lines = append(lines, fmt.Sprintf("%s/ci/a:v1 %s/open/a%d:v1", p.source.Host, p.destination.Host, i))
	}
	for i := range closed {
		lines = append(lines, fmt.Sprintf("%s/ci/a:v1 %s/closed/a%d:v1", p.source.Host, p.destination.Host, i))
	}
	return lines
}

// Registries answer a request for too many rights in one of these ways.
func TestPreflightFindsForbiddenRepositories(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		auth         registrytest.Auth
		open, closed int
		failed       int // in the plan
		tokens       int // that split asks for: those to read with, and those to push with
	}{
		{"grants less than was asked for", registrytest.Auth{JWT: true}, 3, 2, 2, 1 + 1},
		{"grants nothing of it", registrytest.Auth{JWT: true}, 0, 1, 1, 1 + 1},
		{"grants all", registrytest.Auth{JWT: true}, 25, 0, 0, 2 + 2},
		{"has opaque tokens", registrytest.Auth{}, 3, 2, 0, 1 + 1},
		{"refuses what is too much", registrytest.Auth{Strict: http.StatusForbidden}, 3, 2, 2, 1 + 1 + 5},
		{"refuses what is too much, of one repository", registrytest.Auth{Strict: http.StatusUnauthorized}, 0, 1, 1, 1 + 1},
		{"takes one scope at a time", registrytest.Auth{JWT: true, RefuseScopes: http.StatusBadRequest}, 3, 2, 2, 1 + 5 + 5},
		{"demands basic authentication", registrytest.Auth{Basic: true}, 3, 2, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.auth.Users = []registrytest.User{team}
			p := pair{newRegistry(t, nil), newRegistry(t, &c.auth)}
			lines := preflightLines(t, p, c.open, c.closed)
			plan := splitAs(t, asTeam, lines...)
			if failed, planned := len(plan.Results), len(plan.Copies); failed != c.failed || planned != c.open+c.closed-c.failed {
				t.Errorf("%d mappings failed and %d are to be copied, want %d and the rest", failed, planned, c.failed)
			}
			for _, r := range plan.Results {
				if r.Error == nil || r.Error.Side != "destination" || !strings.Contains(r.Error.Message, "/closed/a") ||
					!strings.Contains(r.Error.Advice, "push access to") && !strings.Contains(r.Error.Advice, "correct the user") {
					t.Errorf("got the error %+v, want one of a closed repository", r.Error)
				}
			}
			if asked, _ := tokens(p.destination); asked != c.tokens {
				t.Errorf("%d tokens were asked for, want %d", asked, c.tokens)
			}
			wrote(t, p.destination)
		})
	}
}

// wrote fails the test if a request was not a read.
func wrote(t *testing.T, r remoteRegistry) {
	t.Helper()
	for _, q := range r.Log() {
		if q.Method != http.MethodGet && q.Method != http.MethodHead {
			t.Errorf("there was a request %s %s", q.Method, q.Path)
		}
	}
}

// If nothing moves, there is no preflight: no request is added, and the right to pull is enough.
func TestNoPreflightWhereNothingMoves(t *testing.T) {
	t.Parallel()
	auth := &registrytest.Auth{JWT: true, Users: []registrytest.User{team, {Name: "reader", Password: "p", Pull: []string{""}}}}
	p := pair{newRegistry(t, nil), newRegistry(t, auth)}
	lines := preflightLines(t, p, 3, 0)
	mirrorAs(t, settings(), asTeam, lines...).allAre(t, stream.Copied)
	p.reset()
	plan := splitAs(t, someone{Username: "reader", Password: "p"}, lines...)
	if len(plan.Results) != 3 || len(plan.Copies) != 0 {
		t.Errorf("got %d results and %d copies, want 3 current ones", len(plan.Results), len(plan.Copies))
	}
	if got, want := p.destination.Stats().Requests, (map[string]int{"HEAD manifest": 3 + 1, "token": 1}); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the destination had the requests %v, want %v: the first one learns where tokens are", got, want)
	}
}

// Quay creates a repository when a token to push to it is asked for. So the preflight asks only for
// repositories that have one of the run's tags.
func TestPreflightCreatesNoRepository(t *testing.T) {
	t.Parallel()
	reader := registrytest.User{Name: "reader", Password: "p", Pull: []string{""}}
	p := pair{newRegistry(t, nil), newRegistry(t, &registrytest.Auth{JWT: true, TokenPath: "/v2/auth", Users: []registrytest.User{reader}})}
	lines := preflightLines(t, p, 2, 0)
	push(t, p.destination, "open/a1:v1", registrytest.NewImage(registrytest.OCI, "old", "amd64"))
	plan := splitAs(t, someone{Username: "reader", Password: "p"}, lines...)
	if len(plan.Results) != 1 || len(plan.Copies) != 1 || !strings.Contains(plan.Results[0].Error.Message, "/open/a1 at") {
		t.Errorf("%d mappings failed and %d are to be copied, want the one whose repository exists to fail", len(plan.Results), len(plan.Copies))
	}
	for _, q := range p.destination.Log() {
		if q.Kind == "token" && strings.Contains(q.Path+"?"+q.Query, "a0%3Apull%2Cpush") {
			t.Errorf("there was a request %s?%s", q.Path, q.Query)
		}
	}
}

// A registry that lets everyone read demands no token before a write. The preflight asks it
// once how it authenticates.
func TestPreflightOfAPublicRegistryAsksOnce(t *testing.T) {
	t.Parallel()
	everyone := registrytest.User{Pull: []string{""}}
	auth := &registrytest.Auth{JWT: true, Users: []registrytest.User{team, everyone}, Public: true}
	p := pair{newRegistry(t, nil), newRegistry(t, auth)}
	lines := preflightLines(t, p, 2, 2)
	plan := splitAs(t, asTeam, lines...)
	if len(plan.Results) != 2 || len(plan.Copies) != 2 {
		t.Errorf("%d mappings failed and %d are to be copied, want 2 and 2", len(plan.Results), len(plan.Copies))
	}
	if got, want := p.destination.Stats().Requests, (map[string]int{"HEAD manifest": 4, "ping": 1, "token": 1}); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the destination had the requests %v, want %v", got, want)
	}
	p.reset()
	splitAs(t, anonymous{}, lines...)
	if got, want := p.destination.Stats().Requests, (map[string]int{"HEAD manifest": 4}); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("without any credentials the destination had the requests %v, want %v", got, want)
	}
}

// Distribution verifies tokens itself. Its token service grants less than was asked for, without an
// error.
func TestPreflightWorksWithDistribution(t *testing.T) {
	t.Parallel()
	service := registrytest.StartTokenService(registrytest.Auth{Users: []registrytest.User{team}})
	t.Cleanup(service.Close)
	p := pair{newRegistry(t, nil), start(t, registrytest.DistributionOptions{Tokens: service}, nil)}
	lines := preflightLines(t, p, 2, 2)
	r := mirrorAs(t, settings(), asTeam, lines...)
	if failed, planned := len(r.plan.Results), len(r.plan.Copies); failed != 2 || planned != 2 {
		t.Errorf("%d mappings failed and %d are to be copied, want 2 and 2", failed, planned)
	}
	copied := 0
	for to, result := range r.results {
		if open := strings.Contains(to, "/open/"); open != (result.Status == stream.Copied) {
			t.Errorf("%s is %s: %+v", to, result.Status, result.Error)
		} else if open {
			copied++
		}
	}
	if copied != 2 {
		t.Errorf("%d were copied, want 2", copied)
	}
	// Split asks for one token to read and one to push; copy for one, and for one more to mount.
	if n := service.Asked(); n > 4 {
		t.Errorf("%d tokens were asked for, want 4 at most", n)
	}
}

// splitAs returns the plan for the lines of a mapping file.
func splitAs(t *testing.T, keys interface {
	For(context.Context, reference.Side, string, string) (credentials.Credential, error)
}, lines ...string) *stream.Content {
	t.Helper()
	var out strings.Builder
	if err := splitTo(t, &out, clientAs(t, settings(), keys), mappingFile(t, lines...)); err != nil {
		t.Fatal(err)
	}
	return read(t, strings.NewReader(out.String()))
}
