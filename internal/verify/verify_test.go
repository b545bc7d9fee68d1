package verify_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"imagemirror/internal/digest"
	"imagemirror/internal/verify"
	"imagemirror/internal/verify/signtest"
)

const (
	issuer  = "https://token.example"
	subject = "release@example.com"
)

var (
	image   = digest.Of([]byte("an image"))
	another = digest.Of([]byte("another image"))
)

// A found is a candidate with its content.
type found struct {
	verify.Candidate
	content []byte
}

// tagged returns what is found under one of cosign's tags.
func tagged(t *testing.T, all ...signtest.Signature) []found {
	t.Helper()
	var layers []any
	contents := map[string][]byte{}
	for _, s := range all {
		d := digest.Of(s.Payload)
		contents[d] = s.Payload
		layers = append(layers, map[string]any{"mediaType": s.MediaType, "digest": d, "size": len(s.Payload), "annotations": s.Annotations})
	}
	return candidates(t, map[string]any{"layers": layers}, contents)
}

// bundled returns what is found in a referrer.
func bundled(t *testing.T, content []byte) []found {
	t.Helper()
	d := digest.Of(content)
	layers := []any{map[string]any{"mediaType": signtest.BundleType, "digest": d, "size": len(content)}}
	return candidates(t, map[string]any{"layers": layers}, map[string][]byte{d: content})
}

func candidates(t *testing.T, manifest any, contents map[string][]byte) (all []found) {
	t.Helper()
	b, err := json.Marshal(manifest)
	if err != nil {
		t.Fatal(err)
	}
	list, err := verify.Candidates(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		all = append(all, found{c, contents[c.Digest]})
	}
	return all
}

// check verifies the image with all that is found.
func check(d *verify.Demand, all ...[]found) (*verify.Check, error) {
	c := verify.NewCheck(image, []*verify.Demand{d})
	for _, list := range all {
		for _, f := range list {
			if !c.Done() && c.Wants(f.Candidate) {
				c.Add(f.Candidate, f.content)
			}
		}
	}
	return c, c.Err()
}

