package wire

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"imagemirror/internal/registry"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// newLab starts a pair whose destination speaks TLS, and returns settings that call it insecure.
func newLab(t *testing.T, auth *registrytest.Auth) (pair, registry.Config) {
	t.Helper()
	backend := registrytest.Distribution(t, registrytest.DistributionOptions{})
	proxy := registrytest.NewProxy(t, backend, registrytest.ProxyOptions{TLS: true, Auth: auth})
	config := settings()
	config.RegistriesConf = filepath.Join(t.TempDir(), "registries.conf")
	conf := fmt.Sprintf("[[registry]]\nlocation = %q\ninsecure = true\n", proxy.Host)
	if err := os.WriteFile(config.RegistriesConf, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	return pair{newRegistry(t, nil), remoteRegistry{proxy, backend.Host}}, config
}

// A destination in a lab is asked for several images before it has answered the first request. The
// requests are as many as elsewhere.
func TestInsecureDestinationIsAskedAtOnce(t *testing.T) {
	t.Parallel()
	p, config := newLab(t, nil)
	w := newWorkload(t, p, 3)
	gate := make(chan struct{})
	p.destination.Inject(
		registrytest.FaultRule{Kind: "HEAD manifest", Times: 1, Fault: await(gate, t)},
		registrytest.FaultRule{Kind: "HEAD manifest", After: 1, Times: 1, Fault: open(gate)},
	)
	plan := split(t, config, w.lines...)
	if len(plan.Copies) != 3 {
		t.Errorf("%d copies are planned, want 3", len(plan.Copies))
	}
	wantRequests(t, p.destination, map[string]int{"HEAD manifest": 3})
	mirrorWith(t, config, w.lines...).allAre(t, stream.Copied)
}

// If it demands tokens, it refuses what was sent until that was known, and no more.
func TestInsecureDestinationThatDemandsTokens(t *testing.T) {
	t.Parallel()
	p, config := newLab(t, &registrytest.Auth{})
	config.Concurrency = 2
	w := newWorkload(t, p, 6)
	mirrorWith(t, config, w.lines...).allAre(t, stream.Copied)
	p.reset()
	split(t, config, w.lines...)
	requests := p.destination.Stats().Requests
	if refused := requests["HEAD manifest"] - 6; refused < 1 || refused > 4 || requests["token"] != 1 {
		t.Errorf("got the requests %v, want a token and at most two rounds refused", requests)
	}
}
