package registrytest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"

	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Schema1 returns a signed manifest of Docker's schema 1, as old registries accept and serve it.
// Its digest is that of what is signed (Docker image manifest version 2, schema 1, "Signed
// Manifests"), so the content has another. It is the same in every process.
func Schema1(name string, layers ...Layer) BareManifest {
	type object = map[string]any
	fsLayers, history := []object{}, []object{}
	for _, l := range layers {
		fsLayers = append(fsLayers, object{"blobSum": l.Digest.String()})
		history = append(history, object{"v1Compatibility": fmt.Sprintf(`{"id":%q}`, l.DiffID.Hex)})
	}
	payload, err := json.MarshalIndent(object{
		"schemaVersion": 1, "name": name, "tag": "latest", "architecture": "amd64",
		"fsLayers": fsLayers, "history": history,
	}, "", "   ")
	must(err)
	return BareManifest{Type: types.DockerManifestSchema1Signed, Content: signPretty(payload)}
}

// signPretty adds a signature to a JSON object, in the form that libtrust calls a pretty
// signature.
func signPretty(payload []byte) []byte {
	const end = "\n}"
	base64url := base64.RawURLEncoding.EncodeToString
	body, ok := bytes.CutSuffix(payload, []byte(end))
	if !ok {
		panic("registrytest: the payload does not end like an indented object")
	}
	protected := base64url(encode(map[string]any{
		"formatLength": len(body), "formatTail": base64url([]byte(end)), "time": "2016-01-02T15:04:05Z",
	}))
	// A fixed key, and a signature without chance (RFC 6979), for the same bytes every time.
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{1}, 32))
	must(err)
	sum := sha256.Sum256([]byte(protected + "." + base64url(payload)))
	der, err := key.Sign(nil, sum[:], crypto.SHA256)
	must(err)
	var rs struct{ R, S *big.Int }
	_, err = asn1.Unmarshal(der, &rs)
	must(err)
	point, err := key.PublicKey.Bytes()
	must(err)
	signatures, err := json.MarshalIndent([]any{map[string]any{
		"header": map[string]any{
			"alg": "ES256",
			"jwk": map[string]string{"kty": "EC", "crv": "P-256", "x": base64url(point[1:33]), "y": base64url(point[33:])},
		},
		"protected": protected,
		"signature": base64url(append(rs.R.FillBytes(make([]byte, 32)), rs.S.FillBytes(make([]byte, 32))...)),
	}}, "   ", "   ")
	must(err)
	return fmt.Appendf(nil, "%s,\n   \"signatures\": %s%s", body, signatures, end)
}
