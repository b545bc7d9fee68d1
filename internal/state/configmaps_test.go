package state

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// kubeconfigVariable names a kubeconfig file for an API server whose user may do everything.
// The end-to-end run sets it.
const kubeconfigVariable = "IMAGEMIRROR_TEST_KUBECONFIG"

// cluster is a namespace on a real API server, with a user who may create and get ConfigMaps
// there and nothing else.
type cluster struct {
	admin, limited *rest.Config
	client         *rest.RESTClient // of the admin
	namespace      string
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	file := os.Getenv(kubeconfigVariable)
	if file == "" {
		t.Skipf("%s names no API server", kubeconfigVariable)
	}
	admin, err := clientcmd.BuildConfigFromFlags("", file)
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{admin: admin, namespace: "imagemirror-state-" + strings.ToLower(rand.Text()[:8])}
	c.client = c.open(t, admin, "admin", "").client.(*rest.RESTClient)
	c.limited = rest.CopyConfig(admin)
	c.limited.Impersonate.UserName = "imagemirror-test"
	c.create(t, "/api/v1/namespaces", object{"metadata": object{"name": c.namespace}})
	t.Cleanup(func() {
		// The test's context is over.
		if err := c.client.Delete().AbsPath("/api/v1/namespaces/" + c.namespace).Do(context.Background()).Error(); err != nil {
			t.Error(err)
		}
	})
	roles := "/apis/rbac.authorization.k8s.io/v1/namespaces/" + c.namespace
	c.create(t, roles+"/roles", object{
		"metadata": object{"name": "state"},
		"rules":    []object{{"apiGroups": []string{""}, "resources": []string{"configmaps"}, "verbs": []string{"create", "get"}}},
	})
	c.create(t, roles+"/rolebindings", object{
		"metadata": object{"name": "state"},
		"roleRef":  object{"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "state"},
		"subjects": []object{{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "imagemirror-test"}},
	})
	// The API server takes a moment to know of a Role.
	s := c.open(t, c.limited, "r", "")
	for _, err := got(t, s, "a"); !errors.Is(err, ErrNotThere); _, err = got(t, s, "a") {
		if !apierrors.IsForbidden(err) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return c
}

type object map[string]any

func (c *cluster) create(t *testing.T, path string, o object) {
	t.Helper()
	body, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.client.Post().AbsPath(path).SetHeader("Content-Type", "application/json").Body(body).Do(t.Context()).Error(); err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) open(t *testing.T, config *rest.Config, run, uid string) *configMaps {
	t.Helper()
	s, err := newConfigMaps(config, Location{Run: run, RunUID: uid, Namespace: c.namespace})
	if err != nil {
		t.Fatal(err)
	}
	return s.(*configMaps)
}

func TestConfigMaps(t *testing.T) {
	c := newCluster(t)
	open := func(t *testing.T, run string) Store { return c.open(t, c.limited, run, "") }
	testStore(t, open)
	t.Run("run", func(t *testing.T) { testRun(t, open) })
	testPieces(t, open)
	t.Run("names are valid and labels tell the run", func(t *testing.T) {
		run := strings.Repeat("long-name.", 25)
		run += "end"
		s := c.open(t, c.limited, run, "some-uid")
		name := strings.Repeat("x", maxObjectName)
		// The test looks at what was created, not at what is stored: without its owner, a ConfigMap
		// is soon deleted.
		m := &corev1.ConfigMap{}
		if err := s.create(t.Context(), name, m); err != nil {
			t.Fatal(err)
		}
		for _, n := range []string{name, chunkName(name, 0), chunkName(name, maxChunks)} {
			if problems := validation.IsDNS1123Subdomain(s.prefix + n); len(problems) > 0 {
				t.Errorf("%s: %v", s.prefix+n, problems)
			}
		}
		if !strings.HasPrefix(m.Labels[runLabel], "long-name.long-name") || len(m.OwnerReferences) != 1 {
			t.Fatalf("the labels are %v and the owners %v", m.Labels, m.OwnerReferences)
		}
		o := m.OwnerReferences[0]
		if o.APIVersion != "tekton.dev/v1" || o.Kind != "PipelineRun" || o.Name != run || o.UID != "some-uid" || o.BlockOwnerDeletion != nil || o.Controller != nil {
			t.Errorf("the owner is %+v", o)
		}
		if m.Immutable == nil || !*m.Immutable {
			t.Error("the ConfigMap may be changed")
		}
	})
	t.Run("a writer that died leaves no object", func(t *testing.T) {
		s := c.open(t, c.limited, "died", "")
		if err := s.create(t.Context(), chunkName("a", 0), &corev1.ConfigMap{BinaryData: map[string][]byte{chunkKey: []byte("half")}}); err != nil {
			t.Fatal(err)
		}
		if _, err := got(t, s, "a"); !errors.Is(err, ErrNotThere) {
			t.Errorf("getting it is %v, want that it is not there", err)
		}
		if err := s.Put(t.Context(), "a", literal("whole")); !errors.Is(err, ErrExists) {
			t.Errorf("putting it is %v, want that the name is taken", err)
		}
		// As if a copy died while it wrote: its attempt's number is used up.
		if err := s.create(t.Context(), chunkName("results-s0-1", 0), &corev1.ConfigMap{}); err != nil {
			t.Fatal(err)
		}
		r := &Run{store: s, name: "died", attempts: 3}
		if err := r.PutResults(t.Context(), "s0", results(part("s0", 7), 5)); err != nil {
			t.Fatal(err)
		}
		if got := told(r.Attempts(t.Context(), part("s0", 7))); got != "2 5 false\n" {
			t.Errorf("the attempts are\n%swant the second", got)
		}
	})
	t.Run("a Role without the verbs", func(t *testing.T) {
		other := c.open(t, c.limited, "r", "")
		other.namespace = "default"
		err := other.Put(t.Context(), "a", literal(""))
		if err == nil || !strings.Contains(err.Error(), `creating the ConfigMap r-a.0: configmaps is forbidden: User "imagemirror-test" cannot create resource "configmaps"`) {
			t.Errorf("got %v, want what is forbidden to whom", err)
		}
	})
}

// Every kind of damage to the ConfigMaps of an object is reported in one line.
func TestDamagedConfigMaps(t *testing.T) {
	c := newCluster(t)
	whole := c.open(t, c.limited, "whole", "")
	if err := whole.Put(t.Context(), "a", literal("content\n")); err != nil {
		t.Fatal(err)
	}
	index, err := whole.get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	chunk, err := whole.get(t.Context(), chunkName("a", 0))
	if err != nil {
		t.Fatal(err)
	}
	packed := string(chunk.BinaryData[chunkKey])
	for _, d := range []struct {
		name, key, value string // of the index
		chunk            string
		says             string
	}{
		{"nothing-wrong", countKey, "1", packed, ""},
		{"no-count", countKey, "", packed, `the index has "" chunks and the size "8"`},
		{"count-beyond-all", countKey, "1001", packed, `the index has "1001" chunks`},
		{"negative-size", sizeKey, "-8", packed, `the size "-8"`},
		{"chunk-missing", countKey, "2", packed, "getting the ConfigMap chunk-missing-a.1: it does not exist"},
		{"chunk-cut", countKey, "1", packed[:len(packed)-9], "unexpected EOF"},
		{"chunk-empty", countKey, "1", "", "EOF"},
		{"size-too-small", sizeKey, "7", packed, "the content has 8 bytes or more"},
		{"size-too-large", sizeKey, "9", packed, "the content has 8 bytes or more"},
		{"another-digest", digestKey, "00", packed, "the index has 8 and 00"},
	} {
		t.Run(d.name, func(t *testing.T) {
			s := c.open(t, c.limited, d.name, "")
			data := map[string]string{}
			for k, v := range index.Data {
				data[k] = v
			}
			data[d.key] = d.value
			err := errors.Join(
				s.create(t.Context(), chunkName("a", 0), &corev1.ConfigMap{BinaryData: map[string][]byte{chunkKey: []byte(d.chunk)}}),
				s.create(t.Context(), "a", &corev1.ConfigMap{Data: data}))
			if err != nil {
				t.Fatal(err)
			}
			content, err := got(t, s, "a")
			if d.says == "" {
				if diff := cmp.Diff("content\n", string(content)); diff != "" || err != nil {
					t.Errorf("%v, content (-want +got):\n%s", err, diff)
				}
				return
			}
			if err == nil || errors.Is(err, ErrNotThere) || !strings.Contains(err.Error(), "are damaged: ") || !strings.Contains(err.Error(), d.says) {
				t.Errorf("got %v, want an error that says %q", err, d.says)
			}
		})
	}
}

// An answer that is lost, and an API server that is away for a moment, cost a try and no more.
func TestConfigMapsAreAskedForAgain(t *testing.T) {
	c := newCluster(t)
	backend, err := url.Parse(c.admin.Host)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := rest.TransportFor(c.admin)
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range []struct {
		name   string
		strike func(*http.Response) error
	}{
		{"the answer is lost", func(*http.Response) error { panic(http.ErrAbortHandler) }},
		{"the server is away", func(r *http.Response) error { r.StatusCode = http.StatusServiceUnavailable; return nil }},
	} {
		t.Run(fault.name, func(t *testing.T) {
			struck := map[string]bool{}
			proxy := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(backend) }}
			proxy.ModifyResponse = func(r *http.Response) error {
				at := r.Request.Method
				if struck[at] {
					return nil
				}
				struck[at] = true
				return fault.strike(r)
			}
			server := httptest.NewServer(proxy)
			defer server.Close()
			s := c.open(t, &rest.Config{Host: server.URL}, strings.ReplaceAll(fault.name, " ", "-"), "")
			if err := s.Put(t.Context(), "a", literal("content")); err != nil {
				t.Fatal(err)
			}
			if text, err := got(t, s, "a"); err != nil || string(text) != "content" {
				t.Errorf("got %q, %v", text, err)
			}
			if !struck[http.MethodPost] || !struck[http.MethodGet] {
				t.Errorf("only %v was struck", struck)
			}
		})
	}
}
