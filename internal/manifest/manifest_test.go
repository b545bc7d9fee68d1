package manifest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/digest"
)

func digestOf(c string) string { return "sha256:" + strings.Repeat(c, 64) }

func descriptor(mediaType, c string, size int) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, mediaType, digestOf(c), size)
}

func TestParse(t *testing.T) {
	config := descriptor("application/vnd.oci.image.config.v1+json", "c", 10)
	layer := descriptor("application/vnd.oci.image.layer.v1.tar+zstd", "a", 20)
	wantBlobs := []Descriptor{
		{MediaType: "application/vnd.oci.image.config.v1+json", Digest: digestOf("c"), Size: 10},
		{MediaType: "application/vnd.oci.image.layer.v1.tar+zstd", Digest: digestOf("a"), Size: 20},
	}
	for _, c := range []struct {
		name, given, content string
		want                 Manifest
	}{
		{"an OCI image", OCIManifest, `{"schemaVersion":2,"mediaType":"` + OCIManifest + `","config":` + config + `,"layers":[` + layer + `]}`,
			Manifest{MediaType: OCIManifest, Blobs: wantBlobs}},
		{"an image that does not say what it is", OCIManifest + "; charset=utf-8", `{"schemaVersion":2,"config":` + config + `,"layers":[` + layer + `]}`,
			Manifest{MediaType: OCIManifest, Blobs: wantBlobs}},
		{"an image of which the registry does not say it either", "application/json", `{"schemaVersion":2,"config":` + config + `,"layers":[` + layer + `]}`,
			Manifest{MediaType: OCIManifest, Blobs: wantBlobs}},
		{"Docker's schema 2", "", `{"schemaVersion":2,"mediaType":"` + DockerManifest + `","config":` + config + `,"layers":[` + layer + `,` + layer + `]}`,
			Manifest{MediaType: DockerManifest, Blobs: wantBlobs}},
		{"an index within an index, and an numbered that is no manifest", OCIIndex, `{"schemaVersion":2,"manifests":[` +
			descriptor(OCIIndex, "b", 30) + `,` + descriptor("application/vnd.example.thing", "d", 40) + `]}`,
			Manifest{
				MediaType: OCIIndex,
				Children:  []Descriptor{{MediaType: OCIIndex, Digest: digestOf("b"), Size: 30}},
				Blobs:     []Descriptor{{MediaType: "application/vnd.example.thing", Digest: digestOf("d"), Size: 40}},
			}},
		{"an empty index", "", `{"schemaVersion":2,"manifests":[]}`, Manifest{MediaType: OCIIndex}},
		{"an artifact manifest", OCIArtifact, `{"mediaType":"` + OCIArtifact + `","artifactType":"x/y","blobs":[` + layer + `]}`,
			Manifest{MediaType: OCIArtifact, Blobs: wantBlobs[1:]}},
		{"a signature", OCIManifest, `{"artifactType":"x/y","subject":` + layer + `,"config":` + config + `,"layers":[` + layer + `]}`,
			Manifest{MediaType: OCIManifest, Subject: digestOf("a"), Artifact: "x/y", Blobs: wantBlobs}},
		{"a signature that has its type in the config", OCIManifest, `{"subject":` + layer + `,"config":` + config + `,"layers":[` + layer + `]}`,
			Manifest{MediaType: OCIManifest, Subject: digestOf("a"), Artifact: "application/vnd.oci.image.config.v1+json", Blobs: wantBlobs}},
		{"odd fields about itself", OCIManifest, `{"artifactType":7,"subject":"x","config":` + config + `,"layers":[` + layer + `]}`,
			Manifest{MediaType: OCIManifest, Blobs: wantBlobs}},
	} {
		got, err := Parse(c.given, []byte(c.content))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	layer := descriptor("application/vnd.oci.image.layer.v1.tar", "a", 20)
	for _, c := range []struct{ name, given, content, says string }{
		{"not JSON", OCIManifest, `<html>`, "not JSON"},
		{"too large", OCIManifest, strings.Repeat(" ", MaxSize+1), "at most 4194304 are allowed"},
		{"schema 1 by version", "application/json", `{"schemaVersion":1,"name":"a","fsLayers":[]}`, "schema 1"},
		{"schema 1 by type", DockerSchema1Signed, `{"name":"a"}`, "schema 1"},
		{"contradicting media types", DockerManifest, `{"mediaType":"` + OCIManifest + `","config":` + layer + `}`, "but the registry sent"},
		{"another type", "", `{"mediaType":"application/vnd.example"}`, "not that of an image"},
		{"an image that is an index", OCIManifest, `{"config":` + layer + `,"manifests":[]}`, "both an image and an index"},
		{"nothing", "", `{}`, "no media type"},
		{"a path for a digest", OCIManifest, `{"config":{"digest":"sha256:../../etc","size":1}}`, "which is not a digest"},
		{"upper case", OCIManifest, `{"config":{"digest":"sha256:` + strings.Repeat("A", 64) + `","size":1}}`, "which is not a digest"},
		{"a short digest", OCIManifest, `{"config":{"digest":"sha256:` + strings.Repeat("a", 63) + `","size":1}}`, "which is not a digest"},
		{"no digest", OCIManifest, `{"config":{"digest":"","size":1}}`, "which is not a digest"},
		{"md5", OCIManifest, `{"config":{"digest":"md5:` + strings.Repeat("a", 32) + `","size":1}}`, "only sha256"},
		{"sha512", OCIManifest, `{"config":{"digest":"sha512:` + strings.Repeat("a", 128) + `","size":1}}`, "only sha256"},
		{"a negative size", OCIManifest, `{"config":{"digest":"` + digestOf("a") + `","size":-1}}`, "size -1"},
		{"one blob in two sizes", OCIManifest, `{"config":` + layer + `,"layers":[{"digest":"` + digestOf("a") + `","size":21}]}`, "sizes 20 and 21"},
		{"a size that is not a number", OCIManifest, `{"config":{"digest":"` + digestOf("a") + `","size":"1"}}`, `size "1", which is not a whole number`},
	} {
		_, err := Parse(c.given, []byte(c.content))
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want an error with %q", c.name, err, c.says)
		}
		if strings.HasPrefix(c.name, "schema 1") && !errors.Is(err, ErrSchema1) {
			t.Errorf("%s: %v is not ErrSchema1", c.name, err)
		}
	}
}

