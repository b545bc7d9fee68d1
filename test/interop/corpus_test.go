package interop

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strings"

	"imagemirror/internal/digest"
	"imagemirror/internal/manifest"
	"imagemirror/internal/registrytest"
)

// Media types of what images consist of.
const (
	dockerConfig  = "application/vnd.docker.container.image.v1+json"
	dockerLayer   = "application/vnd.docker.image.rootfs.diff.tar.gzip"
	dockerForeign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
	ociConfig     = "application/vnd.oci.image.config.v1+json"
	ociEmpty      = "application/vnd.oci.empty.v1+json"
	ociLayer      = "application/vnd.oci.image.layer.v1.tar+gzip"
	ociZstd       = "application/vnd.oci.image.layer.v1.tar+zstd"
	ociForeign    = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
	inToto        = "application/vnd.in-toto+json"
)

// A sample is an image of the corpus: exactly the bytes that a registry has of it.
type sample struct {
	kind      string
	repo      string // below a prefix
	tags      []string
	byDigest  bool       // the mapping's source is a digest
	untagged  bool       // the mapping's destination has no tag
	manifests []document // children before parents; the last one is the image
	blobs     []document // without foreign layers
}

// A document is a manifest or a blob.
type document struct {
	mediaType string
	content   []byte
}

func (d document) digest() string { return digest.Of(d.content) }

// describe returns a descriptor as JSON. more is the end of the object, such as `,"urls":[]`.
func describe(d document, more string) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d%s}`, d.mediaType, d.digest(), len(d.content), more)
}

// blob adds a blob, and returns its descriptor.
func (s *sample) blob(mediaType string, content []byte, more ...string) string {
	d := document{mediaType, content}
	s.blobs = append(s.blobs, d)
	return describe(d, strings.Join(more, ""))
}

// layer adds a layer of random bytes, which depend on its name alone.
func (s *sample) layer(mediaType, name string) string {
	return s.blob(mediaType, random(name, 1000))
}

// config adds a configuration.
func (s *sample) config(mediaType, name string) string {
	return s.blob(mediaType, fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","config":{"Labels":{"name":%q}},"rootfs":{"type":"layers","diff_ids":[]}}`, name))
}

// manifest adds a manifest, and returns its descriptor.
func (s *sample) manifest(mediaType, format string, args ...any) string {
	d := document{mediaType, fmt.Appendf(nil, format, args...)}
	s.manifests = append(s.manifests, d)
	return describe(d, "")
}

// image adds the manifest of an image, and returns its descriptor.
func (s *sample) image(mediaType, config string, layers ...string) string {
	return s.manifest(mediaType, `{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s]}`,
		mediaType, config, strings.Join(layers, ","))
}

// oci adds an OCI image with a layer of its own, and returns its descriptor.
func (s *sample) oci(name string) string {
	return s.image(manifest.OCIManifest, s.config(ociConfig, name), s.layer(ociLayer, name))
}

// docker does the same with Docker's types.
func (s *sample) docker(name string) string {
	return s.image(manifest.DockerManifest, s.config(dockerConfig, name), s.layer(dockerLayer, name))
}

// list adds an index, and returns its descriptor.
func (s *sample) list(mediaType string, children ...string) string {
	return s.manifest(mediaType, `{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`,
		mediaType, strings.Join(children, ","))
}

// on adds a platform to the descriptor of a manifest.
func on(descriptor, architecture string) string {
	return withMore(descriptor, fmt.Sprintf(`,"platform":{"architecture":%q,"os":"linux"}`, architecture))
}

func withMore(descriptor, more string) string {
	return strings.TrimSuffix(descriptor, "}") + more + "}"
}

// random returns n bytes that depend on name alone.
func random(name string, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8(sha256.Sum256([]byte(name))).Read(b)
	return b
}

