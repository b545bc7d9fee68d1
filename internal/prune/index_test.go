package prune

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"imagemirror/internal/registry"
	"imagemirror/internal/registrytest"
)

// An image that an index lists keeps its signatures though its own tag goes: whoever verifies the
// index recursively needs them.
func TestReferrersOfImagesInIndexesStay(t *testing.T) {
	t.Parallel()
	oci, docker := registrytest.OCI, registrytest.Docker
	for _, c := range []struct {
		name  string
		index func(child mutate.Appendable) v1.ImageIndex
		late  bool // the index is pushed after the file is made
		stays bool
	}{
		{"an OCI index", func(child mutate.Appendable) v1.ImageIndex { return registrytest.NewIndex(oci, child) }, false, true},
		{"a Docker list", func(child mutate.Appendable) v1.ImageIndex { return registrytest.NewIndex(docker, child) }, false, true},
		{"an index in an index", func(child mutate.Appendable) v1.ImageIndex {
			return registrytest.NewIndex(oci, registrytest.NewIndex(oci, child))
		}, false, true},
		{"an index that is new", func(child mutate.Appendable) v1.ImageIndex { return registrytest.NewIndex(oci, child) }, true, true},
		{"an index of others", func(mutate.Appendable) v1.ImageIndex {
			return registrytest.NewIndex(oci, registrytest.NewImage(oci, "c", "arm64", registrytest.NewLayer("c", 100)))
		}, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := fill(t, registrytest.Distribution(t, registrytest.DistributionOptions{}), registrytest.ProxyOptions{}, map[string]string{"v1-amd64": "a"})
			child := registrytest.NewImage(oci, "a", "amd64", registrytest.NewLayer("a", 100))
			publish := func() { registrytest.Push(t, w.Host+"/m/a:v1", c.index(child)) }
			if !c.late {
				publish()
			}
			signature := registry.ReferrersTag(w.images["a"]) + ".sig"
			registrytest.Push(t, w.Host+"/m/a:"+signature, registrytest.NewArtifact("sig", registrytest.NewLayer("sig", 50)))
			referrer := refer(t, w, w.images["a"])
			f := w.list(t, w.candidate("v1-amd64", []string{w.images["a"]}))
			if c.late {
				publish()
			}
			if outcomes := (&Application{Client: client(t)}).Apply(t.Context(), f); !outcomes[0].Deleted || outcomes[0].Failed() != c.late {
				t.Errorf("got %+v", outcomes[0])
			}
			all := []string{"v1", signature, registry.ReferrersTag(w.images["a"]), referrer}
			want := all
			if !c.stays {
				want = all[:1]
			}
			if got := w.tags(t, all...); !slices.Equal(got, want) {
				t.Errorf("%q are left, want %q", got, want)
			}
		})
	}
}

// A file that somebody edited deletes nothing by its digest but what refers to the image, and not
// that if a mapping names it.
func TestOnlyReferrersAreDeletedByDigest(t *testing.T) {
	t.Parallel()
	w := fill(t, registrytest.Distribution(t, registrytest.DistributionOptions{}), registrytest.ProxyOptions{}, map[string]string{"old": "a", "of-other": "b"})
	referrer, other := refer(t, w, w.images["a"]), refer(t, w, w.images["b"])
	image := registrytest.Push(t, w.Host+"/m/a@"+imageDigest(t, "c"), registrytest.NewImage(registrytest.OCI, "c", "amd64", registrytest.NewLayer("c", 100)))
	f := w.list(t, w.candidate("old", []string{w.images["a"]}))
	f.Tags[0].With = append(f.Tags[0].With, With{Kind: Referrer, Digest: image}, With{Kind: Referrer, Digest: other})
	refuse := func(name, digest string) string {
		if name == w.Host+"/m/a@"+referrer {
			return "a mapping names it"
		}
		return ""
	}
	outcomes := (&Application{Client: client(t), Refuse: refuse}).Apply(t.Context(), f)
	var why []string
	for _, l := range outcomes[0].Left {
		why = append(why, l.Why)
	}
	if diff := cmp.Diff([]string{"a mapping names it", "it does not refer to the image", "a tag leads to it"}, why); diff != "" {
		t.Errorf("why they are left (-want +got):\n%s", diff)
	}
	if got := w.tags(t, referrer, image, other); len(got) != 3 {
		t.Errorf("%q are left, want all", got)
	}
}

func imageDigest(t *testing.T, name string) string {
	t.Helper()
	d, err := registrytest.NewImage(registrytest.OCI, name, "amd64", registrytest.NewLayer(name, 100)).Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}
