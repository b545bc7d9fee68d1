package script

import (
	"context"
	"os"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/rogpeppe/go-internal/testscript"

	"imagemirror/internal/verify/signtest"
)

// signer implements the command signer NAME FILE [ISSUER SUBJECT]: it makes a key, and writes its
// public half into the file; or an identity, and writes the root that proves it.
func signer(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 2 || len(args) == 4, "signer NAME FILE [ISSUER SUBJECT]")
	w := worldOf(ts)
	var content []byte
	if len(args) == 2 {
		key := signtest.NewKeyPair()
		w.signers[args[0]], content = key, key.Public
	} else {
		a := signtest.NewLoggingAuthority()
		w.signers[args[0]], content = a.Identity(args[2], args[3]), a.TrustedRoot()
	}
	check(ts, os.WriteFile(ts.MkAbs(args[1]), content, 0o644))
}

// signAs implements the command sign-as NAME REGISTRY REPOSITORY:TAG [PREDICATE]: it signs an
// image in cosign's tag, or stores a bundle that attests it.
func signAs(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 3 || len(args) == 4, "sign-as NAME REGISTRY REPOSITORY:TAG [PREDICATE]")
	w := worldOf(ts)
	by := w.signers[args[0]]
	ref, err := name.ParseReference(w.registry(ts, args[1]).backend.Host + "/" + args[2])
	check(ts, err)
	image, err := remote.Head(ref)
	check(ts, err)
	repository, digest := ref.Context().String(), image.Digest.String()
	if len(args) == 3 {
		check(ts, signtest.SignImage(context.Background(), repository, digest, by))
		return
	}
	_, err = signtest.BundleImage(context.Background(), repository, digest, args[3], by)
	check(ts, err)
}
