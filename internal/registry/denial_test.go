package registry

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"imagemirror/internal/regerror"
	"imagemirror/internal/registrytest"
)

// A denial says which entry was refused, or that none matches, and in which files.
func TestDenialNamesTheCredential(t *testing.T) {
	p := registrytest.NewProxy(t, registrytest.InProcess(t), registrytest.ProxyOptions{})
	entry := `{"auths":{"` + p.Host + `":{"auth":"` + base64.StdEncoding.EncodeToString([]byte("u:p")) + `"}}}`
	for _, c := range []struct {
		name, config string
		status       int
		body         string
		message      string
		advice       string
	}{
		{"an entry that may not", entry, 403, "", `denied with the entry "` + p.Host + `" of "`, "grant the credentials pull access to"},
		{"an entry that is wrong", entry, 401, "", `denied with the entry "` + p.Host + `" of "`, "grant the credentials pull access to"},
		{"an entry that is not asked for", entry, 403, "", "which was not sent: the registry asks for neither Basic nor Bearer authentication", "grant the credentials pull access to"},
		{"no entry that matches", `{"auths":{"example.com":{"auth":"dTpw"}}}`, 401, "", `denied with no credentials: no entry matches in "`, "add an entry for " + p.Host + "/ci/a or " + p.Host},
		{"no entry at all", `{}`, 403, "", `denied with no credentials: no entry matches in "`, "add an entry for"},
		{"a quota is not about credentials", entry, 403, `{"error":"quota exceeded"}`, `"quota exceeded"`, "ask the registry's operators for more room"},
		{"a firewall is not about credentials", entry, 403, "<html><title>Blocked</title></html>", `a web page: "Blocked"`, "ask the operators of the front server or firewall"},
	} {
		p.Heal()
		p.Inject(registrytest.FaultRule{Fault: registrytest.Status(c.status, c.body)})
		e := read(t, withConfig(t, c.config), p.Host)
		if advice := e.Fault().Advice; !strings.Contains(e.Error(), c.message) || !strings.HasPrefix(advice, c.advice) {
			t.Errorf("%s: got %v with the advice %q, want %q and %q", c.name, e, advice, c.message, c.advice)
		}
	}
}

// A page for people is not an answer, whatever its status.
func TestWebPageIsNoManifest(t *testing.T) {
	p := registrytest.NewProxy(t, registrytest.InProcess(t), registrytest.ProxyOptions{})
	login := registrytest.NewProxy(t, registrytest.InProcess(t), registrytest.ProxyOptions{})
	page := registrytest.Status(200, "\n<!DOCTYPE html><title>Log in</title>", "Content-Type", "text/html; charset=utf-8")
	for name, fault := range map[string]registrytest.Fault{"": page, "which leads to " + login.Host: registrytest.Redirect("http://" + login.Host)} {
		p.Heal()
		p.Inject(registrytest.FaultRule{Fault: fault})
		login.Heal()
		login.Inject(registrytest.FaultRule{Fault: page})
		e := read(t, noKeys{}, p.Host)
		if advice := e.Fault().Advice; !strings.Contains(e.Error(), name) || !strings.HasSuffix(e.Error(), `HTTP 200 OK: a web page: "Log in"`) || !strings.HasPrefix(advice, "check that "+p.Host+"/ci/a is an image") {
			t.Errorf("got %v with the advice %q", e, advice)
		}
	}
}

// A manifest that is cut in an answer without a length and a digest is read again.
func TestManifestThatIsCutIsReadAgain(t *testing.T) {
	backend := registrytest.InProcess(t)
	registrytest.Push(t, backend.Host+"/ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64"))
	p := registrytest.NewProxy(t, backend, registrytest.ProxyOptions{})
	cut := func(next http.Handler) http.Handler {
		return registrytest.SetHeader("Docker-Content-Digest", "")(registrytest.Truncate(100)(next))
	}
	for _, c := range []struct {
		times, asked int
		fails        bool
	}{{times: 1, asked: 2}, {times: 2, asked: 3}, {times: 9, asked: 3, fails: true}} {
		p.Heal()
		p.Reset()
		p.Inject(registrytest.FaultRule{Kind: "GET manifest", Times: c.times, Fault: cut})
		r := repositoryAt(t, p.Host, Config{Concurrency: 2, Retries: 5, Stall: patience}, keys(anonymously))
		r.endpoints[0].access.Repository = "ci/a"
		_, err := r.Manifest(t.Context(), "v1")
		if n := p.Stats().Requests["GET manifest"]; (err != nil) != c.fails || n != c.asked {
			t.Errorf("cut %d times: got %v after %d requests, want %d", c.times, err, n, c.asked)
		}
	}
}

// A proxy that refuses to connect is named, and asked again only if that may help.
func TestProxyThatRefusesIsNamed(t *testing.T) {
	for _, c := range []struct {
		status int
		final  bool
	}{{403, true}, {407, true}, {503, false}} {
		proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(c.status) }))
		t.Cleanup(proxy.Close)
		u, err := url.Parse(proxy.URL)
		if err != nil {
			t.Fatal(err)
		}
		h := testHost(t, "registry.example")
		tr := h.client.transport(h.client.tls, h.client.dialer(own{h.standing}))
		tr.Proxy = http.ProxyURL(u)
		_, err = (&http.Client{Transport: tr}).Get("https://registry.example/v2/")
		e := &regerror.Error{Err: regerror.Plain(t.Context(), err)}
		if advice := e.Fault().Advice; !strings.Contains(e.Error(), "the proxy "+u.Host+" does not connect: HTTP ") || !strings.HasPrefix(advice, "correct HTTPS_PROXY") || e.Transient() == c.final {
			t.Errorf("%d: got %v with the advice %q, transient %v", c.status, e, advice, e.Transient())
		}
	}
}
