package wire

import (
	"net/http"
	"strings"
	"testing"

	"imagemirror/internal/imageset"
	"imagemirror/internal/plan"
	"imagemirror/internal/regerror"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/verify/signtest"
)

// probe returns the doubts of a probe, by destination.
func probe(t *testing.T, sets []*imageset.Set) map[string]plan.Doubt {
	t.Helper()
	doubts, err := plan.Probe(t.Context(), plan.Options{Client: client(t, settings())}, sets)
	if err != nil {
		t.Fatal(err)
	}
	of := map[string]plan.Doubt{}
	for _, d := range doubts {
		of[d.Destination] = d
	}
	return of
}

// A probe costs one request for each source, and one for each destination of a source that is
// there. It reads no content and writes nothing. It also finds an immutable tag that would move
// under its source's name, which a run takes for current.
func TestProbeFindsWhatARunWouldFail(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	_, second := twoImages(t, p)
	sets := versions(t,
		line(p, "ci/a:v1", "m/a:v1", "m/a:v2", "m/a:latest"),
		line(p, "ci/gone:v1", "m/gone:v1", "m/gone:latest"),
		line(p, "ci/a:*", "m/all"),
		line(p, "ci/a:w*", "m/none"),
	)
	push(t, p.destination, "m/a:v1", second)
	p.reset()
	doubts := probe(t, sets)
	wantRequests(t, p.source, map[string]int{"HEAD manifest": 2, "GET tags": 1})
	wantRequests(t, p.destination, map[string]int{"HEAD manifest": 4})

	at := p.destination.Host
	if d := doubts[at+"/m/a:v1"]; !d.Moves || d.Line != 1 {
		t.Errorf("of the tag that would move: %+v", d)
	}
	for _, gone := range []string{at + "/m/gone:v1", at + "/m/gone:latest"} {
		if d := doubts[gone]; d.Moves || regerror.StatusOf(d.Err) != http.StatusNotFound || d.Line != 2 {
			t.Errorf("of the missing source: %+v", d)
		}
	}
	if d := doubts[at+"/m/none"]; d.Err == nil || d.Line != 4 {
		t.Errorf("of the wildcard that matches nothing: %+v", d)
	}
	if len(doubts) != 4 {
		t.Errorf("got the doubts %v, want four", doubts)
	}
}

// A check with -online reads signatures for itself, also if a set chooses platforms: what travels
// with an image is looked for in runs only.
func TestProbeReadsSignatures(t *testing.T) {
	t.Parallel()
	for _, spec := range []string{"", "platforms: [linux/amd64]", "platforms: {only: [linux/amd64, linux/arm64, linux/s390x], form: rewrite}", "platforms: {only: [linux/amd64], form: flatten}"} {
		p := newPair(t)
		key := signtest.NewKeyPair()
		single, index := push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "signed", "amd64")), push(t, p.source, "ci/a:v2", threePlatforms(registrytest.OCI, "signed"))
		push(t, p.source, "ci/a:v3", registrytest.NewImage(registrytest.OCI, "unsigned", "amd64"))
		signWith(t, p.source, "ci/a", single, key)
		bundleWith(t, p.source, "ci/a", index, signtest.SignPredicate, key)
		sets := verifying(t, key, byKey+"\n  "+spec, line(p, "ci/a:v1", "m/a:v1"), line(p, "ci/a:v2", "m/a:v2"), line(p, "ci/a:v3", "m/a:v3"))
		doubts, err := plan.Probe(t.Context(), plan.Options{Client: client(t, settings())}, sets)
		if err != nil || len(doubts) != 1 || doubts[0].Line != 3 || !strings.Contains(doubts[0].Err.Error(), "found no signature") {
			t.Errorf("%s: %v, %v", spec, doubts, err)
		}
	}
}

// A check with -online leaves to others the pulls that a set keeps in reserve. What it could not
// look at is no mistake of the mapping's.
func TestProbeLeavesPullsInReserve(t *testing.T) {
	t.Parallel()
	for spec, waiting := range map[string]int{"reserve: 2": 1, "reserve: 2\n  platforms: [linux/amd64]": 2, "reserve: 4": 2} {
		p := newPair(t)
		key := signtest.NewKeyPair()
		for _, name := range []string{"a", "b"} {
			signWith(t, p.source, "ci/"+name, push(t, p.source, "ci/"+name+":v1", registrytest.NewImage(registrytest.OCI, name, "amd64")), key)
		}
		sets := verifying(t, key, byKey+"\n  "+spec, line(p, "ci/a:v1", "m/a:v1"), line(p, "ci/b:v1", "m/b:v1"))
		meter := registrytest.NewPullMeter(3, 21600)
		p.source.Inject(meter.Rule())
		doubts, err := plan.Probe(t.Context(), plan.Options{Client: client(t, settings())}, sets)
		if err != nil || len(doubts) != waiting {
			t.Errorf("%s: %v, %v", spec, doubts, err)
		}
		for _, d := range doubts {
			if !d.Waits || !strings.Contains(d.Err.Error(), "in reserve") {
				t.Errorf("%s: %+v", spec, d)
			}
		}
	}
}
