package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/digest"
)

const (
	layerType   = "application/vnd.oci.image.layer.v1.tar"
	foreignType = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
)

// withLayers returns an OCI manifest with these layers.
func withLayers(layers string) string {
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s]}`, OCIManifest, descriptor("x/y", "c", 10), layers)
}

// withManifests returns an OCI index with these entries.
func withManifests(entries string) string {
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, OCIIndex, entries)
}

// entry returns a descriptor of layer a with these members instead of a size.
func entry(members string) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q%s}`, layerType, digestOf("a"), members)
}

func TestParseRefusesWhatTwoProgramsReadDifferently(t *testing.T) {
	layer := descriptor(layerType, "a", 20)
	foreign := strings.TrimSuffix(descriptor(foreignType, "a", 20), "}") + `,"urls":["https://x"]}`
	child := descriptor(OCIManifest, "a", 20)
	for _, c := range []struct{ name, content, says string }{
		{"a key twice", `{"layers":[],"config":` + layer + `,"layers":[]}`, `the manifest has the key "layers" twice`},
		{"a key twice, once null", `{"config":` + layer + `,"config":null}`, `the manifest has the key "config" twice`},
		{"a key twice, once escaped", `{"layers":[],"config":` + layer + `,"l\u0061yers":[]}`, `the manifest has the key "layers" twice`},
		{"two subjects", `{"config":` + layer + `,"subject":null,"subject":null}`, `the key "subject" twice`},
		{"a key in two spellings", `{"layers":[],"config":` + layer + `,"Layers":[]}`, `the key "Layers", which some programs read as "layers"`},
		{"a key in another spelling alone", `{"config":` + layer + `,"LAYERS":[` + layer + `]}`, `the key "LAYERS"`},
		{"a key with a long s", `{"config":` + layer + `,"layerſ":[]}`, `which some programs read as "layers"`},
		{"a media type twice", `{"mediaType":"` + OCIManifest + `","mediaType":"` + OCIIndex + `","manifests":[]}`, `the key "mediaType" twice`},
		{"a layer's key twice", withLayers(layer + "," + entry(`,"size":1,"size":2`)), `entry 2 of the manifest's layers has the key "size" twice`},
		{"a layer's key in two spellings", withLayers(entry(`,"size":1,"Digest":"x"`)), `entry 1 of the manifest's layers has the key "Digest"`},
		{"a config's key twice", `{"config":{"size":1,"size":1}}`, `the manifest's config has the key "size" twice`},
		{"a child's platform twice", withManifests(entry(`,"size":1,"platform":{},"platform":{}`)), `entry 1 of the manifest's manifests has the key "platform" twice`},
		{"foreign and ordinary", withLayers(foreign + "," + layer), "as a foreign layer and as one to be copied"},
		{"ordinary and foreign", withLayers(layer + "," + foreign), "as a foreign layer and as one to be copied"},
		{"size 0", withLayers(entry(`,"size":0`)), "size 0: the digest of empty content is"},
		{"empty content with a size", withLayers(`{"digest":"` + digest.Empty + `","size":1}`), "the size 1: the digest of empty content is"},
		{"no size", withLayers(entry("")), "no size"},
		{"a null size", withLayers(entry(`,"size":null`)), "no size"},
		{"a negative size", withLayers(entry(`,"size":-5`)), "the size -5"},
		{"a fractional size", withLayers(entry(`,"size":500.0`)), "the size 500.0, which is not a whole number of bytes"},
		{"a size with an exponent", withLayers(entry(`,"size":5e2`)), "the size 5e2, which"},
		{"a size beyond int64", withLayers(entry(`,"size":9223372036854775808`)), "which is not a whole number of bytes"},
		{"a size of many digits", withLayers(entry(`,"size":` + strings.Repeat("1", 1000))), "111…, which"},
		{"two sizes", withManifests(child + "," + descriptor(OCIManifest, "a", 21)), "the sizes 20 and 21"},
		{"the largest number as size", withLayers(entry(`,"size":9223372036854775807`)), "the size 9223372036854775807, and at most 1 TiB"},
		{"a byte more than 1 TiB", withLayers(entry(`,"size":1099511627777`)), "the size 1099511627777, and at most 1 TiB"},
		{"a config beyond the bound", `{"mediaType":"` + OCIManifest + `","config":` + entry(`,"size":1099511627777`) + `}`, "at most 1 TiB"},
		{"a child beyond the bound", withManifests(`{"mediaType":"` + OCIManifest + `","digest":"` + digestOf("a") + `","size":9223372036854775807}`), "at most 1 TiB"},
		{"two media types of a child", withManifests(child + "," + descriptor(DockerManifest, "a", 20)), "the media types"},
		{"a child that is a blob too", withManifests(child + "," + descriptor("x/y", "a", 20)), "as a manifest and as a blob"},
		{"a blob that is a child too", withManifests(descriptor("x/y", "a", 20) + "," + child), "as a manifest and as a blob"},
		{"a child without a media type", withManifests(`{"digest":"` + digestOf("a") + `","size":20}`), "entry 1 of the manifest's manifests has no media type"},
		{"a schema 1 child", withManifests(child + "," + descriptor(DockerSchema1Signed, "b", 20)), "schema 1"},
		{"an image's fields in an index", `{"mediaType":"` + OCIIndex + `","manifests":[],"layers":[]}`, "fields of both"},
		{"an index's fields in an artifact", `{"mediaType":"` + ORASArtifact + `","manifests":[],"blobs":[]}`, "fields of both"},
		{"both, without a media type", `{"config":` + layer + `,"layers":[],"manifests":[]}`, "neither an image nor an index"},
		{"a list", `[]`, "not a JSON object"},
		{"null", ` null `, "not a JSON object"},
		{"a byte order mark", "\xef\xbb\xbf{}", "byte order mark"},
		{"two documents", `{}{}`, "not JSON"},
		{"deeply nested JSON", strings.Repeat("[", 20_000), "not JSON"},
		{"a config that is a list", `{"config":[]}`, "the manifest's config is not an object"},
		{"layers that are an object", `{"layers":{}}`, "layers that are not a list"},
		{"a layer that is null", withLayers("null"), "entry 1 of the manifest's layers is not an object"},
		{"a layer without a digest", withLayers(`{"size":1}`), `the digest ""`},
		{"a digest that is a number", withLayers(`{"digest":1}`), "digest that is not a string"},
		{"urls that are a string", withLayers(entry(`,"size":1,"urls":"https://x"`)), "urls that are not a list"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("", []byte(c.content))
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %v, want an error with %q", err, c.says)
			}
			var advised interface{ Advice() string }
			if !errors.As(err, &advised) || advised.Advice() == "" {
				t.Errorf("%v has no advice", err)
			}
			if len(err.Error()) > 400 || strings.Contains(err.Error(), "\n") {
				t.Errorf("the error is not one short line: %q", err)
			}
		})
	}
}

