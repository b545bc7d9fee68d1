package wire

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"imagemirror/internal/digest"
	"imagemirror/internal/fault"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// edit returns a copy of an index with other content.
func edit(t *testing.T, index v1.ImageIndex, change func(fields map[string]any, manifests []map[string]any) []map[string]any) registrytest.BareManifest {
	t.Helper()
	raw, err := index.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	mediaType, err := index.MediaType()
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		t.Fatal(err)
	}
	var manifests []map[string]any
	for _, m := range fields["manifests"].([]any) {
		manifests = append(manifests, m.(map[string]any))
	}
	fields["manifests"] = change(fields, manifests)
	content, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return registrytest.BareManifest{Type: mediaType, Content: content}
}

// attested returns an index as BuildKit writes them: each image has an attestation in the index.
func attested(t *testing.T, p pair, repository, name string) (index registrytest.BareManifest, images, attestations []string) {
	t.Helper()
	both := registrytest.NewIndex(registrytest.OCI,
		registrytest.NewImage(registrytest.OCI, name, "amd64", registrytest.NewLayer(name+"amd64", 2000)),
		registrytest.NewImage(registrytest.OCI, name, "s390x", registrytest.NewLayer(name+"s390x", 2000)),
		registrytest.NewEmptyConfigArtifact(registrytest.NewLayer(name+"att-amd64", 500)),
		registrytest.NewEmptyConfigArtifact(registrytest.NewLayer(name+"att-s390x", 500)))
	push(t, p.source, repository+":parts", both)
	all := children(t, both)
	return edit(t, both, func(_ map[string]any, manifests []map[string]any) []map[string]any {
		for i, of := range all[:2] {
			manifests[2+i]["platform"] = map[string]string{"os": "unknown", "architecture": "unknown"}
			manifests[2+i]["annotations"] = map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": of}
		}
		return manifests
	}), all[:2], all[2:]
}

// Attestations of the images that are copied stay in the index, and no others.
func TestAttestationsStayWithTheirImages(t *testing.T) {
	t.Parallel()
	for form, p := range map[string]pair{"sparse": newSparsePair(t), "rewrite": newPair(t)} {
		t.Run(form, func(t *testing.T) {
			index, images, attestations := attested(t, p, "ci/a", "att")
			push(t, p.source, "ci/a:v1", index)
			spec := "platforms: {only: [linux/amd64], form: " + form + "}"
			mirrorSet(t, spec, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Copied)
			p.wantManifests(t, "m/a", slices.Concat(images, attestations), []string{images[0], attestations[0]})
			mirrorSet(t, spec, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Current)
		})
	}
}

// What names no platform in an index is read: an index is looked into, and an image has a
// configuration that tells. An artifact stays.
func TestEntriesWithoutPlatform(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	inner := threePlatforms(registrytest.OCI, "inner")
	plain := registrytest.NewImage(registrytest.OCI, "plain", "arm64", registrytest.NewLayer("plain", 900))
	other := registrytest.NewImage(registrytest.OCI, "other", "ppc64le", registrytest.NewLayer("other", 900))
	artifact := registrytest.NewArtifact("artifact", registrytest.NewLayer("artifact", 900))
	outer := registrytest.NewIndex(registrytest.OCI, inner, plain, other, artifact)
	push(t, p.source, "ci/a:whole", outer)
	bare := edit(t, outer, func(_ map[string]any, manifests []map[string]any) []map[string]any {
		for _, m := range manifests {
			delete(m, "platform")
		}
		return manifests
	})
	push(t, p.source, "ci/a:v1", bare)
	top, below := children(t, outer), children(t, inner)
	got := mirrorSet(t, rewritten, line(p, "ci/a:v1", "m/a:v1"))
	got.allAre(t, stream.Copied)
	p.wantManifests(t, "m/a", slices.Concat(top, below), slices.Concat([]string{top[1], top[3]}, below[:2]))
	p.reset()
	mirrorSet(t, rewritten, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Current)
	// The outer index, what it does not tell of, and two configurations.
	wantRequests(t, p.source, map[string]int{"GET manifest": 5, "GET blob": 2})
	wantRequests(t, p.destination, map[string]int{"HEAD manifest": 1})

	sparse := newSparsePair(t)
	push(t, sparse.source, "ci/a:whole", outer)
	push(t, sparse.source, "ci/a:v1", bare)
	mirrorSet(t, twoPlatforms, line(sparse, "ci/a:v1", "m/a:v1")).allAre(t, stream.Copied)
	sparse.wantManifests(t, "m/a", slices.Concat(top, below), slices.Concat([]string{top[0], top[1], top[3]}, below[:2]))
	sparse.wantAt(t, "m/a:v1", digest.Of(bare.Content))
}

