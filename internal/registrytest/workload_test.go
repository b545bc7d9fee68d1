package registrytest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func TestWorkloadBoundCountsRequests(t *testing.T) {
	r := Distribution(t, DistributionOptions{})
	c := Fill(t, r, Workload{Images: 6, PerRepo: 2, IndexEvery: 3, Bases: 2, BaseSize: 1000, TopSize: 100})
	wantTags := []string{
		"ci/image-0:t0", "ci/image-0:t1", "ci/image-1:t0", "ci/image-1:t1", "ci/image-2:t0", "ci/image-2:t1",
	}
	if diff := cmp.Diff(wantTags, c.Tags); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	// Two of the images are indexes of two. That makes 8 images with a layer and a configuration of
	// their own, and 2 base layers.
	const blobs = 8*2 + 2
	cold := c.Cold()
	want := Bound{
		Source: map[string]int{"GET manifest": 6 + 4, "GET blob": blobs},
		Destination: map[string]int{
			"HEAD manifest": 6, "POST upload": blobs, "PUT upload": blobs, "PUT manifest": 6 + 4,
			"POST mount": 2 * 2, // both bases in the two repositories that come later
		},
		Bytes: cold.Bytes,
	}
	if diff := cmp.Diff(want, cold); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got, want := cold.Total(), 10+blobs+6+2*blobs+10+4; got != want {
		t.Errorf("total: got %d, want %d", got, want)
	}
	if got := c.Unchanged().Total(); got != 12 {
		t.Errorf("unchanged: got %d requests, want 12", got)
	}
}

// A copy by hand, as the bound has it, sends as many requests and bytes as the bound says.
func TestWorkloadBoundIsReachable(t *testing.T) {
	src, dst := Distribution(t, DistributionOptions{}), Distribution(t, DistributionOptions{})
	content := Fill(t, src, Workload{Images: 4, IndexEvery: 2, Bases: 1, BaseSize: 3000, TopSize: 100})
	from, to := NewProxy(t, src, ProxyOptions{}), NewProxy(t, dst, ProxyOptions{})
	c := copier{t: t, from: from.Host, to: to.Host, blobs: map[v1.Hash]string{}}
	for _, tree := range content.trees {
		c.copy(tree)
	}
	want := content.Cold()
	if diff := cmp.Diff(want.Source, from.Stats().Requests); diff != "" {
		t.Errorf("source (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(want.Destination, to.Stats().Requests); diff != "" {
		t.Errorf("destination (-want +got)\n%s", diff)
	}
	if down, up := from.Stats().BlobDown, to.Stats().BlobUp; down != want.Bytes || up != want.Bytes {
		t.Errorf("bytes: got %d down and %d up, want %d", down, up, want.Bytes)
	}
	for _, tag := range content.Tags {
		if err := Validate(t.Context(), src.Host+"/"+tag, dst.Host+"/"+tag); err != nil {
			t.Error(err)
		}
	}
	lines := content.Mappings(src.Host, dst.Host, "below")
	if want := fmt.Sprintf("%s/ci/image-3:t0 %s/below/ci/image-3:t0", src.Host, dst.Host); lines[3] != want {
		t.Errorf("mapping: got %q, want %q", lines[3], want)
	}
}

// A copier copies the images of a workload, one after the other.
type copier struct {
	t        *testing.T
	from, to string
	blobs    map[v1.Hash]string // a repository of the destination that has the blob
}

func (c copier) copy(t tree) {
	for digest := range t.blobs {
		c.blob(t.repo, digest)
	}
	for digest := range t.children {
		c.manifest(t.repo, digest.String())
	}
	// Each image has a repository to itself.
	call(c.t, http.MethodHead, fmt.Sprintf("http://%s/v2/%s/manifests/t0", c.to, t.repo), nil)
	c.manifest(t.repo, "t0")
}

func (c copier) blob(repo string, digest v1.Hash) {
	if from, ok := c.blobs[digest]; ok {
		if got := mount(c.t, c.to, repo, from, digest.String()); got != http.StatusCreated {
			c.t.Fatalf("mount: got %d", got)
		}
		return
	}
	c.blobs[digest] = repo
	_, content := call(c.t, http.MethodGet, fmt.Sprintf("http://%s/v2/%s/blobs/%s", c.from, repo, digest), nil)
	upload(c.t, c.to, repo, []byte(content))
}

func (c copier) manifest(repo, ref string) {
	path := fmt.Sprintf("/v2/%s/manifests/%s", repo, ref)
	resp, content := call(c.t, http.MethodGet, "http://"+c.from+path, nil, "Accept", string(types.OCIManifestSchema1+","+types.OCIImageIndex))
	resp, body := call(c.t, http.MethodPut, "http://"+c.to+path, []byte(content), "Content-Type", resp.Header.Get("Content-Type"))
	if resp.StatusCode != http.StatusCreated {
		c.t.Fatalf("PUT manifest: got %d %s", resp.StatusCode, body)
	}
}

func TestWorkloadNamesWhatFailed(t *testing.T) {
	p := NewProxy(t, InProcess(t), ProxyOptions{})
	p.Inject(FaultRule{Fault: Status(http.StatusForbidden, "")})
	if _, err := (Workload{Images: 1}).Write(context.Background(), p.Host); err == nil {
		t.Error("pushing to a registry that refuses succeeded")
	}
}

// The layer is larger than what a Proxy may hold in memory.
func TestLargeLayersStream(t *testing.T) {
	l := NewLayer("large", 64<<20)
	content := l.Open()
	defer content.Close()
	n, err := io.Copy(io.Discard, content)
	if err != nil || n != l.Size {
		t.Fatalf("got %d bytes, %v, want %d", n, err, l.Size)
	}
}