func TestParseAcceptsWhatIsOnlyUnusual(t *testing.T) {
	layer := descriptor(layerType, "a", 20)
	for _, c := range []struct {
		name, given, content string
		blobs, children      int
	}{
		{"null for no list", "", `{"mediaType":"` + OCIManifest + `","config":` + layer + `,"layers":null,"manifests":null,"fsLayers":null,"subject":null}`, 1, 0},
		{"no list", "", `{"mediaType":"` + OCIIndex + `"}`, 0, 0},
		{"an index of null", "", `{"mediaType":"` + OCIIndex + `","manifests":null}`, 0, 0},
		{"no config", "", `{"mediaType":"` + OCIManifest + `","layers":[` + layer + `]}`, 1, 0},
		{"a version that is a string", "", `{"schemaVersion":"2","mediaType":"` + OCIManifest + `","config":` + layer + `}`, 1, 0},
		{"unknown keys twice and in two spellings", "", `{"mediaType":"` + OCIManifest + `","config":` + layer + `,"x":1,"x":2,"X":{"size":[1,"]}"]}}`, 1, 0},
		{"annotations in two spellings", "", `{"mediaType":"` + OCIManifest + `","config":` + layer + `,"annotations":{"layers":"","Layers":"","layers":"\""}}`, 1, 0},
		{"white space everywhere", "", " {\r\n\t\"mediaType\" : \"" + OCIManifest + "\" , \"layers\" : [ " + layer + " , " + layer + " ] }\n", 1, 0},
		{"an escaped key", "", `{"media\u0054ype":"` + OCIManifest + `","c\u006fnfig":` + layer + `}`, 1, 0},
		{"empty content", "", withLayers(`{"digest":"` + digest.Empty + `","size":0}`), 2, 0},
		{"one blob as config and layer", "", withLayers(descriptor(layerType, "c", 10)), 1, 0},
		{"an ordinary layer with urls", "", withLayers(entry(`,"size":1,"urls":["https://x"]`)), 2, 0},
		{"the largest layer", "", withLayers(entry(`,"size":1099511627776`)), 2, 0},
		{"embedded data", "", withLayers(entry(`,"size":2,"data":"e30="`)), 2, 0},
		{"a child without a size", "", withManifests(`{"mediaType":"` + OCIManifest + `","digest":"` + digestOf("a") + `"}`), 0, 1},
		{"a child for two platforms", "", withManifests(descriptor(OCIManifest, "a", 5) + "," + descriptor(OCIManifest, "a", 5)), 0, 1},
		{"an index of an unknown type of content", "", withManifests(descriptor("application/vnd.example.thing", "a", 5)), 1, 0},
		{"an artifact of ORAS", ORASArtifact, `{"artifactType":"x/y","blobs":[` + layer + `],"subject":` + layer + `}`, 1, 0},
		{"an index with an artifact of ORAS", "", withManifests(descriptor(ORASArtifact, "a", 5)), 0, 1},
	} {
		m, err := Parse(c.given, []byte(c.content))
		if err != nil || len(m.Blobs) != c.blobs || len(m.Children) != c.children {
			t.Errorf("%s: got %d blobs, %d children and %v, want %d, %d and no error", c.name, len(m.Blobs), len(m.Children), err, c.blobs, c.children)
		}
	}
}

