package base

import (
	"bytes"
	"crypto/x509"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"imagemirror/internal/registrytest"
)

func TestBase(t *testing.T) {
	r := registrytest.Distribution(t, registrytest.DistributionOptions{})
	pushed, err := Push(t.Context(), r.Host+"/base:v1")
	if err != nil {
		t.Fatal(err)
	}
	again, err := Push(t.Context(), r.Host+"/base:v2")
	if err != nil || again != pushed {
		t.Errorf("built a second time it is %s (%v), want %s", again, err, pushed)
	}
	ref, err := name.ParseReference(pushed)
	if err != nil {
		t.Fatal(err)
	}
	for _, architecture := range []string{"amd64", "arm64"} {
		img, err := remote.Image(ref, remote.WithPlatform(v1.Platform{OS: "linux", Architecture: architecture}))
		if err != nil {
			t.Fatal(err)
		}
		checkImage(t, architecture, img)
	}
}

func checkImage(t *testing.T, architecture string, img v1.Image) {
	t.Helper()
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Architecture != architecture || config.Config.User != user {
		t.Errorf("the image for %s is for %s, and its user is %q", architecture, config.Architecture, config.Config.User)
	}
	content := registrytest.ImageFiles(t, img)
	var names []string
	for name := range content {
		names = append(names, name)
	}
	if len(names) != 3 {
		t.Errorf("the files are %v, want three", names)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(content[authorities]) || bytes.Count(content[authorities], []byte("BEGIN")) < 50 {
		t.Error("the authorities are not those of the world")
	}
	if diff := cmp.Diff(passwd, string(content["etc/passwd"])); diff != "" {
		t.Errorf("etc/passwd (-want +got):\n%s", diff)
	}
}
