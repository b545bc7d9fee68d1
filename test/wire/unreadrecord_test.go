package wire

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"imagemirror/internal/imageset"
	"imagemirror/internal/plan"
	"imagemirror/internal/record"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// If a record cannot be read, a tag may be held that the record knows of. So no tag moves, and what
// moves none goes on: new tags, tags that are current, and images that have none.
func TestNoTagMovesWhileTheRecordCannotBeRead(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	publish := func(name, version string) string {
		return push(t, p.source, "ci/"+name+":v1", registrytest.NewImage(registrytest.OCI, name+version, "amd64", registrytest.NewLayer(name+version, 100)))
	}
	untagged := publish("untagged", "")
	s := newRecordedSet(t, p, line(p, "ci/held:v1", "m/held:v1"), line(p, "ci/moves:v1", "m/moves:v1"), line(p, "ci/same:v1", "m/same:v1"),
		line(p, "ci/untagged@"+untagged, "m/untagged"))
	first := publish("held", "1")
	before := publish("moves", "1")
	publish("same", "")
	s.mirror(t).allAre(t, stream.Copied)
	publish("held", "2")
	s.mirror(t)
	s.back(t, s.ask(t, p.destination.Host+"/m/held:v1"))
	p.wantAt(t, "m/held:v1", first)

	publish("moves", "2")
	publish("new", "")
	s.set.Mappings = append(slices.Clone(s.set.Mappings), setWith(t, "shards: 1", line(p, "ci/new:v1", "m/new:v1"))[0].Mappings...)
	unread := func(context.Context, string) (*record.Record, error) {
		return nil, errors.New("the API server is away")
	}
	made, err := plan.Make(t.Context(), plan.Options{Client: client(t, settings()), Recall: unread}, []*imageset.Set{s.set})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	results := s.results(t, &made.Content)
	for _, r := range results.Results {
		got[results.Mappings[r.ID-1].Destination[len(p.destination.Host)+3:]] = r.Status
		if r.Status == stream.Failed && !strings.Contains(r.Error.Message, "the record that says whether it is held cannot be read: the API server is away") {
			t.Errorf("the error is %q", r.Error.Message)
		}
	}
	for name, want := range map[string]string{"held:v1": stream.Failed, "moves:v1": stream.Failed, "same:v1": stream.Current, "untagged": stream.Current, "new:v1": stream.Copied} {
		if got[name] != want {
			t.Errorf("%s is %s, want %s", name, got[name], want)
		}
	}
	p.wantAt(t, "m/held:v1", first)
	p.wantAt(t, "m/moves:v1", before)

	// Once it can be read, only the hold remains.
	after := s.load(t)
	if d := after.Destination(p.destination.Host + "/m/held:v1"); d == nil || d.Hold == nil || d.Hold.IsOver("", time.Now()) {
		t.Errorf("the record has %+v", d)
	}
	s.mirror(t)
	p.wantAt(t, "m/held:v1", first)
}

// A record that is broken is lost with its holds: that fails no run. What a newer version wrote is
// not lost.
func TestLostRecordsFailNoRun(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{
		"{":               stream.Copied,
		"":                stream.Copied,
		`{"version": 1}`:  stream.Copied,
		`{"version": 99}`: stream.Failed,
	} {
		t.Run(content, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			publish := func(version string) {
				push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, version, "amd64", registrytest.NewLayer(version, 100)))
			}
			s := newRecordedSet(t, p, line(p, "ci/a:v1", "m/a:v1"))
			dir := t.TempDir()
			store, err := record.OpenDirectory(dir)
			if err != nil {
				t.Fatal(err)
			}
			s.store = store
			publish("1")
			s.mirror(t).allAre(t, stream.Copied)
			publish("2")
			if err := os.WriteFile(filepath.Join(dir, s.set.Name+".json"), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			recall := record.Config{Directory: dir}.Recaller()
			made, err := plan.Make(t.Context(), plan.Options{Client: client(t, settings()), Recall: recall}, []*imageset.Set{s.set})
			if err != nil {
				t.Fatal(err)
			}
			if got := s.results(t, &made.Content).Results[0]; got.Status != want || len(made.Header.Warnings) != 1 {
				t.Errorf("the tag is %s, want %s; warnings: %q", got.Status, want, made.Header.Warnings)
			}
		})
	}
}

// While the tags of a wildcard cannot be listed, its tags go back, and stay where they are held.
func TestRollbackWhileAWildcardFails(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	publish := func(version string) string {
		return push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, version, "amd64", registrytest.NewLayer(version, 100)))
	}
	s := newRecordedSet(t, p, line(p, "ci/a:v*", "m/a"))
	first := publish("1")
	s.mirror(t).allAre(t, stream.Copied)
	publish("2")
	s.mirror(t).allAre(t, stream.Copied)
	p.source.Inject(registrytest.FaultRule{Kind: "GET tags", Fault: registrytest.Status(403, "")})
	s.mirror(t).allAre(t, stream.Failed)
	name := p.destination.Host + "/m/a:v1"
	s.back(t, s.ask(t, p.destination.Host+"/m/a")).allAre(t, stream.Copied)
	p.wantAt(t, "m/a:v1", first)
	s.mirror(t).allAre(t, stream.Failed)
	if held := s.load(t).Held(); len(held) != 1 || held[0].Name != name {
		t.Errorf("held are %v, want %s", held, name)
	}
	p.source.Heal()
	s.mirror(t).allAre(t, stream.Held)
	p.wantAt(t, "m/a:v1", first)
}
