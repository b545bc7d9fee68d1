package wire

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"imagemirror/internal/registry"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

const always = "{copy: always}"

// quiet runs a set whose referrers always travel, and in which nothing is new.
func quiet(t *testing.T, p pair, lines ...string) {
	t.Helper()
	p.reset()
	travelWith(t, always, lines...).allAre(t, stream.Current)
	for _, q := range p.destination.Log() {
		if q.Method != "GET" && q.Method != "HEAD" {
			t.Errorf("nothing is new, but the destination got %s %s", q.Method, q.Path)
		}
	}
}

// What was made for an image after it was copied travels if the settings ask for that, and its tag
// stays. A second run brings nothing.
func TestLaterReferrersTravel(t *testing.T) {
	t.Parallel()
	for _, from := range kindsOfRegistries {
		for _, to := range kindsOfRegistries {
			t.Run(from.name+" to "+to.name, func(t *testing.T) {
				t.Parallel()
				p := pair{from.start(t), to.start(t)}
				child := registrytest.NewImage(registrytest.OCI, "child", "amd64", registrytest.NewLayer("a", 1000))
				index := push(t, p.source, "ci/a:v1", registrytest.NewIndex(registrytest.OCI, child))
				below := digestOf(t, child)
				one := line(p, "ci/a:v1", "m/a:v1", "m/a:v1.0", "n/a:v1")
				travelWith(t, always, one).allAre(t, stream.Copied)
				quiet(t, p, one)

				sbom := attach(t, p.source, "ci/a", index, "application/spdx+json")
				countersigned := attach(t, p.source, "ci/a", sbom, "application/vnd.example.signature")
				proof := attach(t, p.source, "ci/a", below, "application/vnd.in-toto+json")
				signature := registry.ReferrersTag(index) + ".sig"
				sign(t, p.source, "ci/a", index, ".sig")
				p.reset()
				run := travelWith(t, always, one)
				run.allAre(t, stream.Current)
				for name, r := range run.results {
					if len(r.Travelled) != 4 {
						t.Errorf("with %s travelled %+v, want four kinds", name, r.Travelled)
					}
				}
				for _, q := range p.destination.Log() {
					if q.Kind == "PUT manifest" && (q.Path == "/v2/m/a/manifests/v1" || q.Path == "/v2/n/a/manifests/"+index) {
						t.Errorf("the image was pushed again: %s", q.Path)
					}
				}
				for _, at := range []string{"m/a", "n/a"} {
					wantReferrers(t, p.destination, at, index, sbom)
					wantReferrers(t, p.destination, at, sbom, countersigned)
					wantReferrers(t, p.destination, at, below, proof)
					wantSame(t, p, "ci/a", at, signature)
				}
				quiet(t, p, one)

				push(t, p.source, "ci/a:"+signature, registrytest.NewArtifact("more", registrytest.NewLayer(".sig"+index, 300), registrytest.NewLayer("another", 300)))
				childs := registry.ReferrersTag(below) + ".att"
				sign(t, p.source, "ci/a", below, ".att")
				travelWith(t, always, one).allAre(t, stream.Current)
				wantSame(t, p, "ci/a", "m/a", signature)
				wantSame(t, p, "ci/a", "m/a", childs)
				quiet(t, p, one)
			})
		}
	}
}

