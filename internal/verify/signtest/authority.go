package signtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
)

// An Authority identifies signers, as Sigstore's public services do: it issues certificates,
// vouches for times, and may have a transparency log.
type Authority struct {
	virtual *ca.VirtualSigstore
	root    *x509.Certificate
	issuer  *x509.Certificate
	key     *ecdsa.PrivateKey
	logs    bool
}

// NewAuthority returns an authority without a transparency log.
func NewAuthority() *Authority {
	virtual, err := ca.NewVirtualSigstore()
	must(err)
	root, rootKey, err := ca.GenerateRootCa()
	must(err)
	issuer, key, err := ca.GenerateFulcioIntermediate(root, rootKey)
	must(err)
	return &Authority{virtual: virtual, root: root, issuer: issuer, key: key}
}

// NewLoggingAuthority returns an authority with a transparency log, in which its signers'
// signatures are.
func NewLoggingAuthority() *Authority {
	a := NewAuthority()
	a.logs = true
	return a
}

// TrustedRoot returns the authority's trusted_root.json.
func (a *Authority) TrustedRoot() []byte {
	logs := map[string]*root.TransparencyLog{}
	if a.logs {
		for id, log := range a.virtual.RekorLogs() {
			log.ID = rawHex(id) // the testing authority has it in hexadecimal
			logs[id] = log
		}
	}
	authorities := []root.CertificateAuthority{&root.FulcioCertificateAuthority{
		Root: a.root, Intermediates: []*x509.Certificate{a.issuer}, URI: "https://fulcio.example",
		ValidityPeriodStart: time.Now().Add(-5 * time.Hour), ValidityPeriodEnd: time.Now().Add(time.Hour),
	}}
	r, err := root.NewTrustedRoot(root.TrustedRootMediaType01, authorities, nil, a.virtual.TimestampingAuthorities(), logs)
	must(err)
	b, err := json.Marshal(r)
	must(err)
	return b
}

// Identity returns a signer whom the authority identifies by its subject and by who vouches for
// that.
func (a *Authority) Identity(issuer, subject string) *KeylessSigner {
	return a.IdentityFrom(issuer, subject, time.Now().Add(-time.Minute))
}

// IdentityFrom returns a signer whose certificate is valid for ten minutes from a time on. Its
// signatures are of now.
func (a *Authority) IdentityFrom(issuer, subject string, from time.Time) *KeylessSigner {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	leaf, err := ca.GenerateLeafCert(subject, issuer, from, private, a.issuer, a.key)
	must(err)
	signer, err := signature.LoadSigner(private, crypto.SHA256)
	must(err)
	return &KeylessSigner{authority: a, leaf: leaf, signer: signer}
}

// A KeylessSigner signs with a key of the moment, which its certificate names.
type KeylessSigner struct {
	authority *Authority
	leaf      *x509.Certificate
	signer    signature.Signer
}

var _ Signer = &KeylessSigner{}

// Sign returns a signature for cosign's tag.
func (i *KeylessSigner) Sign(repository, digest string) Signature {
	content := Payload(repository, digest)
	sig := sign(i.signer, content)
	return i.annotate(newSignature(content, sig), sig, nil)
}

// Attest returns an attestation for cosign's tag.
func (i *KeylessSigner) Attest(digest, predicateType string) Signature {
	e := envelope(i.signer, Statement(digest, predicateType))
	return i.annotate(attested(e, predicateType), signatureOf(e), e)
}

// annotate adds the certificate, when it was signed, and the entry of the authority's log.
func (i *KeylessSigner) annotate(s Signature, sig []byte, e *dsse.Envelope) Signature {
	pem := i.pem()
	s.Annotations["dev.sigstore.cosign/certificate"] = string(pem)
	stamp, err := json.Marshal(map[string][]byte{"SignedRFC3161Timestamp": i.stamp(sig)})
	must(err)
	s.Annotations["dev.sigstore.cosign/rfc3161timestamp"] = string(stamp)
	switch {
	case !i.authority.logs:
	case e != nil:
		s.Annotations["dev.sigstore.cosign/bundle"] = rekorBundle(i.entry(e, sig))
	default:
		s.Annotations["dev.sigstore.cosign/bundle"] = rekorBundle(i.authority.record(s.Payload, sig, pem))
	}
	return s
}

