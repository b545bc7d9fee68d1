package platforms

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/digest"
	"imagemirror/internal/manifest"
)

var update = flag.Bool("update", false, "write the golden files")

func id(letter string) string { return digest.Prefix + strings.Repeat(letter, 64) }

// The bytes of an index that is written never change: its digest is compared in every run, on
// every machine.
func TestRewrittenBytes(t *testing.T) {
	index, err := os.ReadFile("testdata/index.json")
	if err != nil {
		t.Fatal(err)
	}
	nested := map[string]Resolution{id("f"): {Keeps: true, Matches: true, Digest: id("9"), Size: 1234}}
	c, err := list(t, "linux/arm64", "linux/riscv64").Choose(index, nested)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("testdata/rewritten.json", c.Content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/rewritten.json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(c.Content)); diff != "" {
		t.Error(diff)
	}
	const pinned = "sha256:ebcae00740baf4a54a9fdd68719fe70089edb0e77a3f02fd538e54cfb7a88712"
	if got := digest.Of(c.Content); got != pinned {
		t.Errorf("the digest is %s, want %s", got, pinned)
	}
	if want := []string{id("b"), id("d"), id("9")}; !slices.Equal(c.Digests, want) {
		t.Errorf("it keeps %v, want %v", c.Digests, want)
	}
	if c.Whole || !c.Matches || !slices.Equal(c.Images, []string{id("b"), id("f")}) || c.Offers.String() != "linux/amd64, linux/arm64, linux/s390x" {
		t.Errorf("got %+v", c)
	}
}

// item is an entry of an index in tests.
type item struct {
	Digest, MediaType, Platform, RefersTo, Artifact string
}

func (i item) json(size int) string {
	fields := map[string]any{"digest": i.Digest, "size": size, "mediaType": i.MediaType}
	if i.MediaType == "" {
		fields["mediaType"] = manifest.OCIManifest
	}
	if i.Artifact != "" {
		fields["artifactType"] = i.Artifact
	}
	if i.RefersTo != "" {
		fields["annotations"] = map[string]string{refersTo: i.RefersTo}
	}
	if i.Platform != "" {
		fields["platform"] = json.RawMessage(i.Platform)
	}
	b, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func indexOf(items ...item) []byte {
	var entries []string
	for i, item := range items {
		entries = append(entries, item.json(100+i))
	}
	return fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, manifest.OCIIndex, strings.Join(entries, " , "))
}

