package wire

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"imagemirror/internal/plan"
	"imagemirror/internal/registry"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
	"imagemirror/internal/verify/signtest"
)

// A bundle that cannot be read or verified does not hide a good one, wherever it is in the list.
func TestUnreadableBundlesHideNoOthers(t *testing.T) {
	t.Parallel()
	key := signtest.NewKeyPair()
	for name, fault := range map[string]registrytest.Fault{
		"deleted":   registrytest.Status(http.StatusNotFound, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`),
		"forbidden": registrytest.Status(http.StatusForbidden, ""),
		"broken":    nil,
	} {
		for _, has := range []api{false, true} {
			for _, referrers := range []string{"copied", "none"} {
				t.Run(fmt.Sprintf("%s, %v, %s", name, has, referrers), func(t *testing.T) {
					t.Parallel()
					p := pair{startAs(t, has), newRegistry(t, nil)}
					d := push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 1000)))
					spoiled := func(content string) {
						bad, err := signtest.StoreBundle(t.Context(), p.source.backend+"/ci/a", d, signtest.SignPredicate, []byte(content))
						if err != nil {
							t.Fatal(err)
						}
						if fault != nil {
							p.source.Inject(registrytest.FaultRule{Path: regexp.MustCompile("/manifests/" + bad), Fault: fault})
						}
					}
					spoiled("[")
					bundleWith(t, p.source, "ci/a", d, signtest.SignPredicate, key)
					spoiled("{")
					rule := byKey + "\n  referrers: {copy: " + referrers + "}"
					verified(t, verifying(t, key, rule, line(p, "ci/a:v1", "m/a:v1"))).allAre(t, stream.Copied)
					verified(t, verifying(t, key, rule, line(p, "ci/a:v1", "m/a:v1"))).allAre(t, stream.Current)
				})
			}
		}
	}
}

// A repository whose referrers a registry refuses to list says nothing of the others there. It is
// asked once.
func TestRepositoryThatListsNoReferrers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		body   string
	}{
		{http.StatusNotFound, `{"errors":[{"code":"NAME_UNKNOWN"}]}`},
		{http.StatusNotFound, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`},
		{http.StatusForbidden, `{"errors":[{"code":"DENIED"}]}`},
		{http.StatusUnauthorized, `{"errors":[{"code":"UNAUTHORIZED"}]}`},
	} {
		t.Run(fmt.Sprint(c.status, c.body), func(t *testing.T) {
			t.Parallel()
			p := pair{startAs(t, true), newRegistry(t, nil)}
			inA := func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/ci/a/") }
			p.source.Inject(registrytest.FaultRule{Kind: "GET referrers", Match: inA, Fault: registrytest.Status(c.status, c.body)})
			var lines []string
			for _, tag := range []string{"v1", "v2"} {
				push(t, p.source, "ci/a:"+tag, registrytest.NewImage(registrytest.OCI, tag, "amd64", registrytest.NewLayer(tag, 1000)))
				lines = append(lines, line(p, "ci/a:"+tag, "m/a:"+tag))
			}
			p.reset()
			travelWith(t, "{copy: copied}", lines...).allAre(t, stream.Copied)
			wantReferrersRequests(t, p.source, 1)
			for _, name := range []string{"b", "c"} {
				subject := push(t, p.source, "ci/"+name+":v1", registrytest.NewImage(registrytest.OCI, name, "amd64", registrytest.NewLayer(name, 1000)))
				defer wantReferrers(t, p.destination, "m/"+name, subject, attach(t, p.source, "ci/"+name, subject, "x/y"))
				lines = append(lines, line(p, "ci/"+name+":v1", "m/"+name+":v1"))
			}
			push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "v3", "amd64", registrytest.NewLayer("v3", 1000)))
			travelWith(t, "{copy: copied}", lines...).are(t, p.destination, map[string]string{
				"m/a:v1": stream.Copied, "m/a:v2": stream.Current, "m/b:v1": stream.Copied, "m/c:v1": stream.Copied,
			})
		})
	}
}

func wantReferrersRequests(t *testing.T, r remoteRegistry, want int) {
	t.Helper()
	if got := r.Stats().Requests["GET referrers"]; got != want {
		t.Errorf("%d requests for referrers, want %d", got, want)
	}
}

// A registry that fails to list referrers is not taken for one without the API: that an image has
// none is not known. After two failures it is asked for no others, or after eight if it has listed
// some. What an index under a tag lists travels all the same.
func TestReferrersThatAreNeverListed(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]registrytest.Fault{
		"500":            registrytest.Status(http.StatusInternalServerError, ""),
		"503":            registrytest.Status(http.StatusServiceUnavailable, ""),
		"a rate limit":   registrytest.TooManyRequests(""),
		"half an answer": registrytest.CutAfter(5),
	} {
		for _, after := range []int{0, 1} {
			t.Run(fmt.Sprintf("%s after %d", name, after), func(t *testing.T) {
				t.Parallel()
				r := startAs(t, true)
				config := settings()
				config.Retries = 1
				from, err := client(t, config).Source(t.Context(), parse(t, r.Host+"/ci/a:x"))
				if err != nil {
					t.Fatal(err)
				}
				subject := push(t, r, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 1000)))
				r.Reset()
				r.Inject(registrytest.FaultRule{Kind: "GET referrers", After: after, Fault: fault})
				for n := range 20 {
					_, err := from.Referrers(t.Context(), subject, registry.ReferrersQuery{Index: registry.Absent})
					if (err == nil) != (n < after) {
						t.Errorf("list %d: %v", n+1, err)
					}
				}
				wantReferrersRequests(t, r, map[int]int{0: 2, 1: 1 + 8}[after])
				push(t, r, "ci/a:"+registry.ReferrersTag(subject), registrytest.NewPlatforms(registrytest.OCI, "a", 100, []string{"amd64"}))
				list, err := from.Referrers(t.Context(), subject, registry.ReferrersQuery{Index: registry.Present})
				if err != nil || len(list) != 1 {
					t.Errorf("the index lists %v, %v", list, err)
				}
			})
		}
	}
	p := pair{startAs(t, true), newRegistry(t, nil)}
	var lines []string
	for i := range 5 {
		name := fmt.Sprint("n", i)
		push(t, p.source, "ci/"+name+":v1", registrytest.NewImage(registrytest.OCI, name, "amd64", registrytest.NewLayer(name, 1000)))
		lines = append(lines, line(p, "ci/"+name+":v1", "m/"+name+":v1"))
	}
	p.source.Inject(registrytest.FaultRule{Kind: "GET referrers", Fault: registrytest.Status(http.StatusInternalServerError, "")})
	config := settings()
	config.Retries = 1
	mirrored := func(required string) run {
		made, err := plan.Make(t.Context(), plan.Options{Client: client(t, config)}, setWith(t, "referrers: {required: "+required+"}", lines...))
		if err != nil {
			t.Fatal(err)
		}
		return carry(t, config, anonymous{}, &made.Content)
	}
	mirrored("true").allAre(t, stream.Failed)
	run := mirrored("false")
	run.allAre(t, stream.Copied)
	for of, got := range run.results {
		if len(got.Travelled) != 1 || got.Travelled[0].Failed != 1 {
			t.Errorf("%s does not say that its referrers are unknown: %+v", of, got.Travelled)
		}
	}
}
