package wire

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"imagemirror/internal/fault"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// A registry that wants all manifests of an index to be there is named, with what to do.
func TestSparseIndexIsRefused(t *testing.T) {
	t.Parallel()
	for name, destination := range map[string]func(t *testing.T) remoteRegistry{
		"distribution":           func(t *testing.T) remoteRegistry { return newRegistry(t, nil) },
		"go-containerregistry's": func(t *testing.T) remoteRegistry { return startAs(t, true) },
		"ociserver":              startOCIServer,
		"distribution 2":         startDebian,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := pair{newRegistry(t, nil), destination(t)}
			config := settings()
			config.Retries = 1
			for _, f := range []registrytest.Format{registrytest.OCI, registrytest.Docker} {
				to := line(p, "ci/"+string(f)+":v1", "m/"+string(f)+":v1")
				push(t, p.source, "ci/"+string(f)+":v1", threePlatforms(f, "refused"))
				got := carry(t, config, anonymous{}, planned(t, setWith(t, twoPlatforms, to)))
				if name == "ociserver" && f == registrytest.Docker { // it does not look into them
					got.allAre(t, stream.Copied)
				} else {
					wantSparseRefused(t, got, p.destination.Host+"/m/"+string(f)+":v1")
				}
				mirrorSet(t, rewritten, to).allAre(t, stream.Copied)
				mirrorSet(t, rewritten, to).allAre(t, stream.Current)
				mirrorSet(t, flattened, to).allAre(t, stream.Copied)
			}
			// The other way round, with what it has now as a source.
			back := pair{p.destination, p.source}
			mirrorSet(t, "platforms: {only: [linux/arm64], form: rewrite}", line(back, "m/oci:v1", "back/image:v1")).allAre(t, stream.Copied)
			push(t, back.source, "m/docker:all", threePlatforms(registrytest.Docker, "back"))
			mirrorSet(t, rewritten, line(back, "m/docker:all", "back/index:v1")).allAre(t, stream.Copied)
			mirrorSet(t, rewritten, line(back, "m/docker:all", "back/index:v1")).allAre(t, stream.Current)
		})
	}
}

// startDebian starts distribution 2.8, if the machine has it.
func startDebian(t *testing.T) remoteRegistry {
	t.Helper()
	r, err := registrytest.StartDebian("")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(r.Close)
	return remoteRegistry{registrytest.NewProxy(t, r, registrytest.ProxyOptions{}), r.Host}
}

func startOCIServer(t *testing.T) remoteRegistry {
	t.Helper()
	r := registrytest.StartOCIServer()
	t.Cleanup(r.Close)
	return remoteRegistry{registrytest.NewProxy(t, r, registrytest.ProxyOptions{}), r.Host}
}

func wantSparseRefused(t *testing.T, got run, destination string) {
	t.Helper()
	e := got.results[destination].Error
	if e == nil || e.Kind != fault.Unsupported || !strings.Contains(e.Message, "the index lists 1 manifest that spec.platforms leaves out") ||
		!strings.Contains(e.Advice, "set platforms.form: rewrite") {
		t.Errorf("%s has the error %+v", destination, e)
	}
}

// Once a registry has refused a sparse index for what is not there, others are not sent to it,
// unless the children that they leave out happen to be there.
func TestRefusalOfSparseIndexesIsRemembered(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	push(t, p.source, "ci/a:v1", threePlatforms(registrytest.OCI, "first"))
	there := threePlatforms(registrytest.OCI, "there")
	push(t, p.source, "ci/b:v1", there)
	push(t, p.destination, "m/b:whole", there)
	lines := []string{line(p, "ci/a:v1", "m/a:v1"), line(p, "ci/b:v1", "m/b:v1")}
	for i := range 3 {
		tag := fmt.Sprintf("large:v%d", i)
		index := threePlatforms(registrytest.OCI, tag)
		push(t, p.source, "ci/"+tag, index)
		lines = append(lines, line(p, "ci/"+tag, "m/"+tag))
		p.destination.Inject(registrytest.FaultRule{Kind: "PUT manifest", Path: regexp.MustCompile(children(t, index)[0]), Fault: registrytest.Stall()})
	}
	// The child of the image whose others are there waits until these were asked for.
	asked := make(chan struct{})
	wait := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-asked; next.ServeHTTP(w, r) })
	}
	tell := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(w, r); close(asked) })
	}
	p.destination.Inject(
		registrytest.FaultRule{Kind: "PUT manifest", Path: regexp.MustCompile("m/b/manifests/" + children(t, there)[0]), Fault: wait},
		registrytest.FaultRule{Kind: "HEAD manifest", Path: regexp.MustCompile("m/b/manifests/" + children(t, there)[2]), Fault: tell})
	p.reset()
	got := mirrorSet(t, twoPlatforms, lines...)
	wantSparseRefused(t, got, p.destination.Host+"/m/a:v1")
	for i := range 3 {
		wantSparseRefused(t, got, p.destination.Host+fmt.Sprintf("/m/large:v%d", i))
	}
	if r := got.results[p.destination.Host+"/m/b:v1"]; r.Status != stream.Copied {
		t.Errorf("the index whose children are there is %s: %+v", r.Status, r.Error)
	}
	for _, q := range p.destination.Log() {
		if q.Kind == "PUT manifest" && q.Repo == "m/large" && strings.HasPrefix(q.Ref, "v") {
			t.Errorf("an index was sent: %s", q.Path)
		}
	}
}