// FuzzParseAgreesWithEncodingJSON compares all descriptors with those of encoding/json, which
// reads whatever Parse accepts in the same way.
func FuzzParseAgreesWithEncodingJSON(f *testing.F) {
	f.Add([]byte(withLayers(descriptor(layerType, "a", 5) + "," + entry(`,"size":7,"urls":["\u0061"],"annotations":{"a]}":"\"}"}`))))
	f.Add([]byte(" {\"manifests\" : [ ] , \"x\":[1, true,null,\"\\\\\"] }\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		got, err := Parse("", content)
		if err != nil {
			return
		}
		var c struct {
			Config                   *Descriptor
			Layers, Blobs, Manifests []Descriptor
		}
		if err := json.Unmarshal(content, &c); err != nil {
			t.Fatalf("accepted, but encoding/json says %v", err)
		}
		all := c.Manifests
		if !IsIndex(got.MediaType) {
			all = nil
			if c.Config != nil {
				all = append(all, *c.Config)
			}
			all = append(append(all, c.Layers...), c.Blobs...)
		}
		want := Manifest{MediaType: got.MediaType}
		seen := map[string]bool{}
		for _, d := range all {
			switch {
			case seen[d.Digest]:
			case IsIndex(got.MediaType) && IsManifest(d.MediaType):
				want.Children = append(want.Children, d)
			default:
				want.Blobs = append(want.Blobs, d)
			}
			seen[d.Digest] = true
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-encoding/json +Parse):\n%s", diff)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for _, c := range []struct {
		name   string
		layers int
	}{{"10 layers", 10}, {"4 MiB", MaxSize/154 - 3}} {
		var list []string
		for i := range uint64(c.layers) {
			list = append(list, fakeDigest(i+1))
		}
		content := []byte(image(list...))
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(content)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse("", content); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("4 MiB of annotations", func(b *testing.B) {
		content := []byte(`{"config":` + descriptor("x/y", "c", 10) + `,"annotations":{"a":"` + strings.Repeat("a", MaxSize-300) + `"}}`)
		b.SetBytes(int64(len(content)))
		for b.Loop() {
			if _, err := Parse("", content); err != nil {
				b.Fatal(err)
			}
		}
	})
}
