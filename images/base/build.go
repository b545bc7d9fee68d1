package base

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

const (
	// user is the user and group "nonroot" of other images without a shell.
	user         = "65532:65532"
	authorities  = "etc/ssl/certs/ca-certificates.crt" // where Go's crypto/x509 looks first
	passwd       = "root:x:0:0:root:/:/none\nnonroot:x:65532:65532:nonroot:/:/none\n"
	group        = "root:x:0:\nnonroot:x:65532:\n"
	everybody    = 0o444
	everybodyDir = 0o555
)

// build makes an index with a Linux image for each architecture. They differ only in their
// configuration.
func build(architectures ...string) (v1.ImageIndex, error) {
	content, err := files()
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, architecture := range architectures {
		img, err := platformImage(layer, architecture)
		if err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        img,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: architecture}},
		})
	}
	return index, nil
}

func platformImage(layer v1.Layer, architecture string) (v1.Image, error) {
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	img = mutate.ConfigMediaType(img, types.OCIConfigJSON)
	img, err := mutate.AppendLayers(img, layer)
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", architecture
	config.Config.User = user
	return mutate.ConfigFile(img, config)
}

// files returns the layer, a tar archive.
func files() ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, dir := range []string{"etc/", "etc/ssl/", "etc/ssl/certs/"} {
		header := &tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: everybodyDir}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
	}
	for _, file := range []struct {
		name    string
		content []byte
	}{{"etc/group", []byte(group)}, {"etc/passwd", []byte(passwd)}, {authorities, roots()}} {
		size := int64(len(file.content))
		header := &tar.Header{Typeflag: tar.TypeReg, Name: file.name, Mode: everybody, Size: size}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(file.content); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), w.Close()
}

// roots returns Mozilla's list of authorities, in PEM. It leaves out those that are trusted
// only under constraints, which PEM cannot express.
func roots() []byte {
	var b bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			// Writing to a buffer does not fail.
			_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate})
		}
	}
	return b.Bytes()
}