// corpus returns all images. Each is in a repository of its own, unless it says otherwise.
func corpus() []sample {
	var all []sample
	for i, c := range contents {
		s := sample{kind: c.kind, repo: fmt.Sprintf("image-%d", i), tags: []string{"v1"}}
		c.fill(&s)
		all = append(all, s)
	}
	return all
}

// contents are the kinds of images. A kind can be there several times.
var contents = []struct {
	kind string
	fill func(*sample)
}{
	{"Docker image", func(s *sample) { s.docker("docker") }},
	{"Docker manifest list", func(s *sample) {
		s.list(manifest.DockerList, on(s.docker("list-amd64"), "amd64"), on(s.docker("list-arm64"), "arm64"))
	}},
	{"OCI image", func(s *sample) { s.oci("oci") }},
	{"OCI image without a media type", func(s *sample) {
		s.manifest(manifest.OCIManifest, `{"schemaVersion":2,"config":%s,"layers":[%s]}`, s.config(ociConfig, "untyped"), s.layer(ociLayer, "untyped"))
	}},
	{"OCI image without layers", func(s *sample) {
		s.image(manifest.OCIManifest, s.config(ociConfig, "no-layers"))
	}},
	{"OCI index", func(s *sample) {
		s.list(manifest.OCIIndex, on(s.oci("index-amd64"), "amd64"), on(s.oci("index-s390x"), "s390x"))
	}},
	{"OCI index without a media type", func(s *sample) {
		s.manifest(manifest.OCIIndex, `{"schemaVersion":2,"manifests":[%s]}`, on(s.oci("untyped-index"), "amd64"))
	}},
	{"empty OCI index", func(s *sample) { s.list(manifest.OCIIndex) }},
	{"index of Docker images", func(s *sample) { s.list(manifest.OCIIndex, on(s.docker("mixed"), "amd64")) }},
	{"Docker list of OCI images", func(s *sample) { s.list(manifest.DockerList, on(s.oci("mixed"), "amd64")) }},
	{"index of indexes", func(s *sample) {
		s.list(manifest.OCIIndex, s.list(manifest.OCIIndex, on(s.oci("nested"), "amd64")), on(s.oci("nested-arm"), "arm64"))
	}},
	{"index with one image twice", func(s *sample) {
		child := s.oci("twice")
		s.list(manifest.OCIIndex, on(child, "amd64"), on(child, "386"))
	}},
	{"attestations", attestations},
	{"artifact", func(s *sample) {
		s.manifest(manifest.OCIManifest, `{"schemaVersion":2,"mediaType":%q,"artifactType":"application/vnd.example.sbom","config":%s,"layers":[%s]}`,
			manifest.OCIManifest, s.blob("application/vnd.example.config+json", []byte(`{"a":1}`)), s.layer("application/vnd.example.data", "artifact"))
	}},
	{"artifact with the empty config", func(s *sample) {
		s.manifest(manifest.OCIManifest, `{"schemaVersion":2,"mediaType":%q,"artifactType":"application/vnd.example.sbom","config":%s,"layers":[%s]}`,
			manifest.OCIManifest, s.blob(ociEmpty, []byte("{}"), `,"data":"e30="`), s.blob(ociEmpty, []byte("{}"), `,"data":"e30="`))
	}},
	{"artifact with a subject", func(s *sample) {
		subject := describe(document{manifest.OCIManifest, []byte(`{}`)}, "") // need not be there
		s.manifest(manifest.OCIManifest, `{"schemaVersion":2,"mediaType":%q,"artifactType":"application/vnd.example.signature","config":%s,"layers":[%s],"subject":%s}`,
			manifest.OCIManifest, s.blob(ociEmpty, []byte("{}")), s.layer("application/vnd.example.data", "signature"), subject)
	}},
	{"Helm chart", func(s *sample) {
		s.manifest(manifest.OCIManifest, `{"schemaVersion":2,"config":%s,"layers":[%s],"annotations":{"org.opencontainers.image.title":"chart"}}`,
			s.blob("application/vnd.cncf.helm.config.v1+json", []byte(`{"name":"chart"}`)), s.layer("application/vnd.cncf.helm.chart.content.v1.tar+gzip", "chart"))
	}},
	{"OCI 1.1-rc artifact manifest", func(s *sample) {
		s.manifest(manifest.OCIArtifact, `{"mediaType":%q,"artifactType":"application/vnd.example.sbom","blobs":[%s]}`,
			manifest.OCIArtifact, s.layer("application/vnd.example.data", "artifact-manifest"))
	}},
	{"BuildKit cache", func(s *sample) {
		s.list(manifest.OCIIndex, s.layer(ociLayer, "cache"), s.blob("application/vnd.buildkit.cacheconfig.v0", []byte(`{"layers":[]}`)))
	}},
	{"zstd layers", func(s *sample) {
		s.image(manifest.OCIManifest, s.config(ociConfig, "zstd"), s.layer(ociZstd, "zstd"))
	}},
	{"Docker foreign layer", func(s *sample) { foreign(s, manifest.DockerManifest, dockerConfig, dockerForeign, dockerLayer) }},
	{"OCI foreign layer", func(s *sample) { foreign(s, manifest.OCIManifest, ociConfig, ociForeign, ociLayer) }},
	{"foreign layer that is there", func(s *sample) {
		s.image(manifest.OCIManifest, s.config(ociConfig, "kept"), s.layer(ociForeign, "kept"))
	}},
	{"layer of 0 bytes", func(s *sample) {
		s.image(manifest.OCIManifest, s.config(ociConfig, "empty"), s.blob(ociLayer, nil))
	}},
	{"120 layers", func(s *sample) {
		var layers []string
		for i := range 40 {
			layer := s.blob(dockerLayer, fmt.Appendf(nil, "layer %d", i))
			layers = append(layers, layer, layer, layer)
		}
		s.image(manifest.DockerManifest, s.config(dockerConfig, "many"), layers...)
	}},
	{"one layer twice", func(s *sample) {
		layer := s.layer(ociLayer, "repeated")
		s.image(manifest.OCIManifest, s.config(ociConfig, "repeated"), layer, layer)
	}},
	{"shared layers", func(s *sample) { shared(s, "a") }},
	{"shared layers", func(s *sample) { shared(s, "b") }},
	{"shared layers", func(s *sample) { shared(s, "c") }},
	{"fields that are null", func(s *sample) {
		s.manifest(manifest.OCIManifest, `{"schemaVersion":2,"mediaType":%q,"artifactType":null,"config":%s,"layers":[%s],"subject":null,"annotations":null}`,
			manifest.OCIManifest, withMore(s.config(ociConfig, "null"), `,"urls":null,"annotations":null,"platform":null`), withMore(s.layer(ociLayer, "null"), `,"urls":null,"data":null`))
	}},
	{"fields that are null", func(s *sample) {
		s.manifest(manifest.OCIIndex, `{"schemaVersion":2,"mediaType":%q,"manifests":[%s],"subject":null,"annotations":null}`,
			manifest.OCIIndex, withMore(s.oci("null-child"), `,"platform":null,"annotations":null`))
	}},
	{"layers that are null", func(s *sample) {
		s.manifest(manifest.OCIManifest, `{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":null}`, manifest.OCIManifest, s.config(ociConfig, "null-layers"))
	}},
	{"fields that nobody knows", func(s *sample) {
		s.manifest(manifest.DockerManifest, `{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s],"x-extra":{"deep":[1,2.5e3,{"n":12345678901234567890}]}}`,
			manifest.DockerManifest, s.config(dockerConfig, "extra"), withMore(s.layer(dockerLayer, "extra"), `,"x":true`))
	}},
	{"white space and line ends", func(s *sample) {
		s.manifest(manifest.OCIManifest, "\r\n\t{ \"schemaVersion\" : 2 ,\r\n  \"mediaType\" :\t%q,\r\n  \"config\" : %s ,\n\n \"layers\":\n[\n%s\n]\r\n}\r\n\n ",
			manifest.OCIManifest, s.config(ociConfig, "space"), s.layer(ociLayer, "space"))
	}},
	{"order of keys", func(s *sample) {
		s.manifest(manifest.DockerManifest, `{"layers":[%s],"config":%s,"mediaType":%q,"schemaVersion":2}`+"\n",
			s.layer(dockerLayer, "order"), s.config(dockerConfig, "order"), manifest.DockerManifest)
	}},
	{"escapes and Unicode", func(s *sample) {
		s.manifest(manifest.OCIManifest, `{"schemaVersion":2,"\u006dediaType":"application\/vnd.oci.image.manifest.v1\u002bjson","config":%s,"layers":[%s],`+
			`"annotations":{"\u00e9":"\ud83d\ude00 <&> \u2028","é😀":"<b>&amp;"}}`, s.config(ociConfig, "unicode"), s.layer(ociLayer, "unicode"))
	}},
	{"manifest of 3 MiB", func(s *sample) {
		s.manifest(manifest.OCIManifest, `{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s],"annotations":{"long":"%s"}}`,
			manifest.OCIManifest, s.config(ociConfig, "long"), s.layer(ociLayer, "long"), strings.Repeat("0123456789abcdef", 3<<16))
	}},
	{"long names", func(s *sample) {
		s.repo = strings.Repeat("a-b_c.d__e/", 10) + "0"
		s.tags = []string{"_" + strings.Repeat("Tag.0-", 21) + "x"}
		s.oci("names")
	}},
	{"several tags by a wildcard", func(s *sample) {
		s.tags = []string{"v1", "v1.0", "v2-rc.1"}
		s.oci("tags")
	}},
	{"source by digest", func(s *sample) {
		s.byDigest = true
		s.list(manifest.OCIIndex, on(s.oci("digest"), "amd64"))
	}},
	{"source and destination by digest", func(s *sample) {
		s.byDigest, s.untagged = true, true
		s.oci("digest-only")
	}},
	{"Docker schema 1", func(s *sample) {
		layer := registrytest.NewBlob("schema1", 1000, dockerLayer)
		s.layer(dockerLayer, "schema1")
		schema1 := registrytest.Schema1("schema1", layer)
		s.manifests = append(s.manifests, document{string(schema1.Type), schema1.Content})
	}},
}