func TestForeign(t *testing.T) {
	for _, c := range []struct {
		d    Descriptor
		want bool
	}{
		{Descriptor{MediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", URLs: []string{"https://a"}}, true},
		{Descriptor{MediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", URLs: []string{"https://a"}}, true},
		{Descriptor{MediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"}, false},
		{Descriptor{MediaType: "application/vnd.oci.image.layer.v1.tar+gzip", URLs: []string{"https://a"}}, false},
	} {
		if got := c.d.Foreign(); got != c.want {
			t.Errorf("%+v is foreign: %v, want %v", c.d, got, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(OCIManifest, []byte(`{"schemaVersion":2,"config":`+descriptor("x/y", "a", 1)+`,"layers":[]}`))
	f.Add("", []byte(`{"manifests":[`+descriptor(OCIIndex, "b", 2)+`]}`))
	f.Add("a/b; c", []byte(`{"schemaVersion":1}`))
	f.Fuzz(func(t *testing.T, mediaType string, content []byte) {
		m, err := Parse(mediaType, content)
		if err != nil {
			return
		}
		if !IsManifest(m.MediaType) {
			t.Errorf("the media type %q is accepted", m.MediaType)
		}
		seen := map[string]bool{}
		for _, d := range append(m.Children, m.Blobs...) {
			if !digest.Valid(d.Digest) || d.Size < 0 || seen[d.Digest] {
				t.Errorf("the descriptor %+v is accepted, or there twice", d)
			}
			seen[d.Digest] = true
		}
	})
}
