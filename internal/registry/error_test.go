package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"imagemirror/internal/credentials"
	"imagemirror/internal/manifest"
	"imagemirror/internal/reference"
	"imagemirror/internal/regerror"
	"imagemirror/internal/registrytest"
)

// patience is longer than any answer takes that a test waits for, also on a busy machine.
const patience = 30 * time.Second

// once returns a client that tries each request once, and waits for stall.
func once(t *testing.T, keys CredentialSource, stall time.Duration) *Client {
	t.Helper()
	c, err := New(Config{Concurrency: 4, Retries: 1, Stall: stall}, keys)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// read reads ci/a:v1 on a registry and returns the error, which must exist.
func read(t *testing.T, keys CredentialSource, registry string) *regerror.Error {
	t.Helper()
	return readWithin(t, patience, keys, registry)
}

// readWithin reads with a client that waits for stall.
func readWithin(t *testing.T, stall time.Duration, keys CredentialSource, registry string) *regerror.Error {
	t.Helper()
	from, err := once(t, keys, stall).Source(t.Context(), reference.Reference{Registry: registry, Repository: "ci/a"})
	if err == nil {
		_, err = from.Manifest(t.Context(), "v1")
	}
	return asError(t, err)
}

// write pushes a manifest to ci/a:v1 on a registry and returns the error, which must
// exist.
func write(t *testing.T, registry string) *regerror.Error {
	t.Helper()
	to, err := once(t, noKeys{}, patience).Destination(t.Context(), reference.Reference{Registry: registry, Repository: "ci/a"}, true)
	if err == nil {
		err = to.PutManifest(t.Context(), "v1", manifest.Raw{MediaType: "application/vnd.oci.image.manifest.v1+json", Content: []byte("{}")})
	}
	return asError(t, err)
}

func asError(t *testing.T, err error) *regerror.Error {
	t.Helper()
	var e *regerror.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an Error", err)
	}
	return e
}

func TestAdviceOnRefusals(t *testing.T) {
	const words = `{"errors":[{"code":"NO","message":"not today"}]}`
	p := registrytest.NewProxy(t, registrytest.InProcess(t), registrytest.ProxyOptions{})
	for _, c := range []struct {
		status int
		side   reference.Side
		body   string
		advice string
	}{
		{400, reference.Destination, words, "ask the registry's operators about the reason that it gives, or check whether it accepts images of this media type"},
		{400, reference.Source, words, "ask the registry's operators about the reason that it gives"},
		{405, reference.Source, "", "ask the registry's operators why it refuses the request"},
		{405, reference.Destination, "", "ask the registry's operators why it refuses the request, or check whether it accepts images of this media type"},
		{409, reference.Destination, words, "ask the registry's operators about the reason that it gives"},
		{415, reference.Destination, words, "ask the registry's operators about the reason that it gives"},
		{422, reference.Destination, words, "ask the registry's operators about the reason that it gives"},
		{401, reference.Destination, words, "grant the credentials push access to "},
		{403, reference.Source, words, "grant the credentials pull access to "},
		{404, reference.Source, words, "correct the source in the mapping file"},
		{404, reference.Destination, words, "create the repository "},
		{408, reference.Destination, words, "run again later"},
		{413, reference.Destination, words, "ask the registry's operators to raise that limit of their front server"},
		{429, reference.Source, words, "lower MIRROR_CONCURRENCY"},
		{502, reference.Source, words, "run again later"},
		{507, reference.Destination, words, "ask the registry's operators for more room"},
		{204, reference.Source, "", "ask the registry's operators: this is not a valid answer"},
	} {
		p.Heal()
		p.Inject(registrytest.FaultRule{Fault: registrytest.Status(c.status, c.body)})
		var e *regerror.Error
		if c.side == reference.Source {
			e = read(t, noKeys{}, p.Host)
		} else {
			e = write(t, p.Host)
		}
		f := e.Fault()
		if f.Side != c.side || f.Status != c.status || !strings.HasPrefix(f.Advice, c.advice) {
			t.Errorf("%d at the %s: got %q for status %d at the %s, want %q", c.status, c.side, f.Advice, f.Status, f.Side, c.advice)
		}
	}
}