// A run in which nothing is new costs, at the source, one request more for each repository and one
// for each image; then what exists costs one request at each side, or two.
func TestLaterReferrersCostTheLeast(t *testing.T) {
	t.Parallel()
	image := func(name string) registrytest.Layer { return registrytest.NewLayer(name, 500) }
	for _, c := range []struct {
		name    string
		has     api // at the source; the destination has none
		make    func(t *testing.T, p pair, subjects map[string]string)
		source  map[string]int
		arrives map[string]int // at the destination
	}{
		{"nothing exists", true, nil,
			map[string]int{"HEAD manifest": 4, "GET tags": 2, "GET referrers": 4}, map[string]int{"HEAD manifest": 5}},
		{"nothing exists, and there is no API", false, nil,
			map[string]int{"HEAD manifest": 4, "GET tags": 2, "GET referrers": 1}, map[string]int{"HEAD manifest": 5}},
		{"a signature", true, func(t *testing.T, p pair, subjects map[string]string) {
			sign(t, p.source, "ci/a", subjects["a:v1"], ".sig")
		},
			// The signature is compared, and asked for its own referrers.
			map[string]int{"HEAD manifest": 4 + 1, "GET tags": 2, "GET referrers": 4 + 1}, map[string]int{"HEAD manifest": 5 + 1}},
		{"a signature beside an index", false, func(t *testing.T, p pair, subjects map[string]string) {
			sign(t, p.source, "ci/b", subjects["b:v1"], ".sig")
		},
			// The index is read instead of its digest: what is signed may be below it.
			map[string]int{"HEAD manifest": 3 + 1, "GET manifest": 1, "GET tags": 2, "GET referrers": 1}, map[string]int{"HEAD manifest": 5 + 1}},
		{"referrers", true, func(t *testing.T, p pair, subjects map[string]string) {
			attach(t, p.source, "ci/a", subjects["a:v1"], "x/y")
			attach(t, p.source, "ci/a", subjects["a:v1"], "x/z")
		},
			// go-containerregistry's registry has the index of referrers besides the API.
			map[string]int{"HEAD manifest": 4, "GET manifest": 1, "GET tags": 2, "GET referrers": 4 + 2},
			map[string]int{"HEAD manifest": 5, "GET referrers": 1, "GET manifest": 1}},
		{"referrers of an index", true, func(t *testing.T, p pair, subjects map[string]string) {
			attach(t, p.source, "ci/b", subjects["b:index"], "x/y")
		},
			// The index and the list of its referrers are read, and its child is asked for.
			map[string]int{"HEAD manifest": 4, "GET manifest": 2, "GET tags": 2, "GET referrers": 4 + 1 + 1},
			map[string]int{"HEAD manifest": 5, "GET referrers": 1, "GET manifest": 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := pair{startAs(t, c.has), newRegistry(t, nil)}
			subjects := map[string]string{}
			for _, name := range []string{"a:v1", "a:v2", "b:v1"} {
				subjects[name] = push(t, p.source, "ci/"+name, registrytest.NewImage(registrytest.OCI, name, "amd64", image(name)))
			}
			child := registrytest.NewImage(registrytest.OCI, "child", "amd64", image("child"))
			subjects["b:index"] = push(t, p.source, "ci/b:index", registrytest.NewIndex(registrytest.OCI, child))
			if c.make != nil {
				c.make(t, p, subjects)
			}
			lines := []string{line(p, "ci/a:v1", "m/a:v1", "m/a:v1.0"), line(p, "ci/a:v2", "m/a:v2"), line(p, "ci/b:v1", "m/b:v1"), line(p, "ci/b:index", "m/b:index")}
			travelWith(t, always, lines...).allAre(t, stream.Copied)
			quiet(t, p, lines...)
			wantRequests(t, p.source, c.source)
			wantRequests(t, p.destination, c.arrives)
		})
	}
}

// A current image fails if a required referrer that was made later cannot be copied. Otherwise that
// is counted, and the image is current.
func TestLaterReferrersThatCannotBeCopied(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, p pair, subject string)
		says  string
	}{
		{"a list that cannot be read", func(_ *testing.T, p pair, _ string) {
			p.source.Inject(registrytest.FaultRule{Kind: "GET referrers", After: 1, Fault: registrytest.Status(http.StatusOK, `{"manifests":[7]}`)})
		}, "not a descriptor"},
		{"a referrer that is missing", func(t *testing.T, p pair, subject string) {
			d := attach(t, p.source, "ci/a", subject, "x/y")
			p.source.Inject(registrytest.FaultRule{Path: regexp.MustCompile(d), Fault: registrytest.Status(http.StatusNotFound, "")})
		}, "404"},
		{"a signature that the destination refuses", func(t *testing.T, p pair, subject string) {
			sign(t, p.source, "ci/a", subject, ".sig")
			p.destination.Inject(registrytest.FaultRule{Kind: "PUT manifest", Fault: registrytest.Status(http.StatusBadRequest, "")})
		}, "400"},
		{"an index that the destination does not let read", func(t *testing.T, p pair, subject string) {
			attach(t, p.source, "ci/a", subject, "x/y")
			p.destination.Inject(registrytest.FaultRule{Path: regexp.MustCompile("manifests/sha256-"), Fault: registrytest.Status(http.StatusInternalServerError, "")})
		}, "500"},
		{"a signature that leads back to its image", func(t *testing.T, p pair, subject string) {
			image := registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 1000))
			push(t, p.source, "ci/a:"+registry.ReferrersTag(subject)+".sig", registrytest.NewIndex(registrytest.OCI, image))
		}, "leads back to the image"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := pair{startAs(t, true), newRegistry(t, nil)}
			subject := push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 1000)))
			push(t, p.source, "ci/a:v2", registrytest.NewImage(registrytest.OCI, "b", "amd64", registrytest.NewLayer("b", 1000)))
			one := []string{line(p, "ci/a:v2", "m/b:v1"), line(p, "ci/a:v1", "m/a:v1")}
			travelWith(t, always, one...).allAre(t, stream.Copied)
			c.spoil(t, p, subject)
			config := settings()
			config.Concurrency, config.Retries = 1, 2
			run := carry(t, config, anonymous{}, planned(t, setWith(t, "referrers: {copy: always}", one...)))
			run.allAre(t, stream.Current)
			name := p.destination.Host + "/m/a:v1"
			if got := run.results[name].Travelled; len(got) != 1 || got[0].Failed != 1 || !strings.Contains(got[0].Error.Message, c.says) {
				// The list may be that of the other image.
				if got = run.results[p.destination.Host+"/m/b:v1"].Travelled; len(got) != 1 || !strings.Contains(got[0].Error.Message, c.says) {
					t.Errorf("travelled %+v, want one that failed with %q", run.results, c.says)
				}
			}
			run = carry(t, config, anonymous{}, planned(t, setWith(t, "referrers: {copy: always, required: true}", one...)))
			if run.failed() == 0 {
				t.Errorf("no image failed: %+v", run.results)
			}
			if at := tagAt(t, p.destination, "m/a", "v1"); at != subject {
				t.Errorf("the tag is at %q", at)
			}
		})
	}
}