func TestChoose(t *testing.T) {
	const amd64, arm64 = `{"os":"linux","architecture":"amd64"}`, `{"os":"linux","architecture":"arm64","variant":"v8"}`
	const none = `{"os":"unknown","architecture":"unknown"}`
	a, b, c, d := id("a"), id("b"), id("c"), id("d")
	for _, test := range []struct {
		name        string
		items       []item
		resolutions map[string]Resolution
		keeps       []string
		images      []string
		matches     bool
		whole       bool
	}{
		{name: "an empty index", whole: true},
		{name: "nothing else", items: []item{{Digest: a, Platform: amd64}}, keeps: []string{a}, images: []string{a}, matches: true, whole: true},
		{name: "one of two", items: []item{{Digest: a, Platform: amd64}, {Digest: b, Platform: arm64}}, keeps: []string{a}, images: []string{a}, matches: true},
		{name: "none", items: []item{{Digest: b, Platform: arm64}}},
		{
			name:  "two of a platform",
			items: []item{{Digest: a, Platform: amd64}, {Digest: b, Platform: amd64}, {Digest: c, Platform: arm64}},
			keeps: []string{a, b}, images: []string{a, b}, matches: true,
		},
		{
			name:  "one digest for two platforms",
			items: []item{{Digest: a, Platform: arm64}, {Digest: a, Platform: amd64}, {Digest: a, Platform: amd64}},
			keeps: []string{a}, images: []string{a}, matches: true,
		},
		{
			name:  "attestations before and after",
			items: []item{{Digest: c, Platform: none, RefersTo: a}, {Digest: a, Platform: amd64}, {Digest: b, Platform: arm64}, {Digest: d, Platform: none, RefersTo: b}},
			keeps: []string{c, a}, images: []string{a}, matches: true,
		},
		{
			name:  "an attestation without a platform, and one of itself",
			items: []item{{Digest: a, Platform: amd64}, {Digest: c, RefersTo: a}, {Digest: d, RefersTo: d}},
			keeps: []string{a, c}, images: []string{a}, matches: true,
		},
		{name: "an attestation alone", items: []item{{Digest: c, Platform: none, RefersTo: a}}},
		{name: "unknown", items: []item{{Digest: a, Platform: none}}},
		{
			name:  "an artifact for the platform",
			items: []item{{Digest: a, Platform: amd64}, {Digest: b, Platform: amd64, Artifact: "x/y"}, {Digest: c, Platform: amd64, Artifact: "application/vnd.oci.image.config.v1+json"}},
			keeps: []string{a, b, c}, images: []string{a, c}, matches: true, whole: true,
		},
		{
			name:        "without a platform",
			items:       []item{{Digest: a}, {Digest: b, Platform: `{}`}, {Digest: c, Platform: `null`}, {Digest: d}},
			resolutions: map[string]Resolution{a: {Keeps: true, Matches: true}, b: {Keeps: true}},
			keeps:       []string{a, b}, images: []string{a}, matches: true,
		},
		{
			name:  "no manifest stays",
			items: []item{{Digest: a, Platform: amd64}, {Digest: b, MediaType: "text/plain"}, {Digest: c, Platform: arm64}},
			keeps: []string{a}, images: []string{a}, matches: true,
		},
		{
			name: "junk",
			items: []item{
				{Digest: a, Platform: `"linux/amd64"`},
				{Digest: b, Platform: `{"os":"linux","architecture":"amd64","os":"windows"}`},
				{Digest: c, Platform: `{"os":"linux","architecture":"amd64","Architecture":"arm64"}`},
				{Digest: d, Platform: `{"os":["linux"],"architecture":"amd64"}`},
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			index := indexOf(test.items...)
			got, err := list(t, "linux/amd64", "linux/s390x").Choose(index, test.resolutions)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got.Digests, test.keeps) || !slices.Equal(got.Images, test.images) || got.Matches != test.matches || got.Whole != test.whole {
				t.Errorf("got %+v", got)
			}
			if got.Whole != slices.Equal(index, got.Content) {
				t.Errorf("the index is whole: %t, and its content %s", got.Whole, got.Content)
			}
		})
	}
}

func TestUnnamed(t *testing.T) {
	index := indexOf(item{Digest: id("a")}, item{Digest: id("b"), Platform: `{"os":"x","architecture":"y"}`}, item{Digest: id("c"), RefersTo: id("b")},
		item{Digest: id("a")}, item{Digest: id("d"), MediaType: "text/plain"}, item{Digest: id("e"), MediaType: manifest.DockerList, Platform: "{}"})
	got, err := Unnamed(index, 2)
	want := []manifest.Descriptor{{MediaType: manifest.OCIManifest, Digest: id("a")}, {MediaType: manifest.DockerList, Digest: id("e")}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v, %s", err, diff)
	}
	if got, err := Unnamed(index, 1); err == nil || err.Error() != "the index has more than 1 manifests that name no platform" {
		t.Errorf("got %v, %v", got, err)
	}
}

// TestRewriteIsAFunction: whatever the index, what is written has the entries that match and no
// others, everything else of the index, and nothing is left to do in it.
func TestRewriteIsAFunction(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	systems := []string{"linux", "windows", "unknown", ""}
	architectures := []string{"amd64", "arm64", "arm", "x86_64", "unknown", ""}
	wanted := list(t, "linux/amd64", "windows/arm64")
	for n := range 500 {
		var items []item
		for i := range rng.IntN(12) {
			it := item{Digest: digest.Of(fmt.Append(nil, n, i))}
			if rng.IntN(4) > 0 {
				it.Platform = fmt.Sprintf(`{"os":%q,"architecture":%q}`, systems[rng.IntN(4)], architectures[rng.IntN(6)])
			}
			if len(items) > 0 && rng.IntN(4) == 0 {
				it.RefersTo = items[rng.IntN(len(items))].Digest
			}
			items = append(items, it)
		}
		index := indexOf(items...)
		resolutions := map[string]Resolution{}
		for _, it := range items {
			resolutions[it.Digest] = Resolution{Keeps: rng.IntN(2) == 0}
		}
		checkRewritten(t, wanted, index, resolutions)
	}
}

