package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// The secrets of the commands.
const (
	user     = "team"
	password = `hunter2+/"of"<&>%41`
	token    = "issued.to.the.team-0123456789abcdef"
)

// An echoCase is a registry that sends back what it is sent.
type echoCase struct {
	name  string
	serve func(e *echoer, w http.ResponseWriter, q *http.Request) (echoes int) // the status of an answer that echoes; 0: it does not
}

var echoCases = []echoCase{
	{"a registry, after Basic", func(_ *echoer, w http.ResponseWriter, q *http.Request) int {
		return afterChallenge(w, q, `Basic realm="x"`, http.StatusForbidden)
	}},
	{"a registry, after a token", func(e *echoer, w http.ResponseWriter, q *http.Request) int {
		if q.URL.Path == "/token" {
			fmt.Fprintf(w, `{"token":%q}`, token)
			return 0
		}
		return afterChallenge(w, q, e.bearer(), http.StatusBadRequest)
	}},
	{"a registry that is broken", func(_ *echoer, w http.ResponseWriter, q *http.Request) int {
		return afterChallenge(w, q, `Basic realm="x"`, http.StatusInternalServerError)
	}},
	{"a token service", func(e *echoer, w http.ResponseWriter, q *http.Request) int {
		if q.URL.Path == "/token" {
			return http.StatusUnauthorized
		}
		return afterChallenge(w, q, e.bearer(), http.StatusForbidden)
	}},
	{"a token service, as the token", func(e *echoer, w http.ResponseWriter, q *http.Request) int {
		if q.URL.Path == "/token" {
			_, basic, _ := strings.Cut(q.Header.Get("Authorization"), "Basic ")
			fmt.Fprintf(w, `{"token":%q}`, basic)
			return 0
		}
		return afterChallenge(w, q, e.bearer(), http.StatusForbidden)
	}},
	{"a CDN", func(e *echoer, w http.ResponseWriter, q *http.Request) int {
		switch status := afterChallenge(w, q, `Basic realm="x"`, http.StatusForbidden); {
		case status == 0 || strings.HasPrefix(q.URL.Path, "/cdn/"):
			return status
		case strings.Contains(q.URL.Path, "/blobs/"):
			sent := base64.RawURLEncoding.EncodeToString([]byte(q.Header.Get("Authorization")))
			http.Redirect(w, q, e.cdn+"/cdn/"+sent+"?authorization="+url.QueryEscape(q.Header.Get("Authorization")), http.StatusTemporaryRedirect)
		default:
			e.content.ServeHTTP(w, q)
		}
		return 0
	}},
}

// afterChallenge answers with a challenge, unless the request has credentials or is a CDN's: then
// it returns status.
func afterChallenge(w http.ResponseWriter, q *http.Request, challenge string, status int) int {
	if q.Header.Get("Authorization") != "" || strings.HasPrefix(q.URL.Path, "/cdn/") {
		return status
	}
	w.Header().Set("WWW-Authenticate", challenge)
	w.WriteHeader(http.StatusUnauthorized)
	return 0
}

// An echoer is a registry of a case.
type echoer struct {
	echoCase
	host, cdn string
	content   *hostile
}

func (e *echoer) bearer() string { return `Bearer realm="http://` + e.host + `/token",service="x"` }

func (e *echoer) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	status := e.serve(e, w, q)
	if status == 0 {
		return
	}
	sent := fmt.Sprint(q.Method, " ", q.URL, " ", q.Header)
	_, basic, _ := strings.Cut(q.Header.Get("Authorization"), "Basic ")
	if plain, err := base64.StdEncoding.DecodeString(basic); err == nil {
		sent += " " + string(plain) + " " + url.QueryEscape(string(plain)) + " " + html.EscapeString(string(plain))
	}
	for name, values := range q.Header {
		w.Header()["X-Echo-"+name] = values
	}
	w.Header().Set("Www-Authenticate", "Basic realm="+fmt.Sprintf("%.200q", sent))
	w.Header().Set("Warning", "299 - "+fmt.Sprintf("%.200q", sent))
	w.WriteHeader(status)
	words, _ := json.Marshal(sent[max(0, len(sent)-200):])
	fmt.Fprintf(w, `{"errors":[{"code":"DENIED","message":%s,"detail":%s}],"error":%[1]s,"token":%[1]s}`, words, words)
}

