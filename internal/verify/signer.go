package verify

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"regexp/syntax"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"
)

// A Signer is one whose signatures are accepted. It does not change, so that any number of
// goroutines may use it.
type Signer struct {
	name      string                      // for messages
	root      string                      // name of the root of trust, or ""
	identity  *verify.CertificateIdentity // nil if it is a key
	verifiers []*verify.Verifier          // one has to accept
}

// MaxFile bounds a file with a key or a root of trust, in bytes.
const MaxFile = 1 << 20

// A TrustedRoot is a root of trust: which certificate authorities, logs and timestamp authorities
// are believed.
type TrustedRoot struct {
	name     string
	material *root.TrustedRoot
}

// ParseRoot reads a trusted_root.json, as cosign trusted-root create writes it. It refuses several
// in one file, as gh attestation trusted-root writes them: they demand different things.
func ParseRoot(name string, content []byte) (*TrustedRoot, error) {
	if len(content) > MaxFile {
		return nil, fmt.Errorf("it has more than %d KiB", MaxFile>>10)
	}
	values := json.NewDecoder(bytes.NewReader(content))
	if values.Decode(new(json.RawMessage)) == nil && values.More() {
		return nil, errors.New("it has several roots: keep the one that issued the signatures' certificates, and write an alternative for each other")
	}
	material, err := root.NewTrustedRootFromJSON(content)
	if err != nil {
		return nil, fmt.Errorf("it is not a Sigstore trusted root: %w", err)
	}
	if len(material.RekorLogs()) == 0 && len(material.TimestampingAuthorities()) == 0 {
		return nil, errors.New("it has neither a transparency log nor a timestamp authority, so nothing tells when a signature was made")
	}
	return &TrustedRoot{name, material}, nil
}

// options returns what signatures must have: an entry in a transparency log and a certificate that
// is in one, if the root has such logs, and a time that somebody else vouches for.
func (r *TrustedRoot) options(certificates bool) []verify.VerifierOption {
	o := []verify.VerifierOption{verify.WithObserverTimestamps(1)}
	if len(r.material.RekorLogs()) > 0 {
		o = append(o, verify.WithTransparencyLog(1))
	}
	if certificates && len(r.material.CTLogs()) > 0 {
		o = append(o, verify.WithSignedCertificateTimestamps(1))
	}
	return o
}

// An Identity is whom a certificate is for. Of each pair one is set; a regular expression matches
// the whole text.
type Identity struct {
	Issuer, IssuerRegexp   string // who identified them
	Subject, SubjectRegexp string // an address of e-mail, or the URL of a workflow
	Unlogged               bool   // no transparency log needs to have the signature
}

// anchored returns a regular expression that matches only the whole of a text. The expression is
// written anew, so that a \Q without an \E ends where it does.
func anchored(expression string) string {
	parsed, err := syntax.Parse(expression, syntax.Perl)
	if expression == "" || err != nil {
		return expression // which is refused
	}
	return "^(?:" + parsed.String() + ")$"
}

// String returns the identity as messages name it.
func (i Identity) String() string {
	return fmt.Sprintf("%s (issuer %s)", cmp.Or(i.Subject, "/"+i.SubjectRegexp+"/"), cmp.Or(i.Issuer, "/"+i.IssuerRegexp+"/"))
}

// NewIdentity returns the signer with an identity that the root's certificates prove.
func NewIdentity(i Identity, r *TrustedRoot) (*Signer, error) {
	if len(r.material.FulcioCertificateAuthorities()) == 0 {
		return nil, errors.New("the trusted root has no certificate authority, so that it proves no identity")
	}
	id, err := verify.NewShortCertificateIdentity(i.Issuer, anchored(i.IssuerRegexp), i.Subject, anchored(i.SubjectRegexp))
	if err != nil {
		return nil, err
	}
	s := &Signer{name: i.String(), root: r.name, identity: &id}
	err = s.add(r.material, r.options(true)...)
	if err == nil && i.Unlogged {
		err = s.add(r.material, verify.WithObserverTimestamps(1))
	}
	return s, err
}