func checkRewritten(t *testing.T, wanted List, index []byte, resolutions map[string]Resolution) {
	t.Helper()
	c, err := wanted.Choose(index, resolutions)
	if err != nil {
		t.Fatalf("%v: %s", err, index)
	}
	parsed, err := manifest.Parse(manifest.OCIIndex, c.Content)
	if err != nil {
		t.Fatalf("%v: %s becomes %s", err, index, c.Content)
	}
	var children []string
	for _, d := range parsed.Children {
		children = append(children, d.Digest)
	}
	if !slices.Equal(children, c.Digests) {
		t.Errorf("it keeps %v, and the index has %v", c.Digests, children)
	}
	again, err := wanted.Choose(c.Content, resolutions)
	if err != nil || !again.Whole || !slices.Equal(again.Digests, c.Digests) {
		t.Errorf("%s is rewritten again as %s, %v", c.Content, again.Content, err)
	}
	var before, after map[string]any
	if json.Unmarshal(index, &before) != nil || json.Unmarshal(c.Content, &after) != nil {
		t.Fatalf("%s becomes %s", index, c.Content)
	}
	delete(before, "manifests")
	delete(after, "manifests")
	if diff := cmp.Diff(before, after); diff != "" {
		t.Error(diff)
	}
}

// An index of the largest size takes a moment, and no memory for entries that do not stay.
func TestLargestIndex(t *testing.T) {
	var items []item
	for i := range 20_000 {
		items = append(items, item{Digest: digest.Of(fmt.Append(nil, i)), Platform: fmt.Sprintf(`{"os":"linux","architecture":"a%d"}`, i)})
	}
	items[19_000].Platform = `{"os":"linux","architecture":"amd64"}`
	index := indexOf(items...)
	c, err := list(t, "linux/amd64").Choose(index, nil)
	if err != nil || !slices.Equal(c.Digests, []string{items[19_000].Digest}) || len(c.Offers) != Max {
		t.Errorf("of %d bytes it keeps %d and offers %d: %v", len(index), len(c.Digests), len(c.Offers), err)
	}
}

// FuzzChoose: whatever manifest.Parse accepts is rewritten as an index that it accepts.
func FuzzChoose(f *testing.F) {
	golden, _ := os.ReadFile("testdata/index.json")
	f.Add(golden)
	f.Add(indexOf(item{Digest: id("a")}, item{Digest: id("b"), MediaType: "x/y"}, item{Digest: id("c"), RefersTo: id("a"), Platform: "[]"}))
	f.Add([]byte(`{"manifests":[{"digest":"` + id("a") + `","size":1,"mediaType":"` + manifest.OCIIndex + `"}, {}], "manifest\u0073":[]}`))
	wanted := List{{OS: "linux", Architecture: "amd64"}}
	f.Fuzz(func(t *testing.T, index []byte) {
		parsed, err := manifest.Parse(manifest.OCIIndex, index)
		if err != nil || !manifest.IsIndex(parsed.MediaType) {
			return
		}
		unnamed, err := Unnamed(index, 1000)
		if err != nil {
			t.Fatal(err)
		}
		resolutions := map[string]Resolution{}
		for i, d := range unnamed {
			resolutions[d.Digest] = Resolution{Keeps: i%2 == 0}
		}
		checkRewritten(t, wanted, index, resolutions)
		for d := range resolutions {
			resolutions[d] = Resolution{Keeps: true, Matches: true, Digest: id("9"), Size: 7}
		}
		c, err := wanted.Choose(index, resolutions)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := manifest.Parse(manifest.OCIIndex, c.Content); err != nil && !strings.Contains(err.Error(), id("9")) {
			t.Errorf("%v: %s becomes %s", err, index, c.Content)
		}
	})
}
