package cloud

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"imagemirror/internal/credentials"
)

const (
	ecrHost   = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
	azureHost = "team.azurecr.io"
)

func TestServes(t *testing.T) {
	for _, c := range []struct {
		registry string
		want     string
	}{
		{"gcr.io", "Google"},
		{"eu.gcr.io", "Google"},
		{"europe-west1-docker.pkg.dev", "Google"},
		{"gcr.io.example.com", ""},
		{"notgcr.io", ""},
		{"gcr.io:443", ""},
		{ecrHost, "AWS"},
		{"123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "AWS"},
		{"123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "AWS"},
		{"123456789012.dkr-ecr.eu-west-1.on.aws", "AWS"},
		{"public.ecr.aws", "AWS"},
		{ecrHost + ".example.com", ""},
		{"dkr.ecr.eu-west-1.amazonaws.com", ""},
		{azureHost, "Azure"},
		{"team.azurecr.cn", "Azure"},
		{azureHost + ".example.com", ""},
		{azureHost + ":5000", ""},
		{"azurecr.io", ""},
		{"quay.io", ""},
	} {
		var got []string
		for _, k := range Keychains() {
			if k.Serves(c.registry) {
				got = append(got, strings.TrimPrefix(fmt.Sprintf("%T", k), "cloud."))
			}
		}
		if strings.Join(got, ",") != c.want {
			t.Errorf("%s is served by %q, want %q", c.registry, got, c.want)
		}
	}
}

// noIdentity hides any identity of the machine that runs the test.
func noIdentity(t *testing.T) {
	t.Helper()
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		for _, prefix := range []string{"AWS_", "AZURE_", "GOOGLE_", "GCE_", "CLOUDSDK_"} {
			if strings.HasPrefix(name, prefix) {
				t.Setenv(name, "")
			}
		}
	}
	t.Setenv("HOME", t.TempDir())
	t.Setenv("PATH", t.TempDir())
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
}

func TestGoogle(t *testing.T) {
	noIdentity(t)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/token" || !strings.Contains(r.FormValue("grant_type"), "jwt-bearer") {
			http.Error(w, "no such account\nat all", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token": "s3cret", "token_type": "Bearer", "expires_in": 3600}`)
	}))
	t.Cleanup(s.Close)

	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", serviceAccount(t, s.URL+"/token"))
	got, err := Google{}.Credential(t.Context(), "gcr.io")
	if want := (credentials.Credential{Username: "_token", Password: "s3cret"}); err != nil || got != want {
		t.Errorf("got another credential, or the error %v", err)
	}

	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", serviceAccount(t, s.URL+"/gone"))
	_, err = Google{}.Credential(t.Context(), "gcr.io")
	if err == nil || !strings.Contains(err.Error(), "GOOGLE_APPLICATION_CREDENTIALS=") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, want one line that names the variable", err)
	}
}

// serviceAccount writes a key file whose tokens come from a server of the test.
func serviceAccount(t *testing.T, tokens string) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
	content, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "mirror@example.com", "private_key": string(pem.EncodeToMemory(block)), "token_uri": tokens,
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAWS(t *testing.T) {
	noIdentity(t)
	token := base64.StdEncoding.EncodeToString([]byte("AWS:s3cret"))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		signed := r.Header.Get("Authorization")
		switch target := r.Header.Get("X-Amz-Target"); {
		case strings.HasPrefix(target, "SpencerFrontendService.") && strings.Contains(signed, "/us-east-1/"):
			fmt.Fprintf(w, `{"authorizationData": {"authorizationToken": %q}}`, token)
		case strings.HasPrefix(target, "AmazonEC2ContainerRegistry_") && strings.Contains(signed, "/eu-west-1/"):
			fmt.Fprintf(w, `{"authorizationData": [{"authorizationToken": %q}]}`, token)
		default:
			http.Error(w, `{"__type": "AccessDeniedException", "message": "not you"}`, http.StatusBadRequest)
		}
	}))
	t.Cleanup(s.Close)
	t.Setenv("AWS_ENDPOINT_URL", s.URL)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	for _, registry := range []string{ecrHost, publicECR} {
		got, err := AWS{}.Credential(t.Context(), registry)
		if want := (credentials.Credential{Username: "AWS", Password: "s3cret"}); err != nil || got != want {
			t.Errorf("%s: got another credential, or the error %v", registry, err)
		}
	}
	_, err := AWS{}.Credential(t.Context(), strings.Replace(ecrHost, "eu-west-1", "eu-west-2", 1))
	if err == nil || !strings.Contains(err.Error(), "not you") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, want one line with the answer of AWS", err)
	}
}

