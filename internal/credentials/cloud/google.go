package cloud

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/google"

	"imagemirror/internal/credentials"
)

// Google makes credentials for Container Registry and Artifact Registry.
type Google struct{}

// Serves reports whether registry is Google's.
func (Google) Serves(registry string) bool {
	return registry == "gcr.io" || strings.HasSuffix(registry, ".gcr.io") || strings.HasSuffix(registry, ".pkg.dev")
}

// Credential returns an access token of the application default credentials, or of
// gcloud. It fails if the key that GOOGLE_APPLICATION_CREDENTIALS names gives no token.
func (Google) Credential(ctx context.Context, registry string) (credentials.Credential, error) {
	identity, err := google.NewEnvAuthenticator(ctx)
	if err != nil {
		if key := os.Getenv("GOOGLE_APPLICATION_CREDENTIALS"); key != "" {
			return credentials.Credential{}, fmt.Errorf("asking Google for a token for %q with GOOGLE_APPLICATION_CREDENTIALS=%q: %s", registry, key, shortReason(err))
		}
		var failed error
		identity, failed = google.NewGcloudAuthenticator(ctx)
		if failed != nil {
			return anonymous(registry, failed), nil
		}
	}
	if identity == authn.Anonymous {
		return anonymous(registry, err), nil
	}
	token, err := identity.Authorization()
	if err != nil {
		return anonymous(registry, err), nil
	}
	return credentials.Credential{Username: token.Username, Password: token.Password}, nil
}
