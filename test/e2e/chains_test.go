//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"imagemirror/internal/registrytest"
	"imagemirror/internal/verify/signtest"
)

// The predicate type of the attestations that Chains makes in the format slsa/v1.
const provenance = "https://slsa.dev/provenance/v0.2"

// Tekton Chains finds what a run has copied by its result IMAGES, signs it and attests how it was
// made, beside the image. Cosign verifies both there. The next run, which copies from there, takes
// them along.
func TestChains(t *testing.T) {
	s := newSpace(t)
	key := signtest.NewKeyPair()
	s.startChains(key)
	s.pushOne("app:v1")
	s.mappings("set", "app:v1 mirror/app:v1")
	s.checkEnd(s.finish("first", "set"), true, "1 of 1 mapping copied")

	image := s.copies.Host + "/mirror/app:v1"
	s.until("what Chains has signed", func() bool { return s.cosign(key, image) == nil })
	s.until("what Chains has attested", func() bool {
		return s.cosign(key, "-attestation", provenance, image) == nil
	})
	s.stopChains() // so that the next run's image has no other signatures than those that travel

	s.configMap("next", map[string]string{
		"OWNERS": owners,
		"mapping_payments": fmt.Sprintf("%[1]s/mirror/app:v1 %[1]s/mirror/next/app:v1\n",
			s.destination.Host),
	})
	s.checkEnd(s.finish("second", "next"), true, "1 of 1 mapping copied")
	next := s.copies.Host + "/mirror/next/app:v1"
	for _, args := range [][]string{{next}, {"-attestation", provenance, next}} {
		if err := s.cosign(key, args...); err != nil {
			t.Error(err)
		}
	}
}

// cosign verifies an image with the public part of a key.
func (s *space) cosign(key *signtest.KeyPair, args ...string) error {
	s.t.Helper()
	program, err := registrytest.BuildCosign(os.Stderr)
	if err != nil {
		s.t.Fatal(err)
	}
	public := filepath.Join(s.t.TempDir(), "cosign.pub")
	if err := os.WriteFile(public, key.Public, 0o600); err != nil {
		s.t.Fatal(err)
	}
	args = append([]string{"verify", "-key", public}, args...)
	_, err = output(exec.CommandContext(s.t.Context(), program, args...))
	return err
}

// chainsYAML is the controller of Tekton Chains for one namespace, in which it may do everything.
const chainsYAML = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: chains}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: chains}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: chains, namespace: $(NAME)}]
---
apiVersion: v1
kind: Pod
metadata: {name: chains}
spec:
  serviceAccountName: chains
  securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: chains
      image: $(IMAGE)
      args: [-namespace=$(NAME)]
      env:
        - {name: SYSTEM_NAMESPACE, value: $(NAME)}
        - {name: METRICS_DOMAIN, value: tekton.dev/chains}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      volumeMounts: [{name: key, mountPath: /etc/signing-secrets}]
  volumes: [{name: key, secret: {secretName: signing-secrets}}]
`

// startChains starts Tekton Chains for the runs of this namespace. It signs with a key, and stores
// signatures and attestations beside images, with the credentials of the set's service account.
func (s *space) startChains(key *signtest.KeyPair) {
	s.t.Helper()
	program, err := exec.LookPath("tekton-chains")
	if err != nil && os.Getenv("CI") != "true" {
		s.t.Skip("this cluster was made without Tekton Chains:", err)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	secret := &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Name: "signing-secrets"},
		Data:       map[string][]byte{"x509.pem": key.Private()},
	}
	s.apply(s.marshal(secret), s.configMapYAML("chains-config", map[string]string{
		"artifacts.taskrun.format":        "slsa/v1",
		"artifacts.taskrun.storage":       "oci",
		"artifacts.pipelinerun.storage":   "",
		"artifacts.oci.storage":           "oci",
		"storage.oci.repository.insecure": "true",
		"transparency.enabled":            "false",
	}))
	for _, name := range []string{"config-logging", "config-observability", "config-leader-election"} {
		s.configMap(name, map[string]string{})
	}
	s.kubectl("patch", "serviceaccount", s.name, "--patch", `{"imagePullSecrets": [{"name": "push"}]}`)
	image := s.pushProgram("chains", program)
	s.apply(strings.NewReplacer("$(NAME)", s.name, "$(IMAGE)", image).Replace(chainsYAML))
	s.t.Cleanup(s.stopChains)
	s.kubectl("wait", "pod/chains", "--for=condition=Ready", "--timeout=15m")
}

// stopChains deletes all runs, then Chains, which has given them finalizers.
func (s *space) stopChains() {
	for _, what := range [][]string{{"pipelineruns,taskruns", "--all"}, {"pod/chains"}} {
		args := append([]string{"--namespace", s.name, "delete", "--ignore-not-found", "--timeout=15m"}, what...)
		if _, err := output(exec.Command("kubectl", args...)); err != nil {
			s.t.Error(err)
		}
	}
}

// pushProgram pushes an image of a static program to the cluster's registry, and returns its name.
func (s *space) pushProgram(repo, program string) string {
	s.t.Helper()
	content, err := os.ReadFile(program)
	if err != nil {
		s.t.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	header := &tar.Header{Name: "program", Mode: 0o755, Size: int64(len(content))}
	if err := w.WriteHeader(header); err != nil {
		s.t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		s.t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		s.t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b.Bytes())), nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	base, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{
		OS: "linux", Architecture: runtime.GOARCH, RootFS: v1.RootFS{Type: "layers"},
		Config: v1.Config{Entrypoint: []string{"/program"}},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	image, err := mutate.AppendLayers(base, layer)
	if err != nil {
		s.t.Fatal(err)
	}
	tag, err := name.NewTag(os.Getenv(registryVar) + "/" + repo + ":e2e")
	if err != nil {
		s.t.Fatal(err)
	}
	if err := remote.Write(tag, image, remote.WithContext(s.t.Context())); err != nil {
		s.t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		s.t.Fatal(err)
	}
	return tag.Context().Digest(digest.String()).String()
}
