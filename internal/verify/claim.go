package verify

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature/payload"
)

// The annotations of cosign's signatures (cosign, specs/SIGNATURE_SPEC.md).
const (
	signatureKey   = "dev.cosignproject.cosign/signature"
	certificateKey = "dev.sigstore.cosign/certificate"
	rekorKey       = "dev.sigstore.cosign/bundle"
	timestampKey   = "dev.sigstore.cosign/rfc3161timestamp"
)

// A claim is a signature or an attestation as it was found: nothing in it is trusted.
type claim struct {
	entity    verify.SignedEntity
	artifact  []byte   // what is signed, or nil if that is the image itself or a statement
	of        []string // digests of the images that it is about, in hexadecimal
	predicate string
	by        *certificate.Summary // nil if it is signed with a key
	leaf      *x509.Certificate
}

// newClaim reads what a candidate's blob has.
func newClaim(c Candidate, content []byte) (claimed *claim, err error) {
	// The parsers below read text from strangers, and are not ours: one that panics must not take
	// the run with it.
	defer func() {
		if p := recover(); p != nil {
			claimed, err = nil, fmt.Errorf("it cannot be read: %v", p)
		}
	}()
	switch {
	case IsBundle(c.mediaType):
		claimed, err = fromBundle(content)
	case c.mediaType == envelopeType:
		claimed, err = fromEnvelope(c, content)
	default:
		claimed, err = fromPayload(c, content)
	}
	if err != nil {
		return nil, err
	}
	return claimed, claimed.signer()
}

// signer sets who claims to have signed.
func (c *claim) signer() error {
	by, err := c.entity.VerificationContent()
	if err != nil {
		return err
	}
	if c.leaf = by.Certificate(); c.leaf == nil {
		return nil
	}
	summary, err := certificate.SummarizeCertificate(c.leaf)
	c.by = &summary
	return err
}

// A bundleEntity is a bundle without its version, by which sigstore-go would accept old hashes with
// a line on standard error each.
type bundleEntity struct{ *bundle.Bundle }

// Version returns no version.
func (bundleEntity) Version() (string, error) { return "", nil }

func fromBundle(content []byte) (*claim, error) {
	var b bundle.Bundle
	if err := b.UnmarshalJSON(content); err != nil {
		return nil, fmt.Errorf("it is not a Sigstore bundle: %w", err)
	}
	c := &claim{entity: bundleEntity{&b}, predicate: signPredicate}
	signed, err := b.SignatureContent()
	if err != nil {
		return nil, fmt.Errorf("it is not a Sigstore bundle: %w", err)
	}
	if m := signed.MessageSignatureContent(); m != nil {
		c.of = []string{hex.EncodeToString(m.Digest())}
		return c, nil
	}
	return c, c.statement(signed.EnvelopeContent())
}

// statement reads what an attestation is about.
func (c *claim) statement(e verify.EnvelopeContent) error {
	s, err := e.Statement()
	if err != nil {
		return fmt.Errorf("it has no in-toto statement: %w", err)
	}
	c.predicate = s.GetPredicateType()
	for _, about := range s.GetSubject() {
		if d := about.GetDigest()["sha256"]; d != "" {
			c.of = append(c.of, d)
		}
	}
	return nil
}

// A tagged is a signature under one of cosign's tags.
type tagged struct {
	verify.BaseSignedEntity
	content     verify.SignatureContent
	by          verify.VerificationContent
	annotations map[string]string
}

// byKey returns the claim to verify with a key: under cosign's tags, without its certificate.
// Signers may attach a certificate to a key's signature (cosign sign --key --certificate). cosign
// also ignores it when it verifies with a key.
func (c *claim) byKey() verify.SignedEntity {
	t, ok := c.entity.(*tagged)
	if !ok || c.by == nil {
		return c.entity
	}
	key := *t
	key.by = &bundle.PublicKey{}
	return &key
}

// SignatureContent returns what is signed.
func (t *tagged) SignatureContent() (verify.SignatureContent, error) { return t.content, nil }

// VerificationContent returns the certificate, or that it is signed with a key.
func (t *tagged) VerificationContent() (verify.VerificationContent, error) { return t.by, nil }

// Version returns no version.
func (t *tagged) Version() (string, error) { return "", nil }

