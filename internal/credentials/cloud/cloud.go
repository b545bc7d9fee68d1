// Package cloud makes credentials for the registries of Google, AWS and Azure from the identity that the machine has
// there: a workload identity, an instance's role, a service account's key, the login of the cloud's command.
//
// Registries that serve the public too are read anonymously where no credential can be had; the log says why.
package cloud

import (
	"log/slog"
	"strings"

	"imagemirror/internal/credentials"
	"imagemirror/internal/text"
)

// Keychains lists the keychains of all clouds. None of them looks for an identity before it is asked.
func Keychains() []credentials.Cloud {
	return []credentials.Cloud{Google{}, AWS{}, Azure{}}
}

// anonymous notes why there is no credential.
func anonymous(registry string, err error) credentials.Credential {
	slog.Info("going on without a credential", "registry", registry, "reason", reason(err))
	return credentials.Credential{}
}

// reason returns err as one short line: the clouds' libraries put whole HTTP answers into their errors.
func reason(err error) string { return text.Line(strings.Join(strings.Fields(err.Error()), " "), 400) }