// NewKey returns the signer that has the private half of a key in PEM. If there is a root, its
// transparency log or its timestamp authority must have seen the signature, too.
func NewKey(name string, content []byte, r *TrustedRoot) (*Signer, error) {
	key, err := parseKey(content)
	if err != nil {
		return nil, err
	}
	verifier, err := verifierOf(key)
	if err != nil {
		return nil, err
	}
	keys := root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) { return verifier, nil })
	s := &Signer{name: "the key " + name}
	if r == nil {
		return s, s.add(keys, verify.WithNoObserverTimestamps())
	}
	s.root = r.name
	return s, s.add(root.TrustedMaterialCollection{keys, r.material}, r.options(false)...)
}

func (s *Signer) add(material root.TrustedMaterial, o ...verify.VerifierOption) error {
	v, err := verify.NewVerifier(material, o...)
	s.verifiers = append(s.verifiers, v)
	return err
}

// minRSA and maxRSA bound keys of RSA, in bits: shorter ones are weak, and longer ones take long.
const (
	minRSA = 2048
	maxRSA = 8192
)

// hasPrivateKey reports whether a file has a private key, of which openssl writes the parameters
// before it.
func hasPrivateKey(content []byte) bool {
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if strings.Contains(block.Type, "PRIVATE KEY") {
			return true
		}
	}
	return false
}

func parseKey(content []byte) (crypto.PublicKey, error) {
	block, rest := pem.Decode(content)
	switch {
	case block == nil:
		return nil, errors.New("it is not in PEM: write a public key that begins with -----BEGIN PUBLIC KEY-----")
	case hasPrivateKey(content):
		return nil, errors.New("it is a private key, which whoever can read the repository now has: make a new pair, and write the public key (cosign public-key prints it)")
	case block.Type == "CERTIFICATE":
		return nil, errors.New("it is a certificate: write its public key (openssl x509 -pubkey prints it)")
	case len(bytes.TrimSpace(rest)) > 0:
		return nil, errors.New("it has more than one key: write a file and an alternative for each")
	}
	var key any
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	default:
		return nil, fmt.Errorf("it is %.100q in PEM, not a public key", block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("it is not a public key: %w", err)
	}
	if k, ok := key.(*rsa.PublicKey); ok && (k.N.BitLen() < minRSA || k.N.BitLen() > maxRSA) {
		return nil, fmt.Errorf("it is an RSA key with %d bits, and %d to %d are accepted", k.N.BitLen(), minRSA, maxRSA)
	}
	return key, nil
}

// A keyVerifier verifies with a key in each of the ways in which tools sign with keys of its kind:
// cosign has used SHA-256 with all curves, and newer versions use the hash of the curve's size.
type keyVerifier struct{ ways []signature.Verifier }

func verifierOf(key crypto.PublicKey) (*keyVerifier, error) {
	hashes := []crypto.Hash{crypto.SHA256}
	var prehashed []signature.LoadOption
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P384():
			hashes = append(hashes, crypto.SHA384)
		case elliptic.P521():
			hashes = append(hashes, crypto.SHA512)
		}
	case ed25519.PublicKey:
		prehashed = []signature.LoadOption{options.WithED25519ph()}
	case *rsa.PublicKey:
	default:
		return nil, fmt.Errorf("it is a %T: write an ECDSA, RSA or Ed25519 key", key)
	}
	v := &keyVerifier{}
	for _, h := range hashes {
		way, err := signature.LoadVerifier(key, h)
		if err != nil {
			return nil, err
		}
		v.ways = append(v.ways, way)
	}
	if prehashed != nil {
		way, err := signature.LoadVerifierWithOpts(key, prehashed...)
		if err != nil {
			return nil, err
		}
		v.ways = append(v.ways, way)
	}
	return v, nil
}