func keySigner(t *testing.T, k *signtest.KeyPair) *verify.Signer {
	t.Helper()
	s, err := verify.NewKey("cosign.pub", k.Public, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func rootOf(t *testing.T, a *signtest.Authority) *verify.TrustedRoot {
	t.Helper()
	r, err := verify.ParseRoot("trusted_root.json", a.TrustedRoot())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func identity(t *testing.T, a *signtest.Authority, i verify.Identity) *verify.Signer {
	t.Helper()
	s, err := verify.NewIdentity(i, rootOf(t, a))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSignaturesAreAccepted(t *testing.T) {
	t.Parallel()
	quiet, logging := signtest.NewAuthority(), signtest.NewLoggingAuthority()
	exact := verify.Identity{Issuer: issuer, Subject: subject}
	for _, kind := range []string{"P-256", "P-384", "P-521", "RSA", "Ed25519"} {
		k := signtest.NewKeyPairOf(kind)
		d := &verify.Demand{Signers: []*verify.Signer{keySigner(t, k)}, Attestations: []string{signtest.Provenance}}
		if _, err := check(d, tagged(t, k.Sign("quay.example/a", image)), tagged(t, k.Attest(image, signtest.Provenance))); err != nil {
			t.Errorf("%s, in cosign's tags: %v", kind, err)
		}
		if _, err := check(d, bundled(t, k.Bundle(image, signtest.SignPredicate)), bundled(t, k.Bundle(image, signtest.Provenance))); err != nil {
			t.Errorf("%s, in bundles: %v", kind, err)
		}
	}
	for _, c := range []struct {
		name string
		by   *signtest.KeylessSigner
		s    *verify.Signer
	}{
		{"an authority without a log", quiet.Identity(issuer, subject), identity(t, quiet, exact)},
		{"an authority with a log", logging.Identity(issuer, subject), identity(t, logging, exact)},
		{"regular expressions", quiet.Identity(issuer, subject), identity(t, quiet, verify.Identity{IssuerRegexp: `https://.*\.example`, SubjectRegexp: `.*@example\.com`})},
		{"a regular expression that quotes to its end", quiet.Identity(issuer, subject), identity(t, quiet, verify.Identity{IssuerRegexp: `\Q` + issuer, SubjectRegexp: `(?i).*@\QEXAMPLE.com`})},
		{"a signature that no log needs to have", logging.Identity(issuer, subject), identity(t, logging, verify.Identity{Issuer: issuer, Subject: subject, Unlogged: true})},
	} {
		before := time.Now().Add(-2 * time.Second)
		d := &verify.Demand{Signers: []*verify.Signer{keySigner(t, signtest.NewKeyPair()), c.s}, Attestations: []string{signtest.Provenance}}
		done, err := check(d, bundled(t, c.by.Bundle(image, signtest.SignPredicate)), bundled(t, c.by.Bundle(image, signtest.Provenance)))
		if err != nil {
			t.Errorf("%s, in bundles: %v", c.name, err)
		}
		if at := done.Signed(); at.Before(before) || at.After(time.Now().Add(time.Second)) {
			t.Errorf("%s: signed at %v, want now", c.name, at)
		}
		d.AttestationsOnly = true
		if _, err := check(d, tagged(t, c.by.Attest(image, signtest.Provenance))); err != nil {
			t.Errorf("%s, attested in cosign's tag: %v", c.name, err)
		}
		d.AttestationsOnly, d.Attestations = false, nil
		if _, err := check(d, tagged(t, c.by.Sign("quay.example/a", image))); err != nil {
			t.Errorf("%s, in cosign's tag: %v", c.name, err)
		}
	}
}

func TestManifestsThemselvesMayBeSigned(t *testing.T) {
	k := signtest.NewKeyPair()
	d := &verify.Demand{Signers: []*verify.Signer{keySigner(t, k)}}
	if _, err := check(d, bundled(t, k.MessageBundle([]byte("an image")))); err != nil {
		t.Error(err)
	}
	if _, err := check(d, bundled(t, k.MessageBundle([]byte("another image")))); err == nil {
		t.Error("a bundle of another manifest was accepted")
	}
}

// A key with a root of trust demands that a log or a timestamp authority has seen the signature.
func TestKeysWithARoot(t *testing.T) {
	k, a := signtest.NewKeyPair(), signtest.NewLoggingAuthority()
	s, err := verify.NewKey("cosign.pub", k.Public, rootOf(t, a))
	if err != nil {
		t.Fatal(err)
	}
	d := &verify.Demand{Signers: []*verify.Signer{s}}
	if _, err := check(d, tagged(t, a.Record(k.Sign("quay.example/a", image), k))); err != nil {
		t.Error(err)
	}
	_, err = check(d, bundled(t, k.Bundle(image, signtest.SignPredicate)))
	if err == nil || !strings.Contains(err.Error(), "the transparency log of trusted_root.json does not vouch for it") {
		t.Error(err)
	}
}

// A certificate beside the signature of a key changes nothing: neither one that somebody else has,
// nor one that cannot be for the key. It does not make the key's signature that of an identity.
func TestKeysWithACertificate(t *testing.T) {
	t.Parallel()
	k, a := signtest.NewKeyPair(), signtest.NewAuthority()
	me := a.Identity(issuer, subject).Sign("quay.example/a", image)
	const certificate = "dev.sigstore.cosign/certificate"
	beside := func(s signtest.Signature) signtest.Signature {
		s.Annotations[certificate] = me.Annotations[certificate]
		return s
	}
	byKey := &verify.Demand{Signers: []*verify.Signer{keySigner(t, k)}}
	attested := &verify.Demand{Signers: byKey.Signers, Attestations: []string{signtest.Provenance}, AttestationsOnly: true}
	byMe := &verify.Demand{Signers: []*verify.Signer{identity(t, a, verify.Identity{Issuer: issuer, Subject: subject})}}
	for _, c := range []struct {
		name string
		d    *verify.Demand
		s    signtest.Signature
		good bool
	}{
		{"a signature", byKey, beside(k.Sign("quay.example/a", image)), true},
		{"an attestation", attested, beside(k.Attest(image, signtest.Provenance)), true},
		{"a signature by another key", byKey, beside(signtest.NewKeyPair().Sign("quay.example/a", image)), false},
		{"a signature of another image", byKey, beside(k.Sign("quay.example/a", another)), false},
		{"an identity that is wanted", byMe, beside(k.Sign("quay.example/a", image)), false},
	} {
		if _, err := check(c.d, tagged(t, c.s)); (err == nil) != c.good {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// unlogged returns a signature without its entry of a log.
func unlogged(s signtest.Signature) signtest.Signature {
	delete(s.Annotations, "dev.sigstore.cosign/bundle")
	return s
}

// change returns a signature whose payload is another than was signed.
func change(s signtest.Signature, old, now string) signtest.Signature {
	s.Payload = []byte(strings.Replace(string(s.Payload), old, now, 1))
	return s
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	k, stranger := signtest.NewKeyPair(), signtest.NewKeyPair()
	a, b := signtest.NewAuthority(), signtest.NewAuthority()
	logging := signtest.NewLoggingAuthority()
	me := a.Identity(issuer, subject)
	byKey := verify.Demand{At: "settings.yaml:7", Signers: []*verify.Signer{keySigner(t, k)}}
	byMe := verify.Demand{At: "settings.yaml:7", Signers: []*verify.Signer{identity(t, a, verify.Identity{Issuer: issuer, Subject: subject})}}
	attesting := byKey
	attesting.Attestations = []string{signtest.Provenance}
	logged := verify.Demand{Signers: []*verify.Signer{identity(t, logging, verify.Identity{Issuer: issuer, Subject: subject})}}
	const spdx = "https://spdx.dev/Document"
	long := tagged(t, signtest.Signature{MediaType: "application/vnd.dev.cosign.simplesigning.v1+json", Payload: make([]byte, 1<<20)})
	long[0].Size = 1 << 30
	var many []signtest.Signature
	for range 120 {
		many = append(many, stranger.Sign("quay.example/a", image))
	}
	for _, c := range []struct {
		name string
		d    verify.Demand
		had  []found
		want string
	}{
		{"unsigned", byKey, nil, "found no signature; wanted a signature by the key cosign.pub (settings.yaml:7)"},
		{"signed by another key", byKey, tagged(t, stranger.Sign("quay.example/a", image)), "found a signature: it is by another key, or was changed since; wanted"},
		{"signed by another key, in a bundle", byKey, bundled(t, stranger.Bundle(image, signtest.SignPredicate)), "it is by another key, or was changed since"},
		{"two others", byKey, tagged(t, stranger.Sign("quay.example/a", image), stranger.Sign("quay.example/b", image)), "found 2 signatures, and none is good; the closest: it is by another key"},
		{"of another image", byKey, tagged(t, k.Sign("quay.example/a", another)), "it is for another image, " + another},
		{"of another image, in a bundle", byKey, bundled(t, k.Bundle(another, signtest.SignPredicate)), "it is for another image, " + another},
		{"a payload that was changed", byKey, tagged(t, change(k.Sign("quay.example/a", another), another, image)), "it is by another key, or was changed"},
		{"an identity instead of a key", byKey, tagged(t, me.Sign("quay.example/a", image)), `it is by "release@example.com" (issuer "https://token.example"), not by a key`},
		{"a key instead of an identity", byMe, tagged(t, k.Sign("quay.example/a", image)), "it is by a key, not by an identity"},
		{"another issuer", byMe, bundled(t, a.Identity("https://other.example", subject).Bundle(image, signtest.SignPredicate)), `its issuer is "https://other.example", who identified "release@example.com"; wanted a signature by release@example.com (issuer https://token.example)`},
		{"another subject", byMe, bundled(t, a.Identity(issuer, "x@example.com").Bundle(image, signtest.SignPredicate)), `it is by the subject "x@example.com"`},
		{"an expired certificate", byMe, bundled(t, a.IdentityFrom(issuer, subject, time.Now().Add(-time.Hour)).Bundle(image, signtest.SignPredicate)), "and its certificate is valid only until"},
		{"an expired certificate, in cosign's tag", byMe, tagged(t, a.IdentityFrom(issuer, subject, time.Now().Add(-time.Hour)).Sign("quay.example/a", image)), "and its certificate is valid only until"},
		{"a certificate that is not valid yet", byMe, bundled(t, a.IdentityFrom(issuer, subject, time.Now().Add(time.Hour)).Bundle(image, signtest.SignPredicate)), "and its certificate is valid only from"},
		{"an expired certificate in a log", logged, bundled(t, logging.IdentityFrom(issuer, subject, time.Now().Add(-time.Hour)).Bundle(image, signtest.SignPredicate)), "and its certificate is valid only until"},
		{"a certificate of another authority", byMe, bundled(t, b.Identity(issuer, subject).Bundle(image, signtest.SignPredicate)), "tells when it was made"},
		{"not in the log", logged, tagged(t, unlogged(logging.Identity(issuer, subject).Sign("quay.example/a", image))), "the transparency log of trusted_root.json does not vouch for it"},
		{"a bundle that was changed", byMe, bundled(t, []byte(strings.Replace(string(me.Bundle(image, signtest.SignPredicate)), `"sig":"`, `"sig":"AAAA`, 1))), "found a signature: "},
		{"a bundle that is not JSON", byMe, bundled(t, []byte("<html>")), "it is not a Sigstore bundle"},
		{"an empty bundle", byMe, bundled(t, []byte("{}")), "it is not a Sigstore bundle"},
		{"no attestation", attesting, tagged(t, k.Sign("quay.example/a", image)), "found only a signature by the key cosign.pub; wanted a signature and the attestation https://slsa.dev/provenance/v1 by"},
		{"another attestation", attesting, append(tagged(t, k.Sign("quay.example/a", image)), tagged(t, k.Attest(image, spdx))...), "found only a signature by the key cosign.pub, and attestations of https://spdx.dev/Document; wanted"},
		{"an attestation by another", attesting, append(tagged(t, k.Sign("quay.example/a", image)), tagged(t, stranger.Attest(image, signtest.Provenance))...), "found only a signature by the key cosign.pub"},
		{"a large payload", byKey, long, "found no signature; one of 1.0 GiB is not read, since at most 64.0 KiB are"},
		{"many", byKey, tagged(t, many...), "found 100 signatures, and none is good; the closest: it is by another key, or was changed since; there are more than 100, and no more are read; wanted"},
		{"a payload that is not JSON", byKey, tagged(t, k.SignPayload([]byte("x"))), "its payload is not JSON"},
		{"a payload of another type", byKey, tagged(t, k.SignPayload([]byte(`{"critical":{"type":"x"}}`))), `its payload is of the type "x"`},
	} {
		_, err := check(&c.d, c.had)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") || len(err.Error()) > 800 {
			t.Errorf("%s: %v\nwant %q", c.name, err, c.want)
		}
		if !errors.As(err, new(*verify.Unverified)) {
			t.Errorf("%s: %T is not Unverified", c.name, err)
		}
	}
}

// Whatever a source sends, the answer is one short line.
func FuzzCheck(f *testing.F) {
	k, a := signtest.NewKeyPair(), signtest.NewLoggingAuthority()
	root, err := verify.ParseRoot("trusted_root.json", a.TrustedRoot())
	if err != nil {
		f.Fatal(err)
	}
	me, err := verify.NewIdentity(verify.Identity{Issuer: issuer, Subject: subject}, root)
	if err != nil {
		f.Fatal(err)
	}
	d := &verify.Demand{Signers: []*verify.Signer{me}, Attestations: []string{signtest.Provenance}}
	id := a.Identity(issuer, subject)
	for _, s := range []signtest.Signature{k.Sign("quay.example/a", image), id.Sign("quay.example/a", image), id.Attest(image, signtest.Provenance)} {
		annotations, _ := json.Marshal(s.Annotations)
		f.Add(s.MediaType, string(annotations), s.Payload)
	}
	f.Add(signtest.BundleType, "{}", id.Bundle(image, signtest.SignPredicate))
	f.Fuzz(func(t *testing.T, mediaType, annotations string, content []byte) {
		layer := `{"mediaType":` + quoted(mediaType) + `,"digest":"` + digest.Of(content) + `","size":1,"annotations":` + annotations + `}`
		list, err := verify.Candidates([]byte(`{"layers":[` + layer + `]}`))
		if err != nil {
			return
		}
		c := verify.NewCheck(image, []*verify.Demand{d})
		for _, candidate := range list {
			c.Add(candidate, content)
		}
		if err := c.Err(); err == nil || strings.Contains(err.Error(), "\n") || len(err.Error()) > 4000 {
			t.Errorf("%v", err)
		}
	})
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}
