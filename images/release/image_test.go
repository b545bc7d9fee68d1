package main

import (
	"bytes"
	"crypto/x509"
	"debug/buildinfo"
	"encoding/json"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"imagemirror/internal/registrytest"
)

func checkImage(t *testing.T, r release, command, platform string, img v1.Image) {
	t.Helper()
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	program := "ko-app/" + command
	if config.Config.User != "65532:65532" || config.Platform().String() != platform || !slices.Equal(config.Config.Entrypoint, []string{"/" + program}) {
		t.Errorf("%s for %s: it is for %s, with the user %q and the entrypoint %q",
			command, platform, config.Platform(), config.Config.User, config.Config.Entrypoint)
	}
	files := registrytest.ImageFiles(t, img)
	// There is nothing else: no shell.
	const certificates = "etc/ssl/certs/ca-certificates.crt"
	if got, want := slices.Sorted(maps.Keys(files)), []string{"etc/group", "etc/passwd", certificates, program}; !slices.Equal(got, want) {
		t.Errorf("%s for %s has the files %q, want %q", command, platform, got, want)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(files[certificates]) {
		t.Errorf("%s for %s has no certificates", command, platform)
	}
	built, err := buildinfo.Read(bytes.NewReader(files[program]))
	if err != nil {
		t.Fatal(err)
	}
	if want := "imagemirror/cmd/" + command; built.Path != want {
		t.Errorf("the program for %s is %s, want %s", platform, built.Path, want)
	}
	if !bytes.Contains(files[program], []byte(version)) {
		t.Errorf("%s for %s cannot print its version %s", command, platform, version)
	}
	checkSBOM(t, r, command, platform, img, built)
}

// checkSBOM checks that the SBOM in the registry lists the modules of a program, and that a
// file has the same SBOM.
func checkSBOM(t *testing.T, r release, command, platform string, img v1.Image, built *buildinfo.BuildInfo) {
	t.Helper()
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(r.registry + "/" + command + ":" + strings.Replace(digest.String(), ":", "-", 1) + ".sbom")
	if err != nil {
		t.Fatal(err)
	}
	attached, err := remote.Image(tag)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := attached.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("the SBOM of %s for %s has %d layers (%v), want one", command, platform, len(layers), err)
	}
	blob, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(blob)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(slices.Collect(maps.Values(folder(t, filepath.Join(r.out, "sbom")))), string(content)) {
		t.Errorf("no file has the SBOM of %s for %s", command, platform)
	}
	var sbom struct {
		SPDXVersion string `json:"spdxVersion"`
		Packages    []struct {
			Name        string `json:"name"`
			VersionInfo string `json:"versionInfo"`
		} `json:"packages"`
	}
	if err := json.Unmarshal(content, &sbom); err != nil || !strings.HasPrefix(sbom.SPDXVersion, "SPDX-") {
		t.Fatalf("the SBOM of %s for %s is no SPDX document: %v", command, platform, err)
	}
	listed := map[string]bool{}
	for _, p := range sbom.Packages {
		listed[p.Name+"@"+p.VersionInfo] = true
	}
	for _, module := range built.Deps {
		if !listed[module.Path+"@"+module.Version] {
			t.Errorf("the SBOM of %s for %s does not list %s %s", command, platform, module.Path, module.Version)
		}
	}
}
