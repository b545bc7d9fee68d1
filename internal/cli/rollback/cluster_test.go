package rollback

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"strconv"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"imagemirror/internal/record"
	"imagemirror/internal/state/statetest"
)

// A cluster serves ConfigMaps, which it replaces only if their version is the one that was read,
// and lists runs.
type cluster struct {
	mu      sync.Mutex
	objects map[string]*corev1.ConfigMap
	writes  int
	runs    string // the items of the list of PipelineRuns
}

func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	c.mu.Lock()
	defer c.mu.Unlock()
	if path.Base(r.URL.Path) == "pipelineruns" {
		fmt.Fprintf(w, `{"apiVersion": "tekton.dev/v1", "kind": "PipelineRunList", "metadata": {}, "items": [%s]}`, c.runs)
		return
	}
	name, code := path.Base(r.URL.Path), http.StatusOK
	if r.Method != http.MethodGet {
		var m corev1.ConfigMap
		if body, err := io.ReadAll(r.Body); err != nil || json.Unmarshal(body, &m) != nil {
			code = http.StatusBadRequest
		} else if old := c.objects[m.Name]; old != nil && old.ResourceVersion != m.ResourceVersion {
			code = http.StatusConflict
		} else {
			c.put(&m)
		}
		name = m.Name
	}
	if c.objects[name] == nil {
		code = http.StatusNotFound
	}
	if code != http.StatusOK {
		w.WriteHeader(code)
		reason := map[int]string{http.StatusNotFound: "NotFound", http.StatusConflict: "Conflict", http.StatusBadRequest: "BadRequest"}[code]
		fmt.Fprintf(w, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": %q, "code": %d}`, reason, code)
		return
	}
	_ = json.NewEncoder(w).Encode(c.objects[name])
}

func (c *cluster) put(m *corev1.ConfigMap) {
	c.writes++
	m.APIVersion, m.Kind, m.ResourceVersion = "v1", "ConfigMap", strconv.Itoa(c.writes)
	c.objects[m.Name] = m
}

// file makes a ConfigMap of files.
func (c *cluster) file(name string, files map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := &corev1.ConfigMap{Data: files}
	m.Name = name
	c.put(m)
}

// list sets the runs that the cluster lists from now on.
func (c *cluster) list(runs string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.runs = runs
}

// For a set on a cluster, the files and the record are those that are installed there. What the
// policy of the operator does not allow, and what a run that is under way could undo, is refused.
func TestRollbackOnACluster(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.reset(t)
	c := &cluster{objects: map[string]*corev1.ConfigMap{}}
	server := httptest.NewServer(c)
	defer server.Close()
	store, err := record.OpenConfigMaps(&rest.Config{Host: server.URL}, "mirror")
	if err != nil {
		t.Fatal(err)
	}
	before, err := record.Decode(s.record)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Update(t.Context(), "web", func(*record.Record) *record.Record { return before }); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for i, n := range s.names {
		lines = append(lines, fmt.Sprintf("%s/ci/image-%d:v1 %s", s.source.Host, i, n))
	}
	c.file("set-web", map[string]string{"mapping_x": strings.Join(lines, "\n"), "..": "x", "other": "x"})
	policy := "apiVersion: imagemirror/v1\nkind: Policy\nmetadata:\n  name: policy\nspec:\n  destinations: [%s]\n"
	c.file("policy", map[string]string{"policy.yaml": fmt.Sprintf(policy, s.destination.Host+"/m")})
	s.write(t, "kubeconfig", statetest.Kubeconfig(server.URL))
	run := func(args ...string) string {
		t.Helper()
		cmd := s.start(t)
		cmd.Args = append(cmd.Args[:1], args...)
		cmd.Env = append(cmd.Env, "KUBECONFIG=kubeconfig", "MIRROR_NAMESPACE=mirror")
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Sprintf("%s%v", out, err)
		}
		return string(out)
	}
	contains := func(got, want string) {
		t.Helper()
		if !strings.Contains(got, want) {
			t.Errorf("got\n%s\nwant %s", got, want)
		}
	}

	contains(run("web"), "Dry run: 3 of 3 tags to move back")
	c.list(`{"metadata": {"name": "mirror-web-x7k2p", "labels": {"imagemirror/set": "web"}}}`)
	contains(run("-apply", "web"), "the run mirror-web-x7k2p is under way and may move the tags again: wait for its end, or cancel it")
	c.list(`{"metadata": {"name": "mirror-api-x7k2p", "labels": {"imagemirror/set": "api"}}}`)
	c.file("policy", map[string]string{"policy.yaml": fmt.Sprintf(policy, "quay.io/other")})
	contains(run("-apply", "web"), "policy.yaml:6 allows (quay.io/other)")
	c.file("policy", map[string]string{"policy.yaml": fmt.Sprintf(policy, s.destination.Host+"/m")})
	contains(run("sets/web"), "no such file or directory")
	contains(run("none"), "getting the ConfigMap set-none")
	contains(run("-apply", "web"), "3 tags moved back")
	after, err := store.Load(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range s.names {
		if d := after.Destination(n); s.digestOf(t, n) != s.old[n] || d.Hold == nil || d.Hold.Digest != s.old[n] || d.Hold.Moving {
			t.Errorf("%s is at %s and has the hold %+v", n, s.digestOf(t, n), d.Hold)
		}
	}
}
