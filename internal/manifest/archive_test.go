package manifest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/digest"
)

// add parses a manifest, adds it, and returns its digest.
func add(t testing.TB, a *Archive, content string) string {
	t.Helper()
	parsed, err := Parse("", []byte(content))
	if err != nil {
		t.Fatal(err)
	}
	id := digest.Of([]byte(content))
	a.Add(id, []byte(content), parsed)
	return id
}

func fakeDigest(seed uint64) string {
	return digest.Of(binary.BigEndian.AppendUint64(nil, seed))
}

// image returns a manifest with layers of 10 bytes each.
func image(layers ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"schemaVersion":2,"mediaType":%q,"config":{"digest":%q,"size":5},"layers":[`, OCIManifest, fakeDigest(0))
	for i, l := range layers {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":%q,"size":10}`, l)
	}
	return b.String() + "]}"
}

func index(children ...string) string {
	var list []string
	for _, c := range children {
		list = append(list, fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":7}`, OCIManifest, c))
	}
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, OCIIndex, strings.Join(list, ","))
}

func TestArchiveReturnsManifestsUnchanged(t *testing.T) {
	for _, c := range []struct{ name, content string }{
		{"empty", ``},
		{"a manifest", image(fakeDigest(1), fakeDigest(2))},
		{"digests again and in the annotations", strings.TrimSuffix(image(fakeDigest(1), fakeDigest(1)), "}") + `,"annotations":{"a":"` + fakeDigest(3) + `"}}`},
		{"white space", "\n{ \"schemaVersion\": 2,\t\"config\": {} }\n"},
		{"what only begins like a digest", `sha256: sha256:0123 sha256:` + strings.Repeat("A", 64) + ` sha256:` + strings.Repeat("a", 63) + `"`},
		{"a prefix at the end", `"sha256:`},
		{"large", strings.Repeat(image(fakeDigest(1), fakeDigest(2))+`"https://quay.io`, 5000) + fakeDigest(3)},
		{"the mark", "a\x00b\x00\x00\x01" + fakeDigest(1) + "\x00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := NewArchive()
			first, second := fakeDigest(100), fakeDigest(101)
			// All digests are known when it is added again.
			a.Add(first, []byte(c.content), Manifest{MediaType: OCIManifest})
			a.Add(second, []byte(c.content), Manifest{MediaType: OCIManifest})
			for _, digest := range []string{first, second} {
				ref, size, ok := a.Find(digest)
				if !ok || size != int64(len(c.content)) || a.Digest(ref) != digest {
					t.Fatalf("Find(%s) = %d, %d, %v", digest, ref, size, ok)
				}
				if mediaType, got := a.Content(ref); mediaType != OCIManifest || !bytes.Equal(got, []byte(c.content)) {
					t.Errorf("got %q of type %s, want %q", got, mediaType, c.content)
				}
			}
		})
	}
}

func FuzzArchiveReturnsManifestsUnchanged(f *testing.F) {
	f.Add([]byte(image(fakeDigest(1), fakeDigest(2))), []byte(index(fakeDigest(1))))
	f.Add([]byte("a\x00b"), []byte("sha256:"))
	f.Fuzz(func(t *testing.T, one, two []byte) {
		a := NewArchive()
		for i, content := range [][]byte{one, two, one} {
			digest := fakeDigest(uint64(i))
			a.Add(digest, content, Manifest{})
			ref, _, _ := a.Find(digest)
			if _, got := a.Content(ref); !bytes.Equal(got, content) {
				t.Errorf("got %q, want %q", got, content)
			}
		}
	})
}

func TestArchiveTree(t *testing.T) {
	a := NewArchive()
	amd := add(t, a, image(fakeDigest(1), fakeDigest(2)))
	arm := add(t, a, image(fakeDigest(1), fakeDigest(3)))
	inner := add(t, a, index(arm, amd, fakeDigest(99)))
	outer := add(t, a, index(amd, inner))
	var tree []string
	for _, ref := range a.Tree(outer) {
		tree = append(tree, a.Digest(ref))
	}
	if diff := cmp.Diff([]string{outer, amd, inner, arm}, tree); diff != "" {
		t.Errorf("the tree is (-want +got):\n%s", diff)
	}
	if tree := a.Tree(fakeDigest(99)); tree != nil {
		t.Errorf("the tree of a manifest that is not there is %v", tree)
	}
	ref, _, _ := a.Find(outer)
	if diff := cmp.Diff([]string{amd, inner}, a.Children(ref)); diff != "" {
		t.Errorf("the children are (-want +got):\n%s", diff)
	}
}

