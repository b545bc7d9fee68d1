package credentials

import (
	"fmt"
	"io"
	"log/slog"

	"imagemirror/internal/secret"
)

// A Credential is what a registry gets to authenticate a request. Its zero value is
// anonymous. It is comparable, so that tokens can be cached by it. Printed, logged or
// marshaled on its own, it shows only whether there is one. fmt does print the
// unexported fields of another struct, so keep a *Credential there.
type Credential struct {
	Username      string
	Password      string
	IdentityToken string // OAuth2 refresh token, exchanged for a bearer token
	RegistryToken string // bearer token, sent as it is
	OnlyRegistry  bool   // it goes to the registry's own host, and to no token service elsewhere
}

// hidden makes package secret hide the credential from now on, and returns it.
func (c Credential) hidden() Credential {
	secret.Add(c.Username, c.Password)
	secret.Add(c.Username, c.IdentityToken)
	secret.Add("", c.RegistryToken)
	return c
}

// String returns "anonymous" or "credential (redacted)".
func (c Credential) String() string {
	if c == (Credential{}) {
		return "anonymous"
	}
	return "credential (redacted)"
}

// Format writes String for every verb: %d and %#v would print the fields.
func (c Credential) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, c.String()) }

// LogValue returns String, for slog.
func (c Credential) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText returns String, for JSON, XML and flags. It cannot be read back.
func (c Credential) MarshalText() ([]byte, error) { return []byte(c.String()), nil }
