package cloud

import (
	"context"
	"errors"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	registryapi "github.com/Azure/azure-sdk-for-go/sdk/containers/azcontainerregistry"

	"imagemirror/internal/credentials"
)

// azureScope is the same in all clouds of Azure.
const azureScope = "https://containerregistry.azure.net/.default"

// Azure makes credentials for Azure Container Registry.
type Azure struct {
	options azcore.ClientOptions // for tests
}

// Serves reports whether registry is Azure's. It compares the end of the name only,
// since the registry gets the machine's token.
func (Azure) Serves(registry string) bool {
	for _, domain := range []string{".azurecr.io", ".azurecr.cn", ".azurecr.us"} {
		if strings.HasSuffix(registry, domain) {
			return true
		}
	}
	return false
}

// Credential exchanges a token of Entra ID for a refresh token of the registry.
func (a Azure) Credential(ctx context.Context, registry string) (credentials.Credential, error) {
	token, err := a.refreshToken(ctx, registry)
	if err != nil {
		return anonymous(registry, err), nil
	}
	return credentials.Credential{IdentityToken: token}, nil
}

func (a Azure) refreshToken(ctx context.Context, registry string) (string, error) {
	identity, err := azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: a.options})
	if err != nil {
		return "", err
	}
	token, err := identity.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{azureScope}})
	if err != nil {
		return "", err
	}
	client, err := registryapi.NewAuthenticationClient("https://"+registry, &registryapi.AuthenticationClientOptions{ClientOptions: a.options})
	if err != nil {
		return "", err
	}
	answer, err := client.ExchangeAADAccessTokenForACRRefreshToken(ctx, registryapi.PostContentSchemaGrantTypeAccessToken, registry,
		&registryapi.AuthenticationClientExchangeAADAccessTokenForACRRefreshTokenOptions{AccessToken: &token.Token})
	if err != nil {
		return "", err
	}
	if answer.RefreshToken == nil || *answer.RefreshToken == "" {
		return "", errors.New("the registry's answer has no refresh token")
	}
	return *answer.RefreshToken, nil
}
