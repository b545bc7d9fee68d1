package registrytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"
)

// issuer is the name that a TokenService issues tokens under.
const issuer = "registrytest"

// A TokenService issues signed tokens for registries that verify them: distribution's own, with
// DistributionOptions.
type TokenService struct {
	authority *authority
	server    *httptest.Server
}

// StartTokenService starts a service of tokens that state what they allow.
func StartTokenService(a Auth) *TokenService {
	a.JWT = true
	s := &TokenService{server: httptest.NewUnstartedServer(nil)}
	s.authority = newAuthority(a, &url.URL{Scheme: "http", Host: s.server.Listener.Addr().String()})
	s.server.Config.Handler = s.authority
	s.server.Start()
	return s
}

// Close stops the service.
func (s *TokenService) Close() { s.server.Close() }

// Asked returns how many requests for tokens there were.
func (s *TokenService) Asked() int {
	s.authority.mu.Lock()
	defer s.authority.mu.Unlock()
	return s.authority.asked
}

func (s *TokenService) realm() string   { return s.server.URL + tokenPath }
func (s *TokenService) service() string { return s.authority.self.Host }

// A signer signs tokens with a key that it has a certificate for.
type signer struct {
	key  *ecdsa.PrivateKey
	cert []byte // DER
}

func newSigner() *signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: issuer}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(err)
	return &signer{key, cert}
}

func (s *signer) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.cert})
}

// sign returns a JSON Web Token as distribution specifies it.
func (s *signer) sign(service string, g tokenGrant) string {
	type object = map[string]any
	access := []object{}
	for _, a := range g.scopes {
		access = append(access, object{"type": "repository", "name": a.repo, "actions": a.actions})
	}
	now := time.Now()
	head := object{"typ": "JWT", "alg": "ES256", "x5c": []string{base64.StdEncoding.EncodeToString(s.cert)}}
	claims := object{
		"iss": issuer, "sub": g.user.Name, "aud": service, "jti": rand.Text(), "access": access,
		"iat": now.Unix(), "nbf": now.Add(-time.Minute).Unix(), "exp": g.expires.Unix(),
	}
	var parts []string
	for _, part := range []object{head, claims} {
		b, err := json.Marshal(part)
		must(err)
		parts = append(parts, base64.RawURLEncoding.EncodeToString(b))
	}
	signed := strings.Join(parts, ".")
	hash := sha256.Sum256([]byte(signed))
	r, v, err := ecdsa.Sign(rand.Reader, s.key, hash[:])
	must(err)
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	v.FillBytes(signature[32:])
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}
