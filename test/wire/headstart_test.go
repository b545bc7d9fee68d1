package wire

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"sync/atomic"
	"testing"

	"imagemirror/internal/imageset"
	"imagemirror/internal/mirror"
	"imagemirror/internal/plan"
	"imagemirror/internal/reference"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// Uploads are opened while the source still sends the last manifest.
func TestUploadsOpenBeforeThePlanIsMade(t *testing.T) {
	t.Parallel()
	for name, auth := range map[string]*registrytest.Auth{"open": nil, "private": {}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := pair{newRegistry(t, auth), newRegistry(t, auth)}
			w := newWorkload(t, p, 6)
			gate := make(chan struct{})
			p.source.Inject(registrytest.FaultRule{Kind: "GET manifest", Path: regexp.MustCompile(`/ci/image-5/manifests/v1$`), Times: 1, Fault: await(gate, t)})
			p.destination.Inject(registrytest.FaultRule{Kind: "POST mount", Times: 1, Fault: open(gate)})
			runLines(t, w.lines...).allAre(t, stream.Copied)
			for _, name := range w.names {
				wantArrived(t, p, name, "mirror/"+name)
			}
		})
	}
}

// A head start changes when requests are sent, and not which.
func TestHeadStartCostsNoRequest(t *testing.T) {
	t.Parallel()
	for name, auth := range map[string]*registrytest.Auth{"open": nil, "private": {}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requests := func(ahead bool) (source, destination map[string]int) {
				p := pair{newRegistry(t, auth), newRegistry(t, auth)}
				w := newWorkload(t, p, 24) // their tokens are two
				c := client(t, settings())
				if ahead {
					runWith(t, c, w.lines...)
				} else {
					runFrom(t, c, nil, nil, w.lines...)
				}
				return p.source.Stats().Requests, p.destination.Stats().Requests
			}
			source, destination := requests(true)
			wantSource, wantDestination := requests(false)
			if !maps.Equal(source, wantSource) || !maps.Equal(destination, wantDestination) {
				t.Errorf("got %v and %v, want %v and %v", source, destination, wantSource, wantDestination)
			}
		})
	}
}

// The first upload to a repository goes alone, and no other follows if it is denied.
func TestHeadStartStopsAtTheFirstDenial(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	w := newWorkload(t, p, 3)
	var asked atomic.Int64
	p.destination.Inject(registrytest.FaultRule{
		Kind: "POST mount", Path: regexp.MustCompile("/image-2/"), Match: func(*http.Request) bool { return asked.Add(1) > 0 },
		Fault: registrytest.Status(http.StatusForbidden, `{"errors":[{"code":"DENIED"}]}`),
	}, registrytest.FaultRule{
		Kind: "POST upload", Path: regexp.MustCompile("/image-2/"), Fault: registrytest.Status(http.StatusForbidden, `{"errors":[{"code":"DENIED"}]}`),
	})
	r := runLines(t, w.lines...)
	for i, want := range []string{stream.Copied, stream.Copied, stream.Failed} {
		if got := r.results[p.destination.Host+"/mirror/"+w.names[i]]; got.Status != want {
			t.Errorf("%s is %s, want %s: %v", w.names[i], got.Status, want, got.Error)
		}
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("%d mounts were asked for, want one ahead and one by the run", n)
	}
}

// Uploads that no image takes over are cancelled.
func TestUnusedHeadStartIsCancelled(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	w := newWorkload(t, p, 2)
	c := client(t, settings())
	start := mirror.NewHeadStart(t.Context(), c)
	digests := []string{registrytest.NewLayer("a", 1000).Digest.String(), registrytest.NewLayer("b", 1000).Digest.String()}
	to, err := reference.Parse(p.destination.Host + "/mirror/ci/none:v1")
	if err != nil {
		t.Fatal(err)
	}
	start.Open(to, digests)
	start.Open(to, digests) // they are opened once
	runFrom(t, c, start, start.Open, w.lines...).allAre(t, stream.Copied)
	before := p.destination.Stats().Requests
	start.Close()
	after := p.destination.Stats().Requests
	if before["DELETE upload"] != 0 || after["DELETE upload"] != len(digests) {
		t.Errorf("%d and %d uploads were cancelled before and after the end, want 0 and %d", before["DELETE upload"], after["DELETE upload"], len(digests))
	}
}

// There is no head start if an earlier image may change what a later one does.
func TestHeadStartIsForColdDestinations(t *testing.T) {
	t.Parallel()
	p, other := newPair(t), newPair(t)
	w := newWorkload(t, p, 4)
	known := newPair(t)
	there := newWorkload(t, known, 3)
	push(t, known.destination, "mirror/"+there.names[2], registrytest.NewImage(registrytest.OCI, "old", "amd64"))
	elsewhere := slices.Clone(w.lines)
	closed := newRegistry(t, &registrytest.Auth{Basic: true})
	elsewhere[1] = line(pair{p.source, other.destination}, w.names[1], "mirror/"+w.names[1])
	for _, c := range []struct {
		name  string
		lines []string
		want  int
	}{
		{"nothing is there, and three are enough", w.lines, 3},
		{"a tag exists", there.lines, 0},
		{"two registries", elsewhere, 0},
		{"from the registry itself", []string{line(pair{p.source, p.source}, w.names[0], "m/a:v1")}, 0},
		{"no credentials for Basic", []string{line(pair{p.source, closed}, w.names[0], "m/a:v1")}, 0},
		{"one source is missing", append([]string{line(p, "ci/none:v1", "mirror/none:v1")}, w.lines...), 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			input, err := imageset.Load([]string{mappingFile(t, c.lines...)}, nil)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			ready := func(to reference.Reference, _ []string) bool {
				got = append(got, to.String())
				return len(got) < 3
			}
			made, err := plan.Make(t.Context(), plan.Options{Client: client(t, settings()), Ready: ready}, input.Sets)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for _, copied := range made.Copies[:c.want] {
				want = append(want, made.Mappings[copied.ID-1].Destination)
			}
			if !slices.Equal(got, want) {
				t.Errorf("ready were %q, want %q", got, want)
			}
		})
	}
}
