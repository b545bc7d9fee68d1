// Package signtest signs images in registries, for tests and the demo: with keys and with
// certificates of an authority of its own, in cosign's tags and as Sigstore bundles. Sigstore's
// libraries make all keys and signatures, without a network.
package signtest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	sigdsse "github.com/sigstore/sigstore/pkg/signature/dsse"
	"github.com/sigstore/sigstore/pkg/signature/payload"
	"google.golang.org/protobuf/encoding/protojson"
)

// The predicate types of attestations that are signatures, and of provenance.
const (
	SignPredicate = "https://sigstore.dev/cosign/sign/v1"
	Provenance    = "https://slsa.dev/provenance/v1"
)

// A Signature is a layer under one of cosign's tags.
type Signature struct {
	MediaType   string
	Payload     []byte
	Annotations map[string]string
}

// A Signer makes signatures of the image with a digest.
type Signer interface {
	// Sign returns one for cosign's tag sha256-HEX.sig.
	Sign(repository, digest string) Signature
	// Attest returns one for cosign's tag sha256-HEX.att.
	Attest(digest, predicateType string) Signature
	// Bundle returns a Sigstore bundle. It is a signature if the type is SignPredicate.
	Bundle(digest, predicateType string) []byte
}

// A KeyPair signs with its private key.
type KeyPair struct {
	Public  []byte // in PEM
	private crypto.Signer
	hash    crypto.Hash
}

var _ Signer = &KeyPair{}

// NewKeyPair returns a new key of the kind that cosign generates: ECDSA with P-256.
func NewKeyPair() *KeyPair {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	return newKeyPair(private, crypto.SHA256)
}

// NewKeyPairOf returns a new key of a kind: P-256, P-384, P-521, RSA or Ed25519.
func NewKeyPairOf(kind string) *KeyPair {
	var private crypto.Signer
	var err error
	hash := crypto.SHA256
	switch kind {
	case "P-384":
		private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		hash = crypto.SHA384
	case "P-521":
		private, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
		hash = crypto.SHA512
	case "RSA":
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	case "Ed25519":
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		return NewKeyPair()
	}
	must(err)
	return newKeyPair(private, hash)
}

func newKeyPair(private crypto.Signer, hash crypto.Hash) *KeyPair {
	public, err := cryptoutils.MarshalPublicKeyToPEM(private.Public())
	must(err)
	return &KeyPair{Public: public, private: private, hash: hash}
}

// Private returns the private key in PEM, unencrypted, as cosign import-key-pair reads it.
func (k *KeyPair) Private() []byte {
	b, err := cryptoutils.MarshalPrivateKeyToPEM(k.private)
	must(err)
	return b
}

func (k *KeyPair) signer() signature.Signer {
	s, err := signature.LoadSigner(k.private, k.hash)
	must(err)
	return s
}

// Payload returns what cosign signs.
func Payload(repository, digest string) []byte {
	image, err := name.NewDigest(repository + "@" + digest)
	must(err)
	b, err := json.Marshal(payload.Cosign{Image: image})
	must(err)
	return b
}

// Sign returns a signature for cosign's tag.
func (k *KeyPair) Sign(repository, digest string) Signature {
	return k.SignPayload(Payload(repository, digest))
}

// SignPayload returns the signature of any payload.
func (k *KeyPair) SignPayload(content []byte) Signature {
	return newSignature(content, sign(k.signer(), content))
}

func sign(s signature.Signer, content []byte) []byte {
	b, err := s.SignMessage(bytes.NewReader(content))
	must(err)
	return b
}

func newSignature(content, signature []byte) Signature {
	return Signature{
		MediaType: "application/vnd.dev.cosign.simplesigning.v1+json", Payload: content,
		Annotations: map[string]string{"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(signature)},
	}
}

// Statement returns an in-toto statement about the image with a digest.
func Statement(digest, predicateType string) []byte {
	b, err := json.Marshal(map[string]any{
		"_type":         "https://in-toto.io/Statement/v1",
		"subject":       []any{map[string]any{"name": "", "digest": map[string]string{"sha256": strings.TrimPrefix(digest, "sha256:")}}},
		"predicateType": predicateType,
		"predicate":     map[string]any{},
	})
	must(err)
	return b
}

func envelope(s signature.Signer, statement []byte) *dsse.Envelope {
	public, err := s.PublicKey()
	must(err)
	signer, err := dsse.NewEnvelopeSigner(&sigdsse.SignerAdapter{SignatureSigner: s, Pub: public})
	must(err)
	e, err := signer.SignPayload(context.Background(), "application/vnd.in-toto+json", statement)
	must(err)
	return e
}

// Attest returns an attestation for cosign's tag.
func (k *KeyPair) Attest(digest, predicateType string) Signature {
	return attested(envelope(k.signer(), Statement(digest, predicateType)), predicateType)
}

func attested(e *dsse.Envelope, predicateType string) Signature {
	content, err := json.Marshal(e)
	must(err)
	return Signature{
		MediaType: "application/vnd.dsse.envelope.v1+json", Payload: content,
		Annotations: map[string]string{"dev.cosignproject.cosign/signature": "", "predicateType": predicateType},
	}
}

// Bundle returns a Sigstore bundle.
func (k *KeyPair) Bundle(digest, predicateType string) []byte {
	return k.BundleOf(Statement(digest, predicateType))
}

// BundleOf returns a bundle with any statement.
func (k *KeyPair) BundleOf(statement []byte) []byte {
	return bundle(envelope(k.signer(), statement), &protobundle.VerificationMaterial{
		Content: &protobundle.VerificationMaterial_PublicKey{PublicKey: &protocommon.PublicKeyIdentifier{Hint: k.hint()}},
	})
}

func (k *KeyPair) hint() string {
	der, err := x509.MarshalPKIXPublicKey(k.private.Public())
	must(err)
	sum := sha256.Sum256(der)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// MessageBundle returns a bundle that signs an image's manifest itself, as cosign sign-blob does.
func (k *KeyPair) MessageBundle(manifest []byte) []byte {
	sum := sha256.Sum256(manifest)
	return marshalBundle(&protobundle.Bundle{
		MediaType: BundleType,
		VerificationMaterial: &protobundle.VerificationMaterial{
			Content: &protobundle.VerificationMaterial_PublicKey{PublicKey: &protocommon.PublicKeyIdentifier{Hint: k.hint()}},
		},
		Content: &protobundle.Bundle_MessageSignature{MessageSignature: &protocommon.MessageSignature{
			MessageDigest: &protocommon.HashOutput{Algorithm: protocommon.HashAlgorithm_SHA2_256, Digest: sum[:]},
			Signature:     sign(k.signer(), manifest),
		}},
	})
}

// BundleType is the media type of bundles.
const BundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"

func bundle(e *dsse.Envelope, by *protobundle.VerificationMaterial) []byte {
	content, err := e.DecodeB64Payload()
	must(err)
	sig, err := base64.StdEncoding.DecodeString(e.Signatures[0].Sig)
	must(err)
	return marshalBundle(&protobundle.Bundle{
		MediaType: BundleType, VerificationMaterial: by,
		Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
			Payload: content, PayloadType: e.PayloadType, Signatures: []*protodsse.Signature{{Sig: sig}},
		}},
	})
}

func marshalBundle(b *protobundle.Bundle) []byte {
	content, err := protojson.Marshal(b)
	must(err)
	return content
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }

// rawHex returns the bytes of a hexadecimal text.
func rawHex(s string) []byte {
	b, err := hex.DecodeString(s)
	must(err)
	return b
}

// must panics if err is not nil. It is for errors that only a mistake in this package causes.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
