package interop

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
	"imagemirror/internal/verify/signtest"
)

// A signing is a way in which cosign signs images.
type signing struct {
	name string
	sign func(t *testing.T, repository, digest string, key *signtest.KeyPair) error
	args []string // of cosign verify
	none string   // what cosign says if there is none
}

var signings = []signing{
	{"a signature under cosign's tag", func(t *testing.T, repository, digest string, key *signtest.KeyPair) error {
		return signtest.SignImage(t.Context(), repository, digest, key)
	}, nil, "no signatures found"},
	{"a signature as a bundle", func(t *testing.T, repository, digest string, key *signtest.KeyPair) error {
		_, err := signtest.BundleImage(t.Context(), repository, digest, signtest.SignPredicate, key)
		return err
	}, nil, "no signatures found"},
	{"an attestation under cosign's tag", func(t *testing.T, repository, digest string, key *signtest.KeyPair) error {
		return signtest.AttestImage(t.Context(), repository, digest, signtest.Provenance, key)
	}, []string{"-attestation", signtest.Provenance}, "no matching attestations"},
	{"an attestation as a bundle", func(t *testing.T, repository, digest string, key *signtest.KeyPair) error {
		_, err := signtest.BundleImage(t.Context(), repository, digest, signtest.Provenance, key)
		return err
	}, []string{"-attestation", signtest.Provenance}, "no matching attestations"},
}

// Cosign verifies at the destination what was signed at the source, in all pairs of registries with
// and without the referrers API. The image alone, which is there before, it does not verify.
func TestCosignVerifiesWhatIsMirrored(t *testing.T) {
	cosign, err := registrytest.BuildCosign(os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	key := signtest.NewKeyPair()
	public := filepath.Join(t.TempDir(), "cosign.pub")
	if err := os.WriteFile(public, key.Public, 0o600); err != nil {
		t.Fatal(err)
	}
	verify := func(t *testing.T, image string, more ...string) (string, error) {
		t.Helper()
		args := append([]string{"verify", "-key", public}, more...)
		out, err := exec.CommandContext(t.Context(), cosign, append(args, image)...).CombinedOutput()
		return string(out), err
	}
	without := func(t *testing.T) *registrytest.Registry {
		return registrytest.Distribution(t, registrytest.DistributionOptions{})
	}
	with := func(t *testing.T) *registrytest.Registry {
		r := registrytest.StartInProcess(ggcr.WithReferrersSupport(true))
		t.Cleanup(r.Close)
		return r
	}
	for _, pair := range []struct {
		name     string
		from, to func(t *testing.T) *registrytest.Registry
	}{
		{"without the API to without", without, without},
		{"without the API to with", without, with},
		{"with the API to without", with, without},
		{"with the API to with", with, with},
	} {
		t.Run(pair.name, func(t *testing.T) {
			t.Parallel()
			from, to := pair.from(t), pair.to(t)
			for i, s := range signings {
				repo := "/signed" + string(rune('a'+i))
				image := registrytest.NewPlatforms(registrytest.OCI, repo, 1000, []string{"amd64", "arm64"})
				digest := registrytest.Push(t, from.Host+repo+":v1", image)
				if err := s.sign(t, from.Host+repo, digest, key); err != nil {
					t.Fatal(err)
				}
				registrytest.Push(t, to.Host+repo+":before", image)
				if out, err := verify(t, to.Host+repo+"@"+digest, s.args...); err == nil || !strings.Contains(out, s.none) {
					t.Errorf("%s: before it is mirrored, cosign says %s (%v)", s.name, out, err)
				}
				got := mirrorLines(t, 1, []string{from.Host + repo + ":v1 " + to.Host + repo + ":v1"})[to.Host+repo+":v1"]
				if got.Status != stream.Copied {
					t.Fatalf("%s: got %+v", s.name, got)
				}
				if out, err := verify(t, to.Host+repo+":v1", s.args...); err != nil {
					t.Errorf("%s: once it is mirrored, cosign says %s (%v)", s.name, out, err)
				}
			}
		})
	}
}