func TestArchiveChecksWhatIndexesAnnounce(t *testing.T) {
	a := NewArchive()
	content := image(fakeDigest(1))
	child := add(t, a, content)
	announced := func(mediaType, size string) string {
		return fmt.Sprintf(`{"mediaType":%q,"digest":%q%s}`, mediaType, child, size)
	}
	right := fmt.Sprintf(`,"size":%d`, len(content))
	wrong := add(t, a, withManifests(announced(OCIManifest, `,"size":7`)))
	for _, c := range []struct{ name, digest, says string }{
		{"right", add(t, a, withManifests(announced(OCIManifest, right))), ""},
		{"no size", add(t, a, withManifests(announced(OCIManifest, ""))), ""},
		{"a child that is not there", add(t, a, index(fakeDigest(99))), ""},
		{"not an index", child, ""},
		{"not there", fakeDigest(98), ""},
		{"another size", wrong, fmt.Sprintf("the size 7, but it has %d bytes", len(content))},
		{"another type", add(t, a, withManifests(announced(DockerManifest, right))), "the media type \"" + DockerManifest + "\", but it has \"" + OCIManifest},
		{"an image that calls itself an index", add(t, a, withManifests(announced(OCIIndex, right))), "the media type \"" + OCIIndex},
		{"an index below", add(t, a, withManifests(fmt.Sprintf(`{"mediaType":%q,"digest":%q}`, OCIIndex, wrong)+","+announced(OCIManifest, right))), "the index " + wrong + " gives " + child + " the size 7"},
	} {
		err := a.Check(c.digest)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.says)
		}
	}
}

func TestArchiveBlobs(t *testing.T) {
	a := NewArchive()
	foreign := `{"mediaType":"application/vnd.oci.image.layer.nondistributable.v1.tar","urls":["https://x"],"digest":"` + fakeDigest(1) + `","size":20}`
	one := add(t, a, image(fakeDigest(1), fakeDigest(2), fakeDigest(2)))
	two := add(t, a, `{"mediaType":"`+OCIManifest+`","config":{"digest":"`+fakeDigest(0)+`","size":5},"layers":[`+foreign+`]}`)
	blobs := func(digest string) (list []string) {
		ref, _, _ := a.Find(digest)
		for _, b := range a.Blobs(ref) {
			list = append(list, fmt.Sprintln(a.Digest(b.Ref), b.Size, b.Foreign))
		}
		return list
	}
	// Both manifests report the larger of the two sizes.
	want := []string{fmt.Sprintln(fakeDigest(0), 5, false), fmt.Sprintln(fakeDigest(1), 20, false), fmt.Sprintln(fakeDigest(2), 10, false)}
	if diff := cmp.Diff(want, blobs(one)); diff != "" {
		t.Errorf("the blobs are (-want +got):\n%s", diff)
	}
	want = []string{fmt.Sprintln(fakeDigest(0), 5, false), fmt.Sprintln(fakeDigest(1), 20, true)}
	if diff := cmp.Diff(want, blobs(two)); diff != "" {
		t.Errorf("the blobs of a manifest with a foreign layer are (-want +got):\n%s", diff)
	}
}

// Digests are half of a manifest, and take half as much memory. Everything else must be
// nearly free.
func TestArchiveTakesLittleMemory(t *testing.T) {
	const manifests, layers = 1000, 50
	a := NewArchive()
	add(t, a, image(fakeDigest(1))) // the compressor takes its memory
	random := rand.New(rand.NewPCG(1, 1))
	text := 0
	before := heap()
	for range manifests {
		var list []string
		for range layers {
			list = append(list, fakeDigest(random.Uint64()))
		}
		content := image(list...)
		add(t, a, content)
		text += len(content)
	}
	held := heap() - before
	runtime.KeepAlive(a)
	const most = 58 // bytes of memory for each layer; its descriptor has 154
	if perLayer := held / (manifests * layers); perLayer > most {
		t.Errorf("the archive holds %d bytes for each layer, want at most %d", perLayer, most)
	}
	t.Logf("%d bytes of memory for %d of text", held, text)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func BenchmarkArchive(b *testing.B) {
	var list []string
	for i := range uint64(50) {
		i++ // the config has 0
		list = append(list, fakeDigest(i))
	}
	content := []byte(image(list...))
	parsed, err := Parse("", content)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("add", func(b *testing.B) {
		b.SetBytes(int64(len(content)))
		a := NewArchive()
		for i := uint64(0); b.Loop(); i++ {
			a.Add(fakeDigest(i), content, parsed)
		}
	})
	b.Run("content", func(b *testing.B) {
		b.SetBytes(int64(len(content)))
		a := NewArchive()
		a.Add(fakeDigest(1), content, parsed)
		ref, _, _ := a.Find(fakeDigest(1))
		for b.Loop() {
			a.Content(ref)
		}
	})
}
