package plan

import (
	"context"
	"regexp"
	"strings"
	"testing"

	"imagemirror/internal/record"
	"imagemirror/internal/registrytest"
)

// A check doubts a tag that is published with what its source does not have, and no other.
func TestTakeovers(t *testing.T) {
	from, to := registrytest.InProcess(t), registrytest.InProcess(t)
	at := registrytest.NewProxy(t, to, registrytest.ProxyOptions{})
	push := func(ref, content string) string {
		return registrytest.Push(t, ref, registrytest.NewImage(registrytest.OCI, content, "amd64", registrytest.NewLayer(content, 100)))
	}
	for _, repo := range []string{"current", "absent", "moved", "taken", "recorded", "private", "wild"} {
		push(from.Host+"/ci/"+repo+":v1", repo)
	}
	push(from.Host+"/ci/wild:v2", "wild two")
	push(to.Host+"/m/current:v1", "current")
	push(from.Host+"/ci/moved:older", "older")
	push(to.Host+"/m/moved:v1", "older")
	taken := push(to.Host+"/m/taken:v1", "somebody's")
	push(to.Host+"/m/recorded:v1", "somebody's")
	push(to.Host+"/m/private:v1", "somebody's")
	push(to.Host+"/m/wild:v2", "somebody's")
	at.Inject(registrytest.FaultRule{Path: regexp.MustCompile("/m/private/"), Fault: registrytest.Status(403, "")})
	lines := []string{from.Host + "/ci/wild:* " + at.Host + "/m/wild", from.Host + "/ci/gone:v1 " + at.Host + "/m/taken:gone"}
	for _, repo := range []string{"current", "absent", "moved", "taken", "recorded", "private"} {
		lines = append(lines, from.Host+"/ci/"+repo+":v1 "+at.Host+"/m/"+repo+":v1")
	}
	o := options(t)
	o.Recall = func(_ context.Context, set string) (*record.Record, error) {
		r := record.New(set)
		r.Destinations = []*record.Destination{{Name: at.Host + "/m/recorded:v1"}}
		return r, nil
	}
	doubts, err := Probe(t.Context(), o, load(t, lines...))
	if err != nil {
		t.Fatal(err)
	}
	var takes []string
	for _, d := range doubts {
		if d.Takes {
			takes = append(takes, strings.TrimPrefix(d.Destination, at.Host+"/m/"))
		}
	}
	if got := strings.Join(takes, " "); got != "wild:v2 taken:v1" {
		t.Errorf("the doubted tags are %q", got)
	}
	want := "the tag " + at.Host + "/m/taken:v1 is published as " + taken + ", which " + from.Host + "/ci/taken does not have"
	if got := doubts[len(doubts)-1].Err.Error(); !strings.HasPrefix(got, want) {
		t.Errorf("the doubt is %q, want %q", got, want)
	}
}