func newTagged(c Candidate, content verify.SignatureContent) (*tagged, error) {
	t := &tagged{content: content, by: &bundle.PublicKey{}, annotations: c.annotations}
	pem := c.annotations[certificateKey]
	if pem == "" {
		return t, nil
	}
	if len(pem) > MaxSignature {
		return nil, fmt.Errorf("its certificate has more than %d KiB", MaxSignature>>10)
	}
	certs, err := cryptoutils.UnmarshalCertificatesFromPEM([]byte(pem))
	if err == nil && len(certs) != 1 {
		err = fmt.Errorf("there are %d", len(certs))
	}
	if err != nil {
		return nil, fmt.Errorf("its annotation %s is not a certificate: %w", certificateKey, err)
	}
	t.by = bundle.NewCertificate(certs[0])
	return t, nil
}

// fromPayload reads a signature of cosign's.
func fromPayload(c Candidate, content []byte) (*claim, error) {
	var p payload.SimpleContainerImage
	if err := json.Unmarshal(content, &p); err != nil {
		return nil, fmt.Errorf("its payload is not JSON: %w", err)
	}
	if p.Critical.Type != payload.CosignSignatureType {
		return nil, fmt.Errorf("its payload is of the type %.100q", p.Critical.Type)
	}
	signed, err := base64.StdEncoding.DecodeString(c.annotations[signatureKey])
	if err != nil {
		return nil, fmt.Errorf("its annotation %s is not base64: %w", signatureKey, err)
	}
	sum := sha256.Sum256(content)
	t, err := newTagged(c, bundle.NewMessageSignature(sum[:], protocommon.HashAlgorithm_SHA2_256.String(), signed))
	of, _ := hexOfDigest(p.Critical.Image.DockerManifestDigest)
	return &claim{entity: t, artifact: content, of: []string{of}, predicate: signPredicate}, err
}

// fromEnvelope reads an attestation of cosign's.
func fromEnvelope(c Candidate, content []byte) (*claim, error) {
	var e dsse.Envelope
	if err := json.Unmarshal(content, &e); err != nil {
		return nil, fmt.Errorf("its envelope is not JSON: %w", err)
	}
	envelope := &bundle.Envelope{Envelope: &e}
	t, err := newTagged(c, envelope)
	if err != nil {
		return nil, err
	}
	claimed := &claim{entity: t}
	return claimed, claimed.statement(envelope)
}

// Timestamps returns those of a timestamp authority.
func (t *tagged) Timestamps() ([][]byte, error) {
	var stamp struct{ SignedRFC3161Timestamp []byte }
	text := t.annotations[timestampKey]
	if text == "" {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(text), &stamp); err != nil {
		return nil, fmt.Errorf("the annotation %s is not a timestamp: %w", timestampKey, err)
	}
	return [][]byte{stamp.SignedRFC3161Timestamp}, nil
}

// TlogEntries returns the entry of a transparency log.
func (t *tagged) TlogEntries() ([]*tlog.Entry, error) {
	text := t.annotations[rekorKey]
	if text == "" {
		return nil, nil
	}
	entry, err := parseEntry([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("the annotation %s is not an entry of a transparency log: %w", rekorKey, err)
	}
	return []*tlog.Entry{entry}, nil
}

func parseEntry(text []byte) (*tlog.Entry, error) {
	var b struct {
		SignedEntryTimestamp []byte
		Payload              struct {
			Body           []byte `json:"body"`
			IntegratedTime int64  `json:"integratedTime"`
			LogIndex       int64  `json:"logIndex"`
			LogID          string `json:"logID"`
		}
	}
	var kind struct{ APIVersion, Kind string }
	if err := json.Unmarshal(text, &b); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b.Payload.Body, &kind); err != nil {
		return nil, err
	}
	id, err := hex.DecodeString(b.Payload.LogID)
	if err != nil {
		return nil, err
	}
	return tlog.ParseTransparencyLogEntry(&protorekor.TransparencyLogEntry{
		LogIndex: b.Payload.LogIndex, LogId: &protocommon.LogId{KeyId: id}, IntegratedTime: b.Payload.IntegratedTime,
		KindVersion:       &protorekor.KindVersion{Kind: kind.Kind, Version: kind.APIVersion},
		InclusionPromise:  &protorekor.InclusionPromise{SignedEntryTimestamp: b.SignedEntryTimestamp},
		CanonicalizedBody: b.Payload.Body,
	})
}

// hexOfDigest returns the hexadecimal part of a digest of sha256.
func hexOfDigest(digest string) (string, error) {
	b, ok := bytes.CutPrefix([]byte(digest), []byte("sha256:"))
	if !ok {
		return "", errors.New("it is not a sha256 digest")
	}
	return string(b), nil
}

// kinds returns the sorted predicate types of a set.
func kinds(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }
