package prune

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	gcr "github.com/google/go-containerregistry/pkg/registry"

	"imagemirror/internal/credentials"
	"imagemirror/internal/digest"
	"imagemirror/internal/manifest"
	"imagemirror/internal/reference"
	"imagemirror/internal/registry"
	"imagemirror/internal/registrytest"
)

type anonymous struct{}

func (anonymous) For(context.Context, reference.Side, string, string) (credentials.Credential, error) {
	return credentials.Credential{}, nil
}

func client(t *testing.T) *registry.Client {
	t.Helper()
	c, err := registry.New(registry.Config{Concurrency: 8, Retries: 3, Stall: 5 * time.Second}, anonymous{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A world is a registry with images, and the names of their tags.
type world struct {
	*registrytest.Proxy
	images map[string]string // digests by name
}

// fill pushes images to tags of the repository m/a.
func fill(t *testing.T, r *registrytest.Registry, o registrytest.ProxyOptions, tags map[string]string) *world {
	t.Helper()
	w := &world{Proxy: registrytest.NewProxy(t, r, o), images: map[string]string{}}
	for tag, name := range tags {
		w.images[name] = registrytest.Push(t, r.Host+"/m/a:"+tag, registrytest.NewImage(registrytest.OCI, name, "amd64", registrytest.NewLayer(name, 100)))
	}
	return w
}

func (w *world) candidate(tag string, digests []string, with ...With) UnwantedTag {
	return UnwantedTag{Tag: reference.Reference{Registry: w.Host, Repository: "m/a", Tag: tag}, Since: ago(40), Digests: digests, Reason: "none", With: with}
}

// list lists candidates, by way of a file.
func (w *world) list(t *testing.T, found ...UnwantedTag) *Proposal {
	t.Helper()
	f, err := Propose(t.Context(), client(t), "set", found, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	f.Most = 50
	content, err := f.Write()
	if err != nil {
		t.Fatal(err)
	}
	if f, err = Read(content); err != nil {
		t.Fatal(err)
	}
	return f
}

// tags returns which of the tags exist.
func (w *world) tags(t *testing.T, all ...string) (there []string) {
	t.Helper()
	to, err := client(t).Destination(t.Context(), reference.Reference{Registry: w.Host, Repository: "m/a"}, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range all {
		if _, err := to.Head(t.Context(), tag); err == nil {
			there = append(there, tag)
		}
	}
	return there
}

// Registries that delete tags leave other tags of the same image, also those that are deleted by
// nobody's wish. What somebody else has pushed since, and what was never there, is left.
func TestTagsAreDeletedAsTags(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func() *registrytest.Registry{
		"distribution":         func() *registrytest.Registry { return registrytest.Distribution(t, registrytest.DistributionOptions{}) },
		"go-containerregistry": func() *registrytest.Registry { return registrytest.StartInProcess() },
		"ociserver":            registrytest.StartOCIServer,
		"with tokens for a right that only the challenge names": func() *registrytest.Registry { return registrytest.Distribution(t, registrytest.DistributionOptions{}) },
	} {
		t.Run(name, func(t *testing.T) {
			r := start()
			t.Cleanup(r.Close)
			o := registrytest.ProxyOptions{}
			if strings.HasPrefix(name, "with tokens") {
				o.Auth = &registrytest.Auth{}
			}
			all := []string{"old", "same", "extra", "moved", "moved-extra", "mine"}
			w := fill(t, r, o, map[string]string{"old": "a", "same": "a", "extra": "a", "moved": "b", "moved-extra": "a", "mine": "c"})
			a := w.images["a"]
			f := w.list(t,
				w.candidate("old", []string{a}, With{Additional, "extra", a}, With{Additional, "moved-extra", a}, With{Additional, "absent", a}),
				w.candidate("moved", []string{w.images["b"]}), w.candidate("mine", []string{a}), w.candidate("never", []string{a}))
			if len(f.Tags) != 2 || len(f.Left) != 1 || !slices.Equal(f.Deleted, []string{w.Host + "/m/a:never"}) || !strings.Contains(f.Left[0].Why, "somebody else did") {
				t.Fatalf("listed %+v", f)
			}
			// Between the list and its application, somebody pushes.
			for _, tag := range []string{"moved", "moved-extra"} {
				registrytest.Push(t, r.Host+"/m/a:"+tag, registrytest.NewImage(registrytest.OCI, "new", "amd64", registrytest.NewLayer("new", 100)))
			}
			outcomes := (&Application{Client: client(t)}).Apply(t.Context(), f)
			if diff := cmp.Diff([]string{"same", "moved", "moved-extra", "mine"}, w.tags(t, all...)); diff != "" {
				t.Errorf("tags that are left (-want +got):\n%s", diff)
			}
			if !outcomes[0].Deleted || len(outcomes[0].With) != 1 || len(outcomes[0].Left) != 1 || !strings.Contains(outcomes[0].Left[0].Why, "somebody has pushed it since") {
				t.Errorf("of old came %+v", outcomes[0])
			}
			if outcomes[1].Deleted || !strings.Contains(outcomes[1].Why, "somebody has pushed it since") {
				t.Errorf("of moved came %+v", outcomes[1])
			}
			// Once more: all is as it was.
			again := (&Application{Client: client(t)}).Apply(t.Context(), f)
			if again[0].Deleted || !again[0].Gone || len(again[0].With) != 0 {
				t.Errorf("once more: %+v", again[0])
			}
			for _, request := range w.Log() {
				if request.Method == http.MethodDelete && digest.Valid(request.Ref) {
					t.Errorf("a manifest was deleted by its digest: %s", request.Path)
				}
			}
		})
	}
}

// A registry that deletes nothing is named, and asked once.
func TestRegistriesThatDeleteNoTagsAreNamed(t *testing.T) {
	t.Parallel()
	disabled := registrytest.Distribution(t, registrytest.DistributionOptions{Undeletable: true})
	enabled := registrytest.Distribution(t, registrytest.DistributionOptions{})
	for _, c := range []struct {
		name string
		r    *registrytest.Registry
		rule registrytest.FaultRule
	}{
		{"disabled", disabled, registrytest.FaultRule{Match: func(*http.Request) bool { return false }}},
		{"by digest only", enabled, registrytest.FaultRule{Kind: "DELETE manifest", Fault: registrytest.Status(400, `{"errors":[{"code":"DIGEST_INVALID"}]}`)}},
		{"not at all", enabled, registrytest.FaultRule{Kind: "DELETE manifest", Fault: registrytest.Status(405, `{"errors":[{"code":"UNSUPPORTED"}]}`)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := fill(t, c.r, registrytest.ProxyOptions{}, map[string]string{"one": "a", "two": "b"})
			w.Inject(c.rule)
			f := w.list(t, w.candidate("one", []string{w.images["a"]}, With{Additional, "two", w.images["b"]}), w.candidate("two", []string{w.images["b"]}))
			outcomes := (&Application{Client: client(t)}).Apply(t.Context(), f)
			for _, o := range outcomes {
				if o.Deleted || !strings.HasPrefix(o.Why, w.Host+" deletes no tags: ") {
					t.Errorf("got %+v", o)
				}
			}
			if n := w.Stats().Requests["DELETE manifest"]; n != 1 {
				t.Errorf("%d requests to delete, want one", n)
			}
			if got := w.tags(t, "one", "two"); len(got) != 2 {
				t.Errorf("%v are left, want both", got)
			}
		})
	}
}

// A tag costs a HEAD and a list of its repository's tags and of its referrers to be listed, and a
// HEAD and a DELETE to be deleted.
func TestPruneRequests(t *testing.T) {
	t.Parallel()
	w := fill(t, registrytest.Distribution(t, registrytest.DistributionOptions{}), registrytest.ProxyOptions{}, map[string]string{"one": "a", "extra": "a", "two": "b", "other": "c"})
	w.Reset()
	f := w.list(t, w.candidate("one", []string{w.images["a"]}, With{Additional, "extra", w.images["a"]}), w.candidate("two", []string{w.images["b"]}))
	want := map[string]int{"HEAD manifest": 3, "GET tags": 1, "GET referrers": 1}
	if diff := cmp.Diff(want, w.Stats().Requests); diff != "" {
		t.Errorf("requests to list (-want +got):\n%s", diff)
	}
	w.Reset()
	(&Application{Client: client(t)}).Apply(t.Context(), f)
	if diff := cmp.Diff(map[string]int{"HEAD manifest": 3, "DELETE manifest": 3}, w.Stats().Requests); diff != "" {
		t.Errorf("requests to delete (-want +got):\n%s", diff)
	}
}

// At most so many tags are deleted at once; the rest is deleted by the next Apply.
func TestMostIsKept(t *testing.T) {
	t.Parallel()
	w := fill(t, registrytest.Distribution(t, registrytest.DistributionOptions{}), registrytest.ProxyOptions{}, map[string]string{"a": "a", "b": "a", "c": "a"})
	d := []string{w.images["a"]}
	f := w.list(t, w.candidate("a", d), w.candidate("b", d), w.candidate("c", d))
	f.Most = 2
	for i, want := range [][]string{{"c"}, nil} {
		outcomes := (&Application{Client: client(t)}).Apply(t.Context(), f)
		if got := w.tags(t, "a", "b", "c"); !slices.Equal(got, want) || len(outcomes) != 2+i {
			t.Errorf("after %d times %v are left, want %v", i+1, got, want)
		}
	}
}

// What refers to an image goes with its last tag: cosign's tags, the index of referrers and the
// referrers themselves. It stays while any other tag leads to the image.
func TestReferrersGoWithTheLastTag(t *testing.T) {
	t.Parallel()
	for _, api := range []bool{false, true} {
		for _, shared := range []bool{false, true} {
			name := map[bool]string{false: "without the API", true: "with the API"}[api] + map[bool]string{false: ", alone", true: ", shared"}[shared]
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r := registrytest.StartInProcess(gcr.WithReferrersSupport(true))
				if !api {
					r = registrytest.Distribution(t, registrytest.DistributionOptions{})
				}
				t.Cleanup(r.Close)
				tags := map[string]string{"old": "a", "wanted": "b"}
				if shared {
					tags["unknown"] = "a"
				}
				w := fill(t, r, registrytest.ProxyOptions{}, tags)
				subject := w.images["a"]
				signature := registry.ReferrersTag(subject) + ".sig"
				registrytest.Push(t, r.Host+"/m/a:"+signature, registrytest.NewArtifact("sig", registrytest.NewLayer("sig", 50)))
				referrer := refer(t, w, subject)
				f := w.list(t, w.candidate("old", []string{subject}))
				outcomes := (&Application{Client: client(t)}).Apply(t.Context(), f)
				if outcomes[0].Failed() || !outcomes[0].Deleted {
					t.Fatalf("got %+v", outcomes[0])
				}
				there := w.tags(t, "old", "wanted", signature, registry.ReferrersTag(subject), referrer)
				want := []string{"wanted"}
				if shared {
					want = []string{"wanted", signature, registry.ReferrersTag(subject), referrer}
				}
				if diff := cmp.Diff(want, there); diff != "" {
					t.Errorf("what is there (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// What refers to an earlier image goes with the additional tag or kept image that is deleted, and
// stays while another tag leads to that image.
func TestReferrersOfEarlierImagesGoWithTheirTags(t *testing.T) {
	t.Parallel()
	for _, api := range []bool{false, true} {
		t.Run(map[bool]string{false: "without the API", true: "with the API"}[api], func(t *testing.T) {
			t.Parallel()
			r := registrytest.StartInProcess(gcr.WithReferrersSupport(true))
			if !api {
				r = registrytest.Distribution(t, registrytest.DistributionOptions{})
			}
			t.Cleanup(r.Close)
			w := fill(t, r, registrytest.ProxyOptions{}, map[string]string{"old": "a", "old-b": "b", "old-previous": "c", "old-d": "d", "shared": "d"})
			of := map[string][]string{}
			for name, image := range w.images {
				signature := registry.ReferrersTag(image) + ".sig"
				registrytest.Push(t, r.Host+"/m/a:"+signature, registrytest.NewArtifact("sig of "+name, registrytest.NewLayer("sig", 50)))
				of[name] = []string{signature, refer(t, w, image)}
			}
			image := w.images
			f := w.list(t, w.candidate("old", []string{image["a"]},
				With{Additional, "old-b", image["b"]}, With{Kept, "old-previous", image["c"]}, With{Additional, "old-d", image["d"]}))
			if edited := cutWith(t, f, "old-b"); !strings.Contains(edited.Error(), "or of an image that goes with it: remove it, too") {
				t.Errorf("without the tag old-b: %v", edited)
			}
			outcomes := (&Application{Client: client(t)}).Apply(t.Context(), f)
			if outcomes[0].Failed() || !outcomes[0].Deleted {
				t.Fatalf("got %+v", outcomes[0])
			}
			var all []string
			for _, name := range []string{"a", "b", "c", "d"} {
				all = append(all, of[name]...)
			}
			if diff := cmp.Diff(append(of["d"], "shared"), w.tags(t, append(all, "old", "old-b", "old-previous", "old-d", "shared")...)); diff != "" {
				t.Errorf("what is there (-want +got):\n%s", diff)
			}
		})
	}
}

// cutWith reads a file from which somebody has removed a tag, and returns the error.
func cutWith(t *testing.T, f *Proposal, tag string) error {
	t.Helper()
	edited := *f
	edited.Tags = slices.Clone(f.Tags)
	edited.Tags[0].With = slices.DeleteFunc(slices.Clone(f.Tags[0].With), func(w With) bool { return w.Tag == tag })
	content, err := edited.Write()
	if err != nil {
		t.Fatal(err)
	}
	if _, err = Read(content); err == nil {
		t.Fatal("it is read")
	}
	return err
}

// refer pushes an artifact that refers to an image, and returns its digest.
func refer(t *testing.T, w *world, subject string) string {
	t.Helper()
	to, err := client(t).Destination(t.Context(), reference.Reference{Registry: w.Host, Repository: "m/a"}, true)
	if err != nil {
		t.Fatal(err)
	}
	registrytest.Push(t, w.Host+"/m/a:blobs", registrytest.NewEmptyConfigArtifact(registrytest.NewLayer("sbom", 50)))
	raw, err := to.Manifest(t.Context(), "blobs")
	if err != nil {
		t.Fatal(err)
	}
	content := strings.Replace(string(raw.Content), "{", `{"artifactType":"application/spdx+json","subject":{"mediaType":"`+manifest.OCIManifest+`","digest":"`+subject+`","size":1},`, 1)
	m := manifest.Raw{Digest: digest.Of([]byte(content)), MediaType: manifest.OCIManifest, Content: []byte(content)}
	if err := to.PutManifest(t.Context(), m.Digest, m); err != nil {
		t.Fatal(err)
	}
	if !to.ListsReferrers() {
		if err := to.AddReferrers(t.Context(), subject, []manifest.Raw{m}); err != nil {
			t.Fatal(err)
		}
	}
	return m.Digest
}