func TestAWSBrokenConfiguration(t *testing.T) {
	noIdentity(t)
	path := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(path, []byte("[profile a]\nsource_profile = b\nrole_arn = c\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CONFIG_FILE", path)
	t.Setenv("AWS_PROFILE", "a")
	if _, err := (AWS{}).Credential(t.Context(), ecrHost); err == nil {
		t.Errorf("got a credential of a broken profile")
	}
}

// toServer is a transport that sends every request to one server.
type toServer struct {
	host   string
	client *http.Client
}

func (s toServer) Do(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-Asked", r.URL.Host)
	r.URL.Scheme, r.URL.Host = "https", s.host
	return s.client.Do(r)
}

func TestAzure(t *testing.T) {
	noIdentity(t)
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.HasSuffix(r.URL.Path, "/openid-configuration"):
			fmt.Fprint(w, `{"token_endpoint": "https://login.example.com/org/oauth2/v2.0/token", "authorization_endpoint": "https://login.example.com/org/authorize", "issuer": "https://login.microsoftonline.com/org/v2.0"}`)
		case r.URL.Path == "/common/discovery/instance":
			fmt.Fprint(w, `{"tenant_discovery_endpoint": "https://login.microsoftonline.com/org/v2.0/.well-known/openid-configuration", "metadata": []}`)
		case strings.HasSuffix(r.URL.Path, "/oauth2/v2.0/token") && bytes.Contains(body, []byte("containerregistry.azure.net")):
			fmt.Fprint(w, `{"access_token": "entra", "token_type": "Bearer", "expires_in": 3600}`)
		case r.URL.Path == "/oauth2/exchange" && r.Header.Get("X-Asked") == azureHost && bytes.Contains(body, []byte("access_token=entra")):
			fmt.Fprint(w, `{"refresh_token": "s3cret"}`)
		default:
			http.Error(w, "{}", http.StatusUnauthorized)
		}
	}))
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	azure := Azure{options: azcore.ClientOptions{Transport: toServer{u.Host, s.Client()}}}
	if got, err := azure.Credential(t.Context(), azureHost); err != nil || got != (credentials.Credential{}) {
		t.Errorf("got a credential without an identity, or the error %v", err)
	}
	t.Setenv("AZURE_TENANT_ID", "org")
	t.Setenv("AZURE_CLIENT_ID", "mirror")
	t.Setenv("AZURE_CLIENT_SECRET", "secret")
	for _, c := range []struct {
		registry string
		want     credentials.Credential
	}{
		{azureHost, credentials.Credential{IdentityToken: "s3cret"}},
		{"another.azurecr.io", credentials.Credential{}},
	} {
		if got, err := azure.Credential(t.Context(), c.registry); err != nil || got != c.want {
			t.Errorf("%s: got another credential, or the error %v", c.registry, err)
		}
	}
}

func TestNoIdentity(t *testing.T) {
	noIdentity(t)
	if got, err := (AWS{}).Credential(t.Context(), publicECR); err != nil || got != (credentials.Credential{}) {
		t.Errorf("public registry: got a credential without an identity, or the error %v", err)
	}
	if _, err := (AWS{}).Credential(t.Context(), ecrHost); err == nil || !strings.Contains(err.Error(), ecrHost) {
		t.Errorf("private registry: got %v, want an error that names it", err)
	}
}
