// Command cosign verifies an image's signature with a public key, as cosign verify does: with
// cosign's library, and without the key stores of clouds and clusters, which take most of the
// command's time to compile. It asks no transparency log.
package main

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/sigstore/cosign/v3/pkg/cosign"
	"github.com/sigstore/cosign/v3/pkg/oci"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
)

func main() {
	var key, kind string
	flags := flag.NewFlagSet("cosign verify", flag.ExitOnError)
	flags.StringVar(&key, "key", "", "`FILE` with the public key, in PEM")
	flags.StringVar(&kind, "attestation", "", "verify the attestation of this predicate `TYPE` instead of a signature")
	if len(os.Args) < 2 || os.Args[1] != "verify" {
		fail(errors.New("usage: cosign verify -key FILE [-attestation TYPE] IMAGE"))
	}
	_ = flags.Parse(os.Args[2:]) // it exits
	if flags.NArg() != 1 {
		fail(errors.New("name one image"))
	}
	found, err := verify(context.Background(), key, kind, flags.Arg(0))
	if err != nil {
		fail(err)
	}
	fmt.Printf("Verified OK: %d found for %s, made with the key in %s\n", len(found), flags.Arg(0), key)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "Error:", err)
	os.Exit(1)
}

// verify returns the signatures or attestations of an image that a key has made. Like the command,
// it looks at Sigstore bundles if the image has any, and at cosign's tags otherwise.
func verify(ctx context.Context, key, kind, image string) ([]oci.Signature, error) {
	ref, err := name.ParseReference(image)
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(key)
	if err != nil {
		return nil, err
	}
	public, err := cryptoutils.UnmarshalPEMToPublicKey(content)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", key, err)
	}
	verifier, err := signature.LoadVerifier(public, crypto.SHA256)
	if err != nil {
		return nil, err
	}
	o := &cosign.CheckOpts{SigVerifier: verifier, IgnoreTlog: true, IgnoreSCT: true, Offline: true}
	bundles, _, err := cosign.GetBundles(ctx, ref, nil)
	o.NewBundleFormat = err == nil && len(bundles) > 0
	if o.NewBundleFormat || kind != "" {
		o.ClaimVerifier = cosign.IntotoSubjectClaimVerifier
		found, _, err := cosign.VerifyImageAttestations(ctx, ref, o)
		if err != nil {
			return nil, err
		}
		return ofKind(found, kind)
	}
	o.ClaimVerifier = cosign.SimpleClaimVerifier
	found, _, err := cosign.VerifyImageSignatures(ctx, ref, o)
	return found, err
}

// ofKind returns the attestations of a predicate type, or all if it is empty.
func ofKind(all []oci.Signature, kind string) (found []oci.Signature, err error) {
	for _, a := range all {
		got, err := predicateType(a)
		if err != nil {
			return nil, err
		}
		if kind == "" || got == kind {
			found = append(found, a)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no attestation of type %s", kind)
	}
	return found, nil
}

// predicateType returns the predicate type of an attestation.
func predicateType(a oci.Signature) (string, error) {
	payload, err := a.Payload()
	if err != nil {
		return "", err
	}
	var envelope struct{ Payload []byte }
	if err := json.Unmarshal(payload, &envelope); err != nil {
		return "", err
	}
	var statement struct {
		PredicateType string `json:"predicateType"`
	}
	return statement.PredicateType, json.Unmarshal(envelope.Payload, &statement)
}