// withConfig returns the keychain of a Docker configuration.
func withConfig(t *testing.T, config string) *credentials.Keychain {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := credentials.Load(func(name string) string {
		return map[string]string{"DOCKER_CONFIG": dir}[name]
	}, credentials.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

const nameAdvice = "check the registry's name"

func TestAdviceWhereNothingAnswers(t *testing.T) {
	const config = "or correct credHelpers or credsStore in the Docker configuration file"
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := listener.Addr().String()
	_ = listener.Close()
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "docker-credential-locked"), []byte("#!/bin/sh\necho log in first\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	secured := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secured.Close)
	at := secured.Listener.Addr().String()
	for _, c := range []struct {
		name   string
		err    func(t *testing.T) *regerror.Error
		advice string
	}{
		{"nobody listens", func(t *testing.T) *regerror.Error { return read(t, noKeys{}, nobody) }, nameAdvice},
		{"a helper is missing", func(t *testing.T) *regerror.Error {
			return read(t, withConfig(t, `{"credHelpers": {"127.0.0.1:1": "absent"}}`), "127.0.0.1:1")
		}, "install docker-credential-absent, " + config},
		{"a store is missing", func(t *testing.T) *regerror.Error {
			return read(t, withConfig(t, `{"credsStore": "absent"}`), "127.0.0.1:1")
		}, "install docker-credential-absent, " + config},
		{"a helper fails", func(t *testing.T) *regerror.Error {
			return read(t, withConfig(t, `{"credHelpers": {"127.0.0.1:1": "locked"}}`), "127.0.0.1:1")
		}, "run docker-credential-locked by hand to see why it fails, " + config},
		{"the registry is silent", faulty(registrytest.Stall(), time.Second), "check the registry and the network; if they are only slow, raise MIRROR_STALL"},
		{"the answer stands still", faulty(registrytest.StallAfter(3), time.Second), "check the registry and the network; if they are only slow, raise MIRROR_STALL"},
		{"the connection is cut", faulty(registrytest.Disconnect(), patience), "run again; if it persists, find out what breaks the connections"},
		{"the answer is another image", faulty(registrytest.Corrupt(3), patience), "run again; if it persists, ask the registry's operators"},
		{"nobody vouches for the certificate", func(t *testing.T) *regerror.Error { return read(t, noKeys{}, at) }, "set MIRROR_CA_FILE to a file with the authority of its certificate"},
		{"the certificate has another name", func(t *testing.T) *regerror.Error {
			return read(t, noKeys{}, strings.Replace(at, "127.0.0.1", "localhost", 1))
		}, "correct the registry's name, or ask its operators for a certificate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := c.err(t)
			if advice := e.Fault().Advice; e.Status != 0 || !strings.HasPrefix(advice, c.advice) {
				t.Errorf("%v: got the advice %q and the status %d, want %q", e, advice, e.Status, c.advice)
			}
		})
	}
}

// faulty returns a function that reads from a registry with a fault, and waits for stall.
func faulty(fault registrytest.Fault, stall time.Duration) func(t *testing.T) *regerror.Error {
	return func(t *testing.T) *regerror.Error {
		backend := registrytest.InProcess(t)
		registrytest.Push(t, backend.Host+"/ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64"))
		p := registrytest.NewProxy(t, backend, registrytest.ProxyOptions{})
		p.Inject(registrytest.FaultRule{Kind: "GET manifest", Fault: fault})
		return readWithin(t, stall, noKeys{}, p.Host)
	}
}

// These errors cannot be caused on every machine.
func TestAdviceOnCauses(t *testing.T) {
	metadata, err := url.Parse("http://169.254.169.254/latest")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		err    regerror.Error
		advice string
	}{
		{"an unknown name", regerror.Error{Err: &net.DNSError{Err: "no such host", IsNotFound: true}}, nameAdvice},
		{"a registry that is down", regerror.Error{Err: regerror.ErrDown}, nameAdvice},
		{"a public registry that leads inside", regerror.Error{Err: testHost(t, "203.0.113.7").mayLead(metadata)}, "ask the registry's operators why it leads to a private address: only a registry that has one itself may"},
		{"a certificate of old", regerror.Error{Err: &tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired}}}, "ask the registry's operators for a certificate that is valid today"},
		{"a registry that is blocked", regerror.Error{Doing: regerror.Locating, Err: errors.New("it is blocked")}, "correct registries.conf"},
		{"an interrupted run", regerror.Error{Doing: regerror.Locating, Err: context.Canceled}, "run again"},
		{"a download without a slot", regerror.Error{Err: regerror.ErrBusy}, "run again"},
	} {
		if advice := c.err.Fault().Advice; !strings.HasPrefix(advice, c.advice) {
			t.Errorf("%s: got the advice %q, want %q", c.name, advice, c.advice)
		}
	}
}

func TestAdviceOnTokens(t *testing.T) {
	p := registrytest.NewProxy(t, registrytest.InProcess(t), registrytest.ProxyOptions{Auth: &registrytest.Auth{}})
	for _, status := range []int{401, 403, 404} {
		p.Heal()
		p.Inject(registrytest.FaultRule{Kind: "token", Fault: registrytest.Status(status, "")})
		e := read(t, noKeys{}, p.Host)
		if advice := e.Fault().Advice; e.Status != status || !strings.HasPrefix(advice, "log in to "+p.Host+" again") {
			t.Errorf("%v: got the advice %q, want that to log in", e, advice)
		}
	}
}
