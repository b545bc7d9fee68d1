package registrytest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func foreign() Layer { return NewLayer("foreign", 2000).Foreign("https://example.com/layer") }

// images returns one of each kind that registries hold.
func images() map[string]remote.Taggable {
	base, top := NewLayer("base", 5000), NewLayer("top", 100)
	zstd := NewBlob("zstd", 700, types.OCILayerZStd)
	data := NewBlob("data", 300, ExampleBlob)
	return map[string]remote.Taggable{
		"oci":                 NewImage(OCI, "oci", "amd64", base, top),
		"docker":              NewImage(Docker, "docker", "amd64", base, top),
		"no layers":           NewImage(OCI, "no layers", "amd64"),
		"zstd":                NewImage(OCI, "zstd", "amd64", base, zstd),
		"foreign":             NewImage(OCI, "foreign", "amd64", foreign(), top),
		"docker foreign":      NewImage(Docker, "foreign", "amd64", foreign(), top),
		"artifact":            NewArtifact("artifact", data),
		"empty config":        NewEmptyConfigArtifact(data),
		"empty config, blob":  NewEmptyConfigArtifact(NewText("{}", EmptyJSON)),
		"platforms":           NewPlatforms(OCI, "platforms", 100, []string{"amd64", "arm64", "s390x"}, base),
		"docker platforms":    NewPlatforms(Docker, "platforms", 100, []string{"amd64", "arm64"}, base),
		"index with artifact": NewIndex(OCI, NewImage(OCI, "image", "amd64", top), NewArtifact("attestation", data)),
		"nested index": NewIndex(OCI, NewImage(OCI, "outer", "amd64", base),
			NewPlatforms(OCI, "inner", 100, []string{"arm64", "riscv64"}, base)),
	}
}

func TestRegistriesAcceptImages(t *testing.T) {
	for registry, host := range map[string]string{
		"distribution": Distribution(t, DistributionOptions{}).Host,
		"in process":   InProcess(t).Host,
	} {
		for name, image := range images() {
			t.Run(registry+"/"+name, func(t *testing.T) {
				ref := fmt.Sprintf("%s/%s:v1", host, strings.NewReplacer(" ", "-", ",", "").Replace(name))
				digest := Push(t, ref, image)
				if err := Validate(t.Context(), ref, ref); err != nil {
					t.Error(err)
				}
				byDigest := strings.TrimSuffix(ref, ":v1") + "@" + digest
				if err := Validate(t.Context(), ref, byDigest); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestForeignLayersAreNotPushed(t *testing.T) {
	r := Distribution(t, DistributionOptions{})
	Push(t, r.Host+"/a:v1", NewImage(Docker, "image", "amd64", foreign()))
	resp, _ := call(t, http.MethodGet, fmt.Sprintf("http://%s/v2/a/blobs/%s", r.Host, foreign().Digest), nil)
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("the foreign layer: got %d, want 404", resp.StatusCode)
	}
}

func TestDistributionRefusesSchema1(t *testing.T) {
	manifest := Schema1("old", NewLayer("base", 100))
	r := InProcess(t)
	Push(t, r.Host+"/old:v1", manifest)
	resp, body := call(t, http.MethodGet, "http://"+r.Host+"/v2/old/manifests/v1", nil)
	if got := resp.Header.Get("Content-Type"); got != string(types.DockerManifestSchema1Signed) || body != string(manifest.Content) {
		t.Errorf("got %q with type %q", body, got)
	}
	if _, err := Write(t.Context(), Distribution(t, DistributionOptions{}).Host+"/old:v1", manifest); err == nil {
		t.Error("distribution accepted schema 1")
	}
}

func TestContentIsTheSameEverywhere(t *testing.T) {
	l := NewLayer("base", 1000)
	const want = "sha256:655558c0f97fe4d518aa7c87fdde7ec334954bbd5f4a5709389dc105d31dfa1a"
	if got := l.DiffID.String(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if other := NewLayer("base", 1001); other.Digest == l.Digest {
		t.Error("layers of two sizes are the same")
	}
	var read [2]bytes.Buffer
	for i := range read {
		content := l.Open()
		if _, err := io.Copy(&read[i], content); err != nil {
			t.Fatal(err)
		}
		content.Close()
	}
	if !bytes.Equal(read[0].Bytes(), read[1].Bytes()) || digestOf(t, read[0].Bytes()) != l.Digest.String() {
		t.Error("a layer read twice differs")
	}
}

func TestValidateFindsDifferences(t *testing.T) {
	base, top := NewLayer("base", 5000), NewLayer("top", 100)
	good := NewImage(OCI, "image", "amd64", base, top)
	index := NewIndex(OCI, good, NewArtifact("artifact", NewBlob("data", 300, ExampleBlob)))
	for _, test := range []struct {
		name   string
		source remote.Taggable
		spoil  func(t *testing.T, host string)
		want   string
	}{
		{"nothing there", good, func(*testing.T, string) {}, "reading destination"},
		{"another image", good, func(t *testing.T, host string) {
			Push(t, host+"/dst:v1", NewImage(OCI, "other", "amd64", base, top))
		}, "and its source"},
		{"a blob is missing", good, func(t *testing.T, host string) {
			Push(t, host+"/dst:v1", good)
			remove(t, host, "blobs", base.Digest.String())
		}, "UNKNOWN"},
		{"an artifact's blob is missing", index, func(t *testing.T, host string) {
			Push(t, host+"/dst:v1", index)
			remove(t, host, "blobs", NewBlob("data", 300, ExampleBlob).Digest.String())
		}, "UNKNOWN"},
		{"a child is missing", index, func(t *testing.T, host string) {
			Push(t, host+"/dst:v1", index)
			remove(t, host, "manifests", childDigest(t, good))
		}, "UNKNOWN"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := InProcess(t)
			Push(t, r.Host+"/src:v1", test.source)
			// The in-process registry keeps the blobs of all repositories together, so the source
			// needs a registry of its own.
			dst := InProcess(t)
			test.spoil(t, dst.Host)
			err := Validate(t.Context(), r.Host+"/src:v1", dst.Host+"/dst:v1")
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}

func TestValidateFindsCorruption(t *testing.T) {
	r := InProcess(t)
	for name, image := range images() {
		if name == "no layers" {
			continue
		}
		ref := "/" + strings.NewReplacer(" ", "-", ",", "").Replace(name) + ":v1"
		Push(t, r.Host+ref, image)
		p := NewProxy(t, r, ProxyOptions{})
		p.Inject(FaultRule{Kind: "GET blob", Fault: Corrupt(1)})
		if err := Validate(t.Context(), r.Host+ref, p.Host+ref); err == nil {
			t.Errorf("%s: corrupt blobs are found valid", name)
		}
	}
}

func childDigest(t *testing.T, what remote.Taggable) string {
	t.Helper()
	digest, err := DigestOf(what)
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

func remove(t *testing.T, host, class, digest string) {
	t.Helper()
	resp, body := call(t, http.MethodDelete, fmt.Sprintf("http://%s/v2/dst/%s/%s", host, class, digest), nil)
	if resp.StatusCode != http.StatusAccepted {
		t.Fatalf("DELETE %s: got %d %s", class, resp.StatusCode, body)
	}
}
