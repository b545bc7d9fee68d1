package credentials

import (
	"fmt"
	"io"
	"log/slog"
)

// Credential is what a registry is shown. Its zero value is anonymous. It is comparable, so that a cache of tokens can
// be keyed by it. However it is printed, logged or marshalled on its own, it shows no more than whether there is one;
// fmt cannot be kept from the unexported fields of another struct, so hold a *Credential there.
type Credential struct {
	Username      string
	Password      string
	IdentityToken string // OAuth2 refresh token, to be exchanged for a bearer token
	RegistryToken string // bearer token, to be sent as it is
}

// String is "anonymous" or "credential (redacted)".
func (c Credential) String() string {
	if c == (Credential{}) {
		return "anonymous"
	}
	return "credential (redacted)"
}

// Format writes String for every verb: %d and %#v would show the fields.
func (c Credential) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, c.String()) }

// LogValue is String, for slog.
func (c Credential) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText is String, for JSON, XML and flags. What was marshalled cannot be read back.
func (c Credential) MarshalText() ([]byte, error) { return []byte(c.String()), nil }
