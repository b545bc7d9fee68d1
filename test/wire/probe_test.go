package wire

import (
	"net/http"
	"testing"

	"imagemirror/internal/imageset"
	"imagemirror/internal/plan"
	"imagemirror/internal/regerror"
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
