package registry

import (
	"net/http"
	"testing"
	"time"

	"imagemirror/internal/reference"
	"imagemirror/internal/regerror"
	"imagemirror/internal/registrytest"
)

// What a registry allows strangers says nothing of what it allows those whom it knows.
func TestStrangersDoNotHoldBackOthers(t *testing.T) {
	backend := registrytest.InProcess(t)
	registrytest.Push(t, backend.Host+"/m/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 100)))
	proxy := registrytest.NewProxy(t, backend, registrytest.ProxyOptions{})
	c, err := New(Config{Concurrency: 8, Retries: 1, Stall: time.Minute}, noKeys{})
	if err != nil {
		t.Fatal(err)
	}
	ref, err := reference.Parse(proxy.Host + "/m/a:v1")
	if err != nil {
		t.Fatal(err)
	}
	head := func(c *Client) error {
		repo, err := c.Destination(t.Context(), ref, false)
		if err == nil {
			_, err = repo.Head(t.Context(), "v1")
		}
		return err
	}
	strangers := c.Stranger()
	proxy.Inject(registrytest.FaultRule{Times: 1, Fault: registrytest.SetHeader("RateLimit-Remaining", "0")})
	if err := head(strangers); err != nil {
		t.Fatal(err)
	}
	proxy.Inject(registrytest.FaultRule{Fault: registrytest.Status(http.StatusTooManyRequests, "", "Retry-After", "60")})
	if err := head(strangers); !regerror.IsThrottling(err) {
		t.Errorf("a stranger gets %v", err)
	}
	proxy.Heal()
	b := c.budgets[proxy.Host]
	if b.isPaused() || b.limit != 8 || b.meter.known {
		t.Errorf("after answers to strangers: paused %v, %v slots, %d pulls left", b.isPaused(), b.limit, b.meter.left)
	}
	proxy.Inject(registrytest.FaultRule{Fault: registrytest.SetHeader("RateLimit-Remaining", "0")})
	if err := head(c); err != nil || !b.meter.known {
		t.Errorf("%v; pulls are known: %v", err, b.meter.known)
	}
	if strangers.credentials != (CredentialSource(noCredentials{})) {
		t.Errorf("a stranger has %v", strangers.credentials)
	}
}