// VerifySignature accepts a signature that one of the ways accepts.
func (v *keyVerifier) VerifySignature(signed, message io.Reader, o ...signature.VerifyOption) error {
	sig, err := io.ReadAll(signed)
	if err != nil {
		return err
	}
	content, err := io.ReadAll(message)
	if err != nil {
		return err
	}
	for _, way := range v.ways {
		if err = way.VerifySignature(bytes.NewReader(sig), bytes.NewReader(content), o...); err == nil {
			return nil
		}
	}
	return err
}

// PublicKey returns the key.
func (v *keyVerifier) PublicKey(o ...signature.PublicKeyOption) (crypto.PublicKey, error) {
	return v.ways[0].PublicKey(o...)
}

// ValidAtTime reports that the key is always valid: a set that no longer trusts it removes it.
func (*keyVerifier) ValidAtTime(time.Time) bool { return true }

// A miss is why a claim is not what a signer's must be. One with a higher rank came closer.
type miss struct {
	rank int
	text string
}

// The ranks of misses.
const (
	unreadable = iota
	ofAnother
	byAnother
	changed
	untimely
)

// accept verifies that a claim is the signer's, and about the image with the digest. It returns
// when that was signed, if anybody vouches for it.
func (s *Signer) accept(c *claim, digest []byte, hexDigest string) (at time.Time, m *miss) {
	// See newClaim.
	defer func() {
		if p := recover(); p != nil {
			at, m = time.Time{}, &miss{unreadable, fmt.Sprintf("it cannot be verified: %v", p)}
		}
	}()
	if m := s.mismatch(c, hexDigest); m != nil {
		return time.Time{}, m
	}
	entity := c.entity
	if s.identity == nil {
		entity = c.byKey()
	}
	policy := verify.NewPolicy(verify.WithArtifactDigest("sha256", digest), s.who())
	if c.artifact != nil {
		policy = verify.NewPolicy(verify.WithArtifact(bytes.NewReader(c.artifact)), s.who())
	}
	var first error
	for _, v := range s.verifiers {
		result, err := v.Verify(entity, policy)
		if err == nil {
			return earliest(result.VerifiedTimestamps), nil
		}
		first = cmp.Or(first, err)
	}
	return time.Time{}, s.explain(c, first)
}

func (s *Signer) who() verify.PolicyOption {
	if s.identity == nil {
		return verify.WithKey()
	}
	return verify.WithCertificateIdentity(*s.identity)
}

// mismatch returns what is wrong with a claim even if its signature is good.
func (s *Signer) mismatch(c *claim, hexDigest string) *miss {
	if !c.isAbout(hexDigest) {
		return &miss{ofAnother, "it is for another image, " + c.about()}
	}
	switch {
	case s.identity == nil && c.by != nil && c.byKey() == c.entity:
		return c.notByKey()
	case s.identity == nil:
		return nil
	case c.by == nil:
		return &miss{byAnother, "it is by a key, not by an identity"}
	case s.identity.Issuer.Verify(*c.by) != nil:
		return &miss{byAnother, fmt.Sprintf("its issuer is %.200q, who identified %.200q", c.by.Issuer, c.by.SubjectAlternativeName)}
	case s.identity.SubjectAlternativeName.Verify(*c.by) != nil:
		return &miss{byAnother, fmt.Sprintf("it is by the subject %.200q", c.by.SubjectAlternativeName)}
	}
	return nil
}

// notByKey returns the miss for a claim with a certificate when a key is wanted.
func (c *claim) notByKey() *miss {
	return &miss{byAnother, fmt.Sprintf("it is by %.200q (issuer %.200q), not by a key", c.by.SubjectAlternativeName, c.by.Issuer)}
}

func earliest(all []verify.TimestampVerificationResult) time.Time {
	var first time.Time
	for _, t := range all {
		if first.IsZero() || t.Timestamp.Before(first) {
			first = t.Timestamp
		}
	}
	return first
}