func (i *KeylessSigner) pem() []byte {
	pem, err := cryptoutils.MarshalCertificateToPEM(i.leaf)
	must(err)
	return pem
}

// Record adds the entry of the authority's log to a signature with a key.
func (a *Authority) Record(s Signature, by *KeyPair) Signature {
	sig, err := base64.StdEncoding.DecodeString(s.Annotations["dev.cosignproject.cosign/signature"])
	must(err)
	s.Annotations["dev.sigstore.cosign/bundle"] = rekorBundle(a.record(s.Payload, sig, by.Public))
	return s
}

// record returns the entry of a signature of any content, as cosign sends it to a log.
func (a *Authority) record(content, sig, pem []byte) *protorekor.TransparencyLogEntry {
	sum := sha256.Sum256(content)
	body, err := json.Marshal(map[string]any{
		"apiVersion": "0.0.1", "kind": "hashedrekord",
		"spec": map[string]any{
			"data":      map[string]any{"hash": map[string]string{"algorithm": "sha256", "value": hexOf(sum[:])}},
			"signature": map[string]any{"content": sig, "publicKey": map[string][]byte{"content": pem}},
		},
	})
	must(err)
	id, err := a.virtual.RekorLogID()
	must(err)
	return a.promise(&protorekor.TransparencyLogEntry{
		LogId: &protocommon.LogId{KeyId: rawHex(id)}, KindVersion: &protorekor.KindVersion{Kind: "hashedrekord", Version: "0.0.1"},
		IntegratedTime: time.Now().Unix(), CanonicalizedBody: body,
	})
}

// promise adds the log's promise to have an entry.
func (a *Authority) promise(e *protorekor.TransparencyLogEntry) *protorekor.TransparencyLogEntry {
	set, err := a.virtual.RekorSignPayload(tlog.RekorPayload{
		Body: base64.StdEncoding.EncodeToString(e.GetCanonicalizedBody()), IntegratedTime: e.GetIntegratedTime(),
		LogIndex: e.GetLogIndex(), LogID: hexOf(e.GetLogId().GetKeyId()),
	})
	must(err)
	e.InclusionPromise = &protorekor.InclusionPromise{SignedEntryTimestamp: set}
	return e
}

// rekorBundle returns an entry as cosign's annotation has it.
func rekorBundle(e *protorekor.TransparencyLogEntry) string {
	text, err := json.Marshal(map[string]any{
		"SignedEntryTimestamp": e.GetInclusionPromise().GetSignedEntryTimestamp(),
		"Payload": map[string]any{
			"body": e.GetCanonicalizedBody(), "integratedTime": e.GetIntegratedTime(),
			"logIndex": e.GetLogIndex(), "logID": hexOf(e.GetLogId().GetKeyId()),
		},
	})
	must(err)
	return string(text)
}

// Bundle returns a Sigstore bundle.
func (i *KeylessSigner) Bundle(digest, predicateType string) []byte {
	e := envelope(i.signer, Statement(digest, predicateType))
	sig := signatureOf(e)
	by := &protobundle.VerificationMaterial{
		Content: &protobundle.VerificationMaterial_Certificate{Certificate: &protocommon.X509Certificate{RawBytes: i.leaf.Raw}},
		TimestampVerificationData: &protobundle.TimestampVerificationData{
			Rfc3161Timestamps: []*protocommon.RFC3161SignedTimestamp{{SignedTimestamp: i.stamp(sig)}},
		},
	}
	if i.authority.logs {
		by.TlogEntries = []*protorekor.TransparencyLogEntry{i.entry(e, sig)}
	}
	return bundle(e, by)
}

func (i *KeylessSigner) stamp(sig []byte) []byte {
	b, err := i.authority.virtual.TimestampResponse(sig)
	must(err)
	return b
}

// entry returns the entry of the authority's log.
func (i *KeylessSigner) entry(signed *dsse.Envelope, sig []byte) *protorekor.TransparencyLogEntry {
	entry, err := i.authority.virtual.GenerateTlogEntry(i.leaf, signed, sig, time.Now().Unix(), true)
	must(err)
	e := entry.TransparencyLogEntry()
	e.KindVersion = &protorekor.KindVersion{Kind: "dsse", Version: "0.0.1"}
	return i.authority.promise(e)
}

func signatureOf(e *dsse.Envelope) []byte {
	sig, err := base64.StdEncoding.DecodeString(e.Signatures[0].Sig)
	must(err)
	return sig
}
