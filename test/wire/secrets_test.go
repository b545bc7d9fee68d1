package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"imagemirror/internal/credentials"
	"imagemirror/internal/execute"
	"imagemirror/internal/mirror"
	"imagemirror/internal/progress"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/report"
	"imagemirror/internal/secret"
	"imagemirror/internal/stream"
)

// echoedPassword has a character for each encoding.
const echoedPassword = `hunter+2/ "of" <&>%41`

// An echo is a fault that knows which tokens were issued.
type echo func(*hidden) registrytest.Fault

// echoing answers with all that a request has: its headers, decoded too, its query and its body,
// in a style and in headers that have %s for it.
func echoing(status int, style func(string) string, headers ...string) echo {
	return func(seen *hidden) registrytest.Fault {
		return func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				sent := r.Header.Get("Authorization")
				if sent == "" { // the proxy has checked it
					sent = "Bearer " + seen.last()
				}
				_, value, _ := strings.Cut(sent, " ")
				body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<16))
				for i := 0; i+1 < len(headers); i += 2 {
					w.Header().Set(headers[i], fmt.Sprintf(headers[i+1], value))
				}
				w.WriteHeader(status)
				_, _ = io.WriteString(w, style(fmt.Sprint("you sent ", sent, " with ", echoedPassword, " to ", r.URL.RawQuery, " ", string(body))))
			})
		}
	}
}

func asText(s string) string { return s }

func asJSON(s string) string { return errorBody("DENIED", s, s) }

// asTwice puts JSON into the text of JSON, as front servers write it.
func asTwice(s string) string {
	inner, _ := json.Marshal(s)
	return fmt.Sprintf(`{"error":"invalid_grant","error_description":%q}`, inner)
}

func asHTML(s string) string { return "<html><title>" + html.EscapeString(s) + "</title></html>" }

func asQuery(s string) string { return url.QueryEscape(s) }

func asCut(s string) string { return s[:min(len(s), 40)] + "..." }

func asBase64(s string) string {
	_, after, _ := strings.Cut(s, " with ")
	password, _, _ := strings.Cut(after, " to ")
	return base64.StdEncoding.EncodeToString([]byte(password)) + " " + base64.RawURLEncoding.EncodeToString([]byte(password))
}

// hidden are the tokens that were issued.
type hidden struct {
	mu     sync.Mutex
	tokens []string
}

// watch notes the tokens that a token service issues.
func (h *hidden) watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		recorded := httptest.NewRecorder()
		next.ServeHTTP(recorded, r)
		var answer struct{ Token string }
		if json.Unmarshal(recorded.Body.Bytes(), &answer) == nil && answer.Token != "" {
			h.mu.Lock()
			h.tokens = append(h.tokens, answer.Token)
			h.mu.Unlock()
		}
		w.WriteHeader(recorded.Code)
		_, _ = recorded.Body.WriteTo(w)
	})
}

// last returns the token that was issued last, or nothing secret.
func (h *hidden) last() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.tokens[max(0, len(h.tokens)-1):], "")
}

// check fails the test if a text has the beginning of a secret in any form.
func (h *hidden) check(t *testing.T, where, text string) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range append([]string{echoedPassword, "team:" + echoedPassword}, h.tokens...) {
		quoted, _ := json.Marshal(s)
		for _, form := range []string{
			s, string(quoted[1 : len(quoted)-1]), url.QueryEscape(s), url.PathEscape(s), html.EscapeString(s),
			base64.StdEncoding.EncodeToString([]byte(s)), base64.URLEncoding.EncodeToString([]byte(s)),
		} {
			if form = strings.TrimPrefix(form, "team"); strings.Contains(text, form[:min(len(form), 14)]) {
				t.Errorf("%s has %q: %s", where, form, text)
			}
		}
	}
}

// outputs mirrors as split, copy and report do, and returns all that they write.
func outputs(t *testing.T, keys *credentials.Keychain, lines ...string) map[string]string {
	t.Helper()
	config := settings()
	config.Retries = 2
	var plan, results, log, terminal bytes.Buffer
	logged := secret.NewWriter(&log)
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(logged, nil)))
	defer slog.SetDefault(before)
	if err := splitTo(t, &plan, clientAs(t, config, keys), mappingFile(t, lines...)); err != nil {
		t.Fatal(err)
	}
	planned := read(t, bytes.NewReader(plan.Bytes()))
	work, err := execute.Gather([]*stream.Content{planned})
	if err != nil {
		t.Fatal(err)
	}
	images, size := work.Work()
	display := progress.New(os.Stderr, slog.Default(), images, size)
	if err := work.Carry(t.Context(), mirror.Options{Client: clientAs(t, config, keys), Observer: display, Grace: time.Second}, &results); err != nil {
		t.Fatal(err)
	}
	display.Close()
	b := report.NewBuilder()
	for _, c := range []*stream.Content{planned, read(t, bytes.NewReader(results.Bytes()))} {
		if err := b.Add(c); err != nil {
			t.Fatal(err)
		}
	}
	all := map[string]string{"the plan": plan.String(), "the results": results.String(), "the log": log.String()}
	r := b.Report()
	if err := r.WriteTable(&terminal); err != nil {
		t.Fatal(err)
	}
	all["the terminal"] = terminal.String()
	for _, f := range r.Files() {
		var content bytes.Buffer
		if err := f.Write(&content); err != nil {
			t.Fatal(err)
		}
		all[f.Name] = content.String()
	}
	return all
}

// A registry, a token service or a CDN that echoes what it is sent puts no credential into
// anything that leaves the process.
func TestEchoedCredentialsAreHidden(t *testing.T) { // not parallel: it changes the default logger
	const anywhere, destination, source = "", "destination", "source"
	for _, c := range []struct {
		name, side, kind string
		fault            echo
		says             string // what the table has nevertheless
	}{
		{"a token service in JSON", source, "token", echoing(401, asJSON), "you sent Basic *** with *** to "},
		{"a token service in text", source, "token", echoing(400, asText), "you sent Basic ***"},
		{"a token service in HTML", source, "token", echoing(403, asHTML), "you sent Basic ***"},
		{"a token service in JSON in JSON", source, "token", echoing(400, asTwice), "you sent Basic ***"},
		{"a token service in a URL's form", source, "token", echoing(403, asQuery), "you+sent+Basic+***"},
		{"a token service that cuts", source, "token", echoing(403, asCut), "you sent Basic ***..."},
		{"a token service in base64", source, "token", echoing(403, asBase64), "*** ***"},
		{"a token service of the destination", destination, "token", echoing(500, asJSON), "HTTP 500"},
		{"a token service that redirects", source, "token", echoing(307, asText, "Location", "https://%s.example.com/"), "***"},
		{"a registry that refuses to read", source, "GET manifest", echoing(403, asJSON), "you sent Bearer ***"},
		{"a registry that challenges anew", source, "GET manifest", echoing(401, asText, "WWW-Authenticate", `Bearer realm="ftp://%s/"`), "ftp://***"},
		{"a registry that redirects", source, "GET manifest", echoing(307, asText, "Location", "ftp://u:p@example.com/%s"), "ftp://example.com/***"},
		{"a registry that names another digest", source, "GET manifest", echoing(200, asText, "Docker-Content-Digest", "%s"), ""},
		{"a registry that encodes", source, "GET manifest", echoing(200, asText, "Content-Encoding", "%s"), "***"},
		{"a registry that warns", source, "HEAD manifest", echoing(403, asText, "Warning", `299 - "you sent %s"`), ""},
		{"a registry that refuses uploads", destination, "POST", echoing(400, asJSON), "you sent Bearer ***"},
		{"a registry that leads uploads astray", destination, "POST", echoing(202, asText, "Location", "ftp://example.com/%s"), "ftp://example.com/***"},
		{"a registry that refuses manifests", destination, "PUT manifest", echoing(400, asTwice), "you sent Bearer ***"},
		{"a CDN", anywhere, "GET blob", echoing(403, asText), "with ***"},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := []string{""}
			user := &registrytest.Auth{Users: []registrytest.User{{Name: "team", Password: echoedPassword, Pull: all, Push: all}}}
			p := pair{newRegistry(t, user), newRegistry(t, user)}
			push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64"))
			seen := &hidden{}
			at := p.source.Proxy
			switch c.side {
			case destination:
				at = p.destination.Proxy
			case anywhere:
				at = newCDN(t, p)
			}
			rule := registrytest.FaultRule{Kind: c.kind, Fault: c.fault(seen)}
			if c.kind == http.MethodPost {
				rule = registrytest.FaultRule{Match: func(r *http.Request) bool { return r.Method == http.MethodPost }, Fault: rule.Fault}
			}
			at.Inject(rule)
			p.source.Inject(registrytest.FaultRule{Kind: "token", Fault: seen.watch})
			p.destination.Inject(registrytest.FaultRule{Kind: "token", Fault: seen.watch})
			written := outputs(t, loginTo(t, p.source.Host, p.destination.Host), line(p, "ci/a:v1", "m/a:v1"))
			for where, text := range written {
				seen.check(t, where, text)
			}
			if !strings.Contains(written["the terminal"], c.says) || !strings.Contains(written["the terminal"], "FAILED") {
				t.Errorf("the terminal shows %s\nwant %q", written["the terminal"], c.says)
			}
		})
	}
}

// loginTo returns credentials for registries, in the file of Docker.
func loginTo(t *testing.T, hosts ...string) *credentials.Keychain {
	t.Helper()
	auths := map[string]any{}
	for _, host := range hosts {
		auths[host] = map[string]string{"username": "team", "password": echoedPassword}
	}
	content, err := json.Marshal(map[string]any{"auths": auths})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := credentials.Load(func(name string) string { return map[string]string{"DOCKER_CONFIG": dir}[name] }, credentials.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}
