package wire

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"imagemirror/internal/execute"
	"imagemirror/internal/imageset"
	"imagemirror/internal/mirror"
	"imagemirror/internal/plan"
	"imagemirror/internal/progress"
	"imagemirror/internal/registry"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/report"
	"imagemirror/internal/stream"
)

// withPassword returns the credentials of one account for all registries.
func withPassword(password string) registry.CredentialSource {
	return someone{Username: "team", Password: password}
}

// reportOn mirrors three image sets and reports on them. Each has two lines with an image of its
// own, and two destinations.
func reportOn(t *testing.T, config registry.Config, keys registry.CredentialSource, source, destination string) *report.Report {
	t.Helper()
	var dirs []string
	root := t.TempDir()
	for i := range 3 {
		dir := filepath.Join(root, fmt.Sprint("set", i))
		var lines strings.Builder
		for j := range 2 {
			fmt.Fprintf(&lines, "%s/ci/a%d:v1 %s/m%d/a%d:v1 %s/m%d/b%d:v1\n", source, 2*i+j, destination, i, j, destination, i, j)
		}
		for name, content := range map[string]string{"OWNERS": "approvers: [owner" + fmt.Sprint(i) + "]\n", "mapping_x": lines.String()} {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		dirs = append(dirs, dir)
	}
	input, err := imageset.Load(dirs, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Make(t.Context(), plan.Options{Client: clientAs(t, config, keys)}, input.Sets)
	if err != nil {
		t.Fatal(err)
	}
	var plan, results bytes.Buffer
	if _, err := stream.Write(&plan, &p.Content); err != nil {
		t.Fatal(err)
	}
	whole := read(t, &plan)
	work, err := execute.Gather([]*stream.Content{whole})
	if err != nil {
		t.Fatal(err)
	}
	display := progress.New(os.Stderr, slog.New(slog.DiscardHandler), 0, 0)
	defer display.Close()
	if err := work.Carry(t.Context(), mirror.Options{Client: clientAs(t, config, keys), Observer: display, Grace: time.Second}, &results); err != nil {
		t.Fatal(err)
	}
	b := report.NewBuilder()
	if err := b.Add(read(t, &results)); err != nil {
		t.Fatal(err)
	}
	return b.Report()
}

// deadPort returns an address that refuses connections.
func deadPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestWhatIsWrongWithARegistryIsOneCause breaks one registry in one way for all images of three
// sets, and wants one cause that names it.
func TestWhatIsWrongWithARegistryIsOneCause(t *testing.T) {
	t.Parallel()
	const said = `{"errors":[{"code":%q,"message":%q}]}`
	toAll := func(r remoteRegistry, f registrytest.Fault) { r.Inject(registrytest.FaultRule{Fault: f}) }
	onPush := func(r remoteRegistry, f registrytest.Fault) {
		r.Inject(registrytest.FaultRule{Kind: "POST upload", Fault: f}, registrytest.FaultRule{Kind: "POST mount", Fault: f})
	}
	for _, c := range []struct {
		name   string
		auth   *registrytest.Auth // of the destination
		breaks func(t *testing.T, p *pair) (culprit string)
		keys   registry.CredentialSource
		want   string // side and kind
	}{
		{name: "a dead port", want: "destination unavailable", breaks: func(t *testing.T, p *pair) string {
			p.destination.Host = deadPort(t)
			return p.destination.Host
		}},
		{name: "a name that does not exist", want: "destination unavailable", breaks: func(_ *testing.T, p *pair) string {
			p.destination.Host = "registry.invalid"
			return p.destination.Host
		}},
		{name: "a source that is down", want: "source unavailable", breaks: func(t *testing.T, p *pair) string {
			p.source.Host = deadPort(t)
			return p.source.Host
		}},
		{name: "503", want: "destination unavailable", breaks: func(_ *testing.T, p *pair) string {
			toAll(p.destination, registrytest.Status(503, "<html>down for maintenance</html>"))
			return p.destination.Host
		}},
		{name: "connections that are cut", want: "destination unavailable", breaks: func(_ *testing.T, p *pair) string {
			toAll(p.destination, registrytest.Disconnect())
			return p.destination.Host
		}},
		{name: "down while images are copied", want: "destination unavailable", breaks: func(_ *testing.T, p *pair) string {
			onPush(p.destination, registrytest.Disconnect())
			return p.destination.Host
		}},
		{name: "a certificate of nobody", want: "destination tls", breaks: func(t *testing.T, p *pair) string {
			secure := registrytest.NewProxy(t, &registrytest.Registry{Host: p.destination.backend}, registrytest.ProxyOptions{TLS: true})
			p.destination.Host = secure.Host
			return secure.Host
		}},
		{name: "403 on every repository", want: "destination denied", keys: withPassword("secret"), breaks: func(_ *testing.T, p *pair) string {
			toAll(p.destination, registrytest.Status(403, fmt.Sprintf(said, "DENIED", "requested access to the resource is denied")))
			return p.destination.Host
		}},
		{name: "403 on pushes", want: "destination denied", keys: withPassword("secret"), breaks: func(_ *testing.T, p *pair) string {
			onPush(p.destination, registrytest.Status(403, fmt.Sprintf(said, "DENIED", "requested access to the resource is denied")))
			return p.destination.Host
		}},
		{name: "expired credentials, Basic", want: "destination credentials", keys: withPassword("expired"),
			auth:   &registrytest.Auth{Basic: true, Users: []registrytest.User{{Name: "team", Password: "new"}}},
			breaks: func(_ *testing.T, p *pair) string { return p.destination.Host }},
		{name: "expired credentials, tokens", want: "destination credentials", keys: withPassword("expired"),
			auth:   &registrytest.Auth{Users: []registrytest.User{{Name: "team", Password: "new"}}},
			breaks: func(_ *testing.T, p *pair) string { return p.destination.Host }},
		{name: "good credentials that may not push", want: "destination denied", keys: withPassword("secret"),
			auth:   &registrytest.Auth{JWT: true, Users: []registrytest.User{{Name: "team", Password: "secret", Push: []string{"other"}}}},
			breaks: func(_ *testing.T, p *pair) string { return p.destination.Host }},
		{name: "429", want: "destination throttled", breaks: func(_ *testing.T, p *pair) string {
			toAll(p.destination, registrytest.TooManyRequests(""))
			return p.destination.Host
		}},
		{name: "a quota", want: "destination quota", breaks: func(_ *testing.T, p *pair) string {
			onPush(p.destination, registrytest.Status(403, fmt.Sprintf(said, "DENIED", "Quota has been exceeded on namespace")))
			return p.destination.Host
		}},
		{name: "read-only", want: "destination read-only", breaks: func(_ *testing.T, p *pair) string {
			onPush(p.destination, registrytest.Status(405, fmt.Sprintf(said, "UNSUPPORTED", "The operation is unsupported.")))
			return p.destination.Host
		}},
		{name: "missing sources", want: "source missing", breaks: func(t *testing.T, p *pair) string {
			p.source = newRegistry(t, nil)
			return p.source.Host
		}},
		{name: "a CDN that is down", want: "source unavailable", breaks: func(t *testing.T, p *pair) string {
			dead := deadPort(t)
			redirectBlobs(*p, "http://"+dead)
			return dead
		}},
		{name: "a CDN that fails", want: "source unavailable", breaks: func(t *testing.T, p *pair) string {
			cdn := newCDN(t, *p)
			cdn.Inject(registrytest.FaultRule{Fault: registrytest.Status(502, "bad gateway")})
			return cdn.Host
		}},
		{name: "a token service that is down", want: "destination unavailable", breaks: func(t *testing.T, p *pair) string {
			dead := deadPort(t)
			toAll(p.destination, registrytest.Status(401, "", "WWW-Authenticate", `Bearer realm="http://`+dead+`/token",service="r"`))
			return dead
		}},
		{name: "a token service that fails", want: "destination unavailable", auth: &registrytest.Auth{}, breaks: func(_ *testing.T, p *pair) string {
			p.destination.Inject(registrytest.FaultRule{Kind: "token", Fault: registrytest.Status(500, "oops")})
			return p.destination.Host
		}},
		{name: "a login page", want: "destination invalid-answer", breaks: func(_ *testing.T, p *pair) string {
			toAll(p.destination, registrytest.Status(200, "<html><title>Log in</title></html>", "Content-Type", "text/html"))
			return p.destination.Host
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := pair{newRegistry(t, nil), newRegistry(t, c.auth)}
			for i := range 6 {
				push(t, p.source, fmt.Sprintf("ci/a%d:v1", i), registrytest.NewImage(registrytest.OCI, fmt.Sprint(i), "amd64", registrytest.NewLayer(fmt.Sprint(i), 1000)))
			}
			culprit := c.breaks(t, &p)
			config := settings()
			config.Retries = 2
			keys := c.keys
			if keys == nil {
				keys = anonymous{}
			}
			r := reportOn(t, config, keys, p.source.Host, p.destination.Host)
			side, kind, _ := strings.Cut(c.want, " ")
			if len(r.Causes) != 1 {
				for _, cause := range r.Causes {
					t.Errorf("%s of %d mappings: %s", cause.Key, cause.Mappings, cause.Message)
				}
				t.Fatalf("there are %d causes, want one", len(r.Causes))
			}
			cause := r.Causes[0]
			if want := side + "/" + culprit + "/" + kind; cause.Key != want || cause.Mappings != 12 || len(cause.Sets) != 3 {
				t.Errorf("the cause is %s of %d mappings of %d sets (%s), want %s", cause.Key, cause.Mappings, len(cause.Sets), cause.Message, want)
			}
			if !strings.Contains(cause.Title, culprit) || cause.Advice == "" || cause.First.IsZero() || cause.Last.Before(cause.First) {
				t.Errorf("the cause is %+v", cause)
			}
			for _, set := range cause.Sets {
				if set.Mappings != 4 || !slices.Equal(set.Owners, []string{"owner" + strings.TrimPrefix(set.Set, "set")}) {
					t.Errorf("the cause hits %+v", set)
				}
			}
		})
	}
}

// TestRegistriesOfAReportAreWhatWasAsked compares the counts of a report with those of proxies.
func TestRegistriesOfAReportAreWhatWasAsked(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	for i := range 6 {
		push(t, p.source, fmt.Sprintf("ci/a%d:v1", i), registrytest.NewImage(registrytest.OCI, fmt.Sprint(i), "amd64", registrytest.NewLayer(fmt.Sprint(i), 1000)))
	}
	p.source.Inject(registrytest.FaultRule{Kind: "GET manifest", Times: 3, Fault: registrytest.Status(429, "")})
	r := reportOn(t, settings(), anonymous{}, p.source.Host, p.destination.Host)
	if err := r.Err(); err != nil || len(r.Registries) != 2 {
		t.Fatalf("%v, with the registries %v", err, r.Registries)
	}
	for _, got := range r.Registries {
		proxy, again := p.destination, int64(0)
		if got.Host == p.source.Host {
			proxy, again = p.source, 3
		}
		requests := 0
		for _, n := range proxy.Stats().Requests {
			requests += n
		}
		if got.Requests != int64(requests) || got.Retries != again || got.Throttled != again || got.Bytes < 6*1000 {
			t.Errorf("got %+v, want %d requests, %d retries and throttled answers", got, requests, again)
		}
	}
}
