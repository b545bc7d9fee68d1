// Package cloud makes credentials for the registries of Google, AWS and Azure from the
// machine's identity there: a workload identity, an instance role, a service account
// key, or the login of the cloud's command.
//
// Without a credential, registries that also serve the public are read anonymously. The
// log says why.
package cloud

import (
	"log/slog"
	"strings"

	"imagemirror/internal/credentials"
	"imagemirror/internal/text"
)

// Keychains returns all clouds. None looks for an identity before it is asked for a
// credential.
func Keychains() []credentials.Cloud {
	return []credentials.Cloud{Google{}, AWS{}, Azure{}}
}

// anonymous logs why there is no credential.
func anonymous(registry string, err error) credentials.Credential {
	slog.Info("continuing without a credential", "registry", registry, "reason", shortReason(err))
	return credentials.Credential{}
}

// shortReason returns err as one short line: the clouds' libraries put whole HTTP answers
// into errors.
func shortReason(err error) string {
	return text.Line(strings.Join(strings.Fields(err.Error()), " "), 400)
}
