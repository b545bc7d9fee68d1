package cloud

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"
	"github.com/aws/smithy-go/logging"

	"imagemirror/internal/credentials"
)

const (
	publicECR       = "public.ecr.aws"
	publicECRRegion = "us-east-1" // has the API: https://docs.aws.amazon.com/general/latest/gr/ecr-public.html
)

// privateECR matches ACCOUNT.dkr.ecr.REGION.amazonaws.com and its variants (FIPS, dual
// stack, China). Its groups are "-fips" and the region.
var privateECR = regexp.MustCompile(`^[0-9]{12}\.dkr[.-]ecr(-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|on\.aws|on\.amazonwebservices\.com\.cn)$`)

// AWS makes credentials for the Elastic Container Registry. It calls the API itself:
// the library of AWS's credential helper keeps tokens in files, takes no context, and
// panics on a broken AWS configuration.
type AWS struct{}

// Serves reports whether registry is AWS's.
func (AWS) Serves(registry string) bool {
	return registry == publicECR || privateECR.MatchString(registry)
}

// Credential returns a token of the API. For a private registry it fails without an
// identity in AWS.
func (AWS) Credential(ctx context.Context, registry string) (credentials.Credential, error) {
	if registry == publicECR {
		c, err := publicToken(ctx)
		if err != nil {
			return anonymous(registry, err), nil
		}
		return c, nil
	}
	c, err := privateToken(ctx, registry)
	if err != nil {
		return credentials.Credential{}, fmt.Errorf("asking AWS for a token for %q: %s", registry, shortReason(err))
	}
	return c, nil
}

func publicToken(ctx context.Context) (credentials.Credential, error) {
	cfg, err := configuration(ctx, config.WithRegion(publicECRRegion))
	if err != nil {
		return credentials.Credential{}, err
	}
	out, err := ecrpublic.NewFromConfig(cfg).GetAuthorizationToken(ctx, &ecrpublic.GetAuthorizationTokenInput{})
	if err != nil {
		return credentials.Credential{}, err
	}
	if out.AuthorizationData == nil {
		return credentials.Credential{}, errors.New("the answer has no token")
	}
	return basicCredential(out.AuthorizationData.AuthorizationToken)
}

func privateToken(ctx context.Context, registry string) (credentials.Credential, error) {
	parts := privateECR.FindStringSubmatch(registry)
	options := []func(*config.LoadOptions) error{config.WithRegion(parts[2])}
	if parts[1] != "" {
		options = append(options, config.WithUseFIPSEndpoint(aws.FIPSEndpointStateEnabled))
	}
	cfg, err := configuration(ctx, options...)
	if err != nil {
		return credentials.Credential{}, err
	}
	out, err := ecr.NewFromConfig(cfg).GetAuthorizationToken(ctx, &ecr.GetAuthorizationTokenInput{})
	if err != nil {
		return credentials.Credential{}, err
	}
	if len(out.AuthorizationData) == 0 {
		return credentials.Credential{}, errors.New("the answer has no token")
	}
	return basicCredential(out.AuthorizationData[0].AuthorizationToken)
}

// configuration reads the environment and files of AWS. The no-op logger keeps the
// library off stderr.
func configuration(ctx context.Context, options ...func(*config.LoadOptions) error) (aws.Config, error) {
	return config.LoadDefaultConfig(ctx, append(options, config.WithLogger(logging.Nop{}))...)
}

// basicCredential decodes the base64 of USER:PASSWORD.
func basicCredential(token *string) (credentials.Credential, error) {
	decoded, err := base64.StdEncoding.DecodeString(aws.ToString(token))
	user, password, found := strings.Cut(string(decoded), ":")
	if err != nil || !found {
		return credentials.Credential{}, errors.New("the token is not the base64 of USER:PASSWORD")
	}
	return credentials.Credential{Username: user, Password: password}, nil
}