// A registry that fails to list the referrers of one image has the API for the others.
func TestReferrersThatFailAreNotMissing(t *testing.T) {
	t.Parallel()
	p := pair{startAs(t, true), startAs(t, true)}
	var lines []string
	subject, sbom := "", ""
	for _, name := range []string{"bad", "good"} {
		subject = push(t, p.source, "ci/"+name+":v1", registrytest.NewImage(registrytest.OCI, name, "amd64", registrytest.NewLayer(name, 1000)))
		sbom = attach(t, p.source, "ci/"+name, subject, "x/y")
		lines = append(lines, line(p, "ci/"+name+":v1", "m/"+name+":v1"))
	}
	p.source.Inject(registrytest.FaultRule{Path: regexp.MustCompile("/ci/bad/referrers/"), Fault: registrytest.Status(http.StatusInternalServerError, "")})
	config := settings()
	config.Retries = 1
	made := planned(t, setWith(t, "referrers: {required: true}", lines...))
	run := carry(t, config, anonymous{}, made)
	run.are(t, p.destination, map[string]string{"m/bad:v1": stream.Failed, "m/good:v1": stream.Copied})
	wantReferrers(t, p.destination, "m/good", subject, sbom)
}

// An image whose source's tag has moved on, and that an immutable tag keeps, gets what was made
// for it later, if the source still has it. An index that the source does not have any more is no
// error.
func TestLaterReferrersOfKeptTags(t *testing.T) {
	t.Parallel()
	p := pair{startAs(t, true), newRegistry(t, nil)}
	index := func(name string) (remote.Taggable, string) {
		child := registrytest.NewImage(registrytest.OCI, name, "amd64", registrytest.NewLayer(name, 500))
		return registrytest.NewIndex(registrytest.OCI, child), digestOf(t, child)
	}
	first, child := index("first")
	subject := push(t, p.source, "ci/a:v1", first)
	one := line(p, "ci/a:v1", "m/a:v1")
	kept := func() run {
		return carry(t, settings(), anonymous{}, planned(t, setWith(t, "referrers: {copy: always, required: true}\n  immutable: [\"*\"]", one)))
	}
	kept().allAre(t, stream.Copied)
	second, other := index("second")
	push(t, p.source, "ci/a:v1", second)
	sign(t, p.source, "ci/a", subject, ".sig")
	sign(t, p.source, "ci/a", child, ".sig")
	sign(t, p.source, "ci/a", other, ".sig")
	kept().allAre(t, stream.Current)
	for _, signed := range []string{subject, child} {
		wantSame(t, p, "ci/a", "m/a", registry.ReferrersTag(signed)+".sig")
	}
	if at := tagAt(t, p.destination, "m/a", "v1"); at != subject {
		t.Errorf("the tag is at %s", at)
	}
	p.source.Inject(registrytest.FaultRule{Path: regexp.MustCompile("manifests/" + subject), Fault: registrytest.Status(http.StatusNotFound, "")})
	kept().allAre(t, stream.Current)
}