// An image that is in no index is for the platform that its configuration names, which is read
// once, when it is copied. An artifact is for no platform.
func TestImagesThatAreInNoIndex(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	push(t, p.source, "ci/amd64:v1", registrytest.NewImage(registrytest.Docker, "amd64", "amd64", registrytest.NewLayer("amd64", 900)))
	push(t, p.source, "ci/s390x:v1", registrytest.NewImage(registrytest.OCI, "s390x", "s390x", registrytest.NewLayer("s390x", 900)))
	push(t, p.source, "ci/chart:v1", registrytest.NewArtifact("chart", registrytest.NewLayer("chart", 900)))
	for form, spec := range map[string]string{"sparse": twoPlatforms, "rewrite": rewritten} {
		lines := []string{line(p, "ci/amd64:v1", form+"/amd64:v1"), line(p, "ci/s390x:v1", form+"/s390x:v1"), line(p, "ci/chart:v1", form+"/chart:v1")}
		p.reset()
		got := mirrorSet(t, spec, lines...)
		got.are(t, p.destination, map[string]string{form + "/amd64:v1": stream.Copied, form + "/s390x:v1": stream.Failed, form + "/chart:v1": stream.Copied})
		e := got.results[p.destination.Host+"/"+form+"/s390x:v1"].Error
		if e == nil || e.Kind != fault.Missing || !strings.HasSuffix(e.Message, "the image is for linux/s390x, and platforms asks for linux/amd64, linux/arm64") {
			t.Errorf("the error is %+v", e)
		}
		if r := got.results[p.destination.Host+"/"+form+"/amd64:v1"]; r.Rewritten != "" || r.Platforms != nil {
			t.Errorf("the result is %+v", r)
		}
		p.reset()
		mirrorSet(t, spec, lines[0], lines[2]).allAre(t, stream.Current)
		wantRequests(t, p.destination, map[string]int{"HEAD manifest": 2})
		want := map[string]int{"HEAD manifest": 2}
		if form == "rewrite" {
			want = map[string]int{"GET manifest": 2}
		}
		wantRequests(t, p.source, want)
	}
}

// An index for other platforms fails by name, whatever else is in it, and others do not.
func TestIndexesForOtherPlatforms(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	index := threePlatforms(registrytest.OCI, "other")
	push(t, p.source, "ci/a:v1", index)
	push(t, p.source, "ci/b:v1", registrytest.NewImage(registrytest.OCI, "b", "riscv64", registrytest.NewLayer("b", 900)))
	push(t, p.source, "ci/a:two", edit(t, index, func(_ map[string]any, manifests []map[string]any) []map[string]any {
		manifests[0]["platform"] = manifests[1]["platform"]
		return manifests
	}))
	for form, want := range map[string]string{
		"sparse":  "the image is for linux/amd64, linux/arm64, linux/s390x, and platforms asks for linux/riscv64",
		"rewrite": "the image is for linux/amd64, linux/arm64, linux/s390x, and platforms asks for linux/riscv64",
		"flatten": "the image is for linux/amd64, linux/arm64, linux/s390x, and platforms asks for linux/riscv64",
	} {
		spec := "platforms: {only: [linux/riscv64], form: " + form + "}"
		got := mirrorSet(t, spec, line(p, "ci/a:v1", form+"/a:v1"), line(p, "ci/b:v1", form+"/b:v1"))
		got.are(t, p.destination, map[string]string{form + "/a:v1": stream.Failed, form + "/b:v1": stream.Copied})
		if e := got.results[p.destination.Host+"/"+form+"/a:v1"].Error; e == nil || !strings.HasSuffix(e.Message, want) {
			t.Errorf("%s: the error is %+v", form, e)
		}
	}
	got := mirrorSet(t, flattened, line(p, "ci/a:two", "m/two:v1"))
	if e := got.results[p.destination.Host+"/m/two:v1"].Error; e == nil || !strings.HasSuffix(e.Message, "2 images of the index are for linux/arm64, and platforms.form flatten publishes one") {
		t.Errorf("the error is %+v", e)
	}
}