var echoPart = trial{
	name: "Echoes", cases: []string{"as sources and as destinations"},
	columns: "What split, copy, report and run write is searched for the password, the token and their forms.\n\n" +
		"| what echoes | bytes that were searched | places where something was hidden | secrets found |\n| :-- | --: | --: | --: |",
	run: (*torturer).echo,
}

// echo mirrors from and to registries that echo, at the same time: much of it is waiting.
func (t *torturer) echo(ctx context.Context, _ string) error {
	rows, errs := make([][]any, len(echoCases)), make([]error, len(echoCases))
	var all sync.WaitGroup
	for i, c := range echoCases {
		all.Go(func() { rows[i], errs[i] = t.echoCase(ctx, c) })
	}
	all.Wait()
	for _, r := range rows {
		t.row(r...)
	}
	return errors.Join(errs...)
}

// echoCase runs one case, and returns its row.
func (t *torturer) echoCase(ctx context.Context, c echoCase) (row []any, err error) {
	e := &echoer{echoCase: c, content: &hostile{}}
	e.content.prepare(func(*hostile) {}, 2)
	e.host = listen(e)
	e.cdn = "http://" + e.host
	empty := listen(nothingThere{})
	lines := addHost(nil, e.host, "mirror", &hostile{}, func(*hostile) {}, nil)
	for i := range 2 {
		lines = append(lines, fmt.Sprintf("%s/good/%d:v1 %s/good/%[2]d:v1", e.host, i, empty))
	}
	work, mapping, err := t.work(append(lines, e.host+"/evil/more:* "+empty+"/more"))
	if err != nil {
		return nil, err
	}
	if err := t.echoed(ctx, work, mapping, e.host); err != nil {
		return nil, err
	}
	size, hidden, found := search(work)
	if len(found) > 0 || hidden == 0 {
		t.fail("%s: %d places have something hidden, and secrets are in %q", c.name, hidden, found)
	}
	return []any{c.name, size, hidden, len(found)}, nil
}

// echoed runs the commands with credentials for a host. All that they write is in work.
func (t *torturer) echoed(ctx context.Context, work, mapping, host string) error {
	in := func(name string) string { return filepath.Join(work, name) }
	login, err := json.Marshal(map[string]any{"auths": map[string]any{host: map[string]string{"username": user, "password": password}}})
	if err != nil {
		return err
	}
	secrets, err := os.MkdirTemp(t.dir, "secrets")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(secrets, "config.json"), login, 0o600); err != nil {
		return err
	}
	env := append(slices.Clone(hurry), "DOCKER_CONFIG="+secrets, "MIRROR_RETRIES=1")
	state := append(slices.Clone(env), "MIRROR_STATE="+in("state"), "MIRROR_RUN=echo")
	for i, j := range []job{
		{command: []string{"split", mapping}, env: env},
		{command: []string{"copy", "-out", in("results"), in("0.out")}, env: env},
		{command: []string{"report", "-out", in("report"), in("0.out"), in("results")}, env: env},
		{command: []string{"split", mapping}, env: state},
		{command: []string{"copy", "s0"}, env: state},
		{command: []string{"report", "-out", in("kept")}, env: state},
		{command: []string{"run", "-out", in("run"), mapping}, env: env},
		{command: []string{"check", "-online", mapping}, env: env},
	} {
		j.output = in(fmt.Sprint(i, ".out"))
		o, err := t.run(ctx, j)
		if err != nil {
			return err
		}
		if o.crashed() {
			t.fail("%q: exit status %d: %s", j.command, o.status, o.end())
		}
		if err := os.WriteFile(in(fmt.Sprint(i, ".err")), []byte(o.said), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// search searches all files below a directory for secrets. It returns what it read, how often
// something is hidden, and where it found a secret.
func search(dir string) (size, hidden int, found []string) {
	_ = filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		text := string(content)
		size += len(text)
		hidden += strings.Count(text, "***")
		for _, form := range forms() {
			if strings.Contains(text, form) {
				found = append(found, filepath.Base(path)+": "+form)
			}
		}
		return err
	})
	return size, hidden, found
}

// forms returns the beginnings of the secrets in all forms in which they may be shown.
func forms() (all []string) {
	for _, secret := range []string{password, user + ":" + password, token} {
		quoted, _ := json.Marshal(secret)
		for _, f := range []string{
			secret, string(quoted[1 : len(quoted)-1]), url.QueryEscape(secret), url.PathEscape(secret), html.EscapeString(secret),
			base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret)),
		} {
			all = append(all, strings.TrimPrefix(f, user)[:12])
		}
	}
	return all
}