// attestations fills an index as BuildKit writes it: an attestation for each image, for the
// platform unknown/unknown.
func attestations(s *sample) {
	child := s.oci("attested")
	attested := document(s.manifests[0]).digest()
	attestation := s.image(manifest.OCIManifest, s.config(ociConfig, "attestation"),
		s.blob(inToto, []byte(`{"_type":"https://in-toto.io/Statement/v0.1"}`), `,"annotations":{"in-toto.io/predicate-type":"https://slsa.dev/provenance/v0.2"}`))
	s.list(manifest.OCIIndex, on(child, "amd64"), withMore(attestation, fmt.Sprintf(
		`,"annotations":{"vnd.docker.reference.digest":%q,"vnd.docker.reference.type":"attestation-manifest"},"platform":{"architecture":"unknown","os":"unknown"}`, attested)))
}

// foreign fills an image of two layers, one of which is elsewhere.
func foreign(s *sample, mediaType, configType, foreignType, layerType string) {
	elsewhere := describe(document{foreignType, random(foreignType, 1000)}, `,"urls":["https://example.com/layer"]`)
	s.image(mediaType, s.config(configType, foreignType), elsewhere, s.layer(layerType, "beside "+foreignType))
}

// shared fills one of several images with two layers in common.
func shared(s *sample, name string) {
	s.image(manifest.OCIManifest, s.config(ociConfig, name),
		s.layer(ociLayer, "base-1"), s.layer(ociLayer, "base-2"), s.layer(ociLayer, name))
}
