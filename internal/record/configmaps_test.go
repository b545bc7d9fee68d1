package record

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"imagemirror/internal/stream"
)

// kubeconfigVariable names a kubeconfig file for an API server whose user may do everything.
// The end-to-end run sets it.
const kubeconfigVariable = "IMAGEMIRROR_TEST_KUBECONFIG"

// small makes records need segments that would fit into an index.
var small = limits{inline: 250, segment: 1200, claim: 300 * time.Millisecond}

// A cluster is a namespace on a real API server.
type cluster struct {
	config    *rest.Config
	namespace string
	admin     *ConfigMaps
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	file := os.Getenv(kubeconfigVariable)
	if file == "" {
		t.Skipf("%s names no API server", kubeconfigVariable)
	}
	config, err := clientcmd.BuildConfigFromFlags("", file)
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{config: config, namespace: "imagemirror-record-" + strings.ToLower(rand.Text()[:8])}
	c.admin = c.open(t, nil)
	namespace := c.admin.client.Post().AbsPath("/api/v1/namespaces").SetHeader("Content-Type", "application/json")
	body, _ := json.Marshal(map[string]any{"metadata": map[string]any{"name": c.namespace}})
	if err := namespace.Body(body).Do(t.Context()).Error(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The test's context is over.
		if err := c.admin.client.Delete().AbsPath("/api/v1/namespaces/" + c.namespace).Do(context.Background()).Error(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// open returns a store whose requests pass through, if it is not nil.
func (c *cluster) open(t *testing.T, through func(http.RoundTripper) http.RoundTripper) *ConfigMaps {
	t.Helper()
	config := rest.CopyConfig(c.config)
	if through != nil {
		config.Wrap(through)
	}
	s, err := OpenConfigMaps(config, c.namespace)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// roundTrip makes a RoundTripper of a function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// count returns a wrapper that counts requests by method, and statuses 409.
func count(requests *sync.Map) func(http.RoundTripper) http.RoundTripper {
	add := func(key string) {
		n, _ := requests.LoadOrStore(key, new(atomic.Int64))
		n.(*atomic.Int64).Add(1)
	}
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			add(r.Method)
			response, err := next.RoundTrip(r)
			if err == nil && response.StatusCode == http.StatusConflict {
				add("conflict")
			}
			return response, err
		})
	}
}

func counts(requests *sync.Map) string {
	var all []string
	for _, key := range []string{"GET", "POST", "PUT", "conflict"} {
		if n, ok := requests.Load(key); ok {
			all = append(all, fmt.Sprint(key, " ", n.(*atomic.Int64).Swap(0)))
		}
	}
	return strings.Join(all, ", ")
}

func TestConfigMaps(t *testing.T) {
	c := newCluster(t)
	testStore(t, c.admin)
	for _, w := range []struct {
		set    string
		limits limits
	}{{"inline", c.admin.limits}, {"segments", limits{inline: 0, segment: maxSegment, claim: 5 * time.Second}}} {
		t.Run("eight writers, "+w.set, func(t *testing.T) {
			var requests sync.Map
			var stores []Store
			for range 8 {
				s := c.open(t, count(&requests))
				s.limits = w.limits
				stores = append(stores, s)
			}
			testWriters(t, w.set, 3, stores...)
			t.Log("24 updates:", counts(&requests))
		})
	}
}

// keep applies a run and returns the record that is stored then.
func keep(t *testing.T, s Store, set string, u Update) *Record {
	t.Helper()
	if err := s.Update(t.Context(), set, func(r *Record) *Record { return r.Apply(u) }); err != nil {
		t.Fatal(err)
	}
	return load(t, s, set)
}

// manyLines returns results with digests that do not compress.
func manyLines(n, generation int) []line {
	var all []line
	for i := range n {
		all = append(all, line{fmt.Sprintf("v%d", i), stream.Copied, string("abcdef"[(i+generation)%6]), ""})
	}
	return all
}

// A record grows from its index into segments, and into more of them, and comes back.
func TestRecordsGrowAndShrink(t *testing.T) {
	c := newCluster(t)
	c.admin.limits = small
	want := New("tekton")
	segments := map[int]bool{}
	for n, size := range []int{1, 2, 40, 90, 150, 150, 3, 1, 60} {
		u := run(n*800, manyLines(size, n)...)
		want = want.Apply(u)
		if diff := cmp.Diff(want, keep(t, c.admin, "tekton", u)); diff != "" {
			t.Fatalf("run %d, the record (-want +got):\n%.2000s", n, diff)
		}
		o, err := c.admin.readIndex(t.Context(), "tekton")
		if err != nil || o.Claim != nil {
			t.Fatalf("the index is %+v, %v", o, err)
		}
		segments[len(o.Segments)] = true
	}
	if len(segments) < 4 || !segments[0] {
		t.Errorf("there were %v segments", segments)
	}
}

// What an update costs.
func TestRequestsOfAnUpdate(t *testing.T) {
	c := newCluster(t)
	var requests sync.Map
	s := c.open(t, count(&requests))
	for _, c := range []struct {
		name, want string
		update     Update
		limits     limits
	}{
		{"the first run", "GET 1, POST 1", run(0, manyLines(1, 0)...), c.admin.limits},
		{"another run", "GET 1, POST 0, PUT 1", run(1, manyLines(1, 1)...), c.admin.limits},
		{"the same run", "GET 1, POST 0, PUT 0", run(1, manyLines(1, 1)...), c.admin.limits},
		{"from one to two segments", "GET 3, POST 2, PUT 2", run(2, manyLines(90, 2)...), small},
		{"all of them change", "GET 5, POST 2, PUT 2", run(3, manyLines(90, 3)...), small},
		{"all of them change again", "GET 3, POST 0, PUT 4", run(4, manyLines(90, 4)...), small},
		{"nothing changes", "GET 3, POST 0, PUT 1", run(5, manyLines(90, 4)...), small},
		{"one changes", "GET 3, POST 0, PUT 3", run(6, append(manyLines(89, 4), line{"v89", stream.Failed, "", ""})...), small},
	} {
		s.limits = c.limits
		if err := s.Update(t.Context(), "tekton", func(r *Record) *Record { return r.Apply(c.update) }); err != nil {
			t.Fatal(err)
		}
		if got := counts(&requests); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// dying returns a wrapper after which the nth request is not sent, or is sent and its response
// lost, and no other request is sent.
func dying(n int, sent bool, cancel func()) func(http.RoundTripper) http.RoundTripper {
	var seen atomic.Int64
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			switch at := int(seen.Add(1)); {
			case at < n:
				return next.RoundTrip(r)
			case at == n && sent:
				if response, err := next.RoundTrip(r); err == nil {
					response.Body.Close()
				}
			}
			cancel()
			return nil, errors.New("killed")
		})
	}
}

// A writer that is killed between any two requests leaves the record before or after, and the next
// update is like any other.
func TestKilledWritersLeaveTheRecordBeforeOrAfter(t *testing.T) {
	c := newCluster(t)
	for _, sent := range []bool{false, true} {
		for _, scenario := range []struct {
			name   string
			before int
		}{{"new", 0}, {"inline", 1}, {"segments", 90}} {
			for n := 1; ; n++ {
				set := fmt.Sprintf("%s-%v-%d", scenario.name, sent, n)
				before := New(set)
				c.admin.limits = small
				if scenario.before > 0 {
					before = keep(t, c.admin, set, run(0, manyLines(scenario.before, 0)...))
				}
				ctx, cancel := context.WithCancel(t.Context())
				victim := c.open(t, dying(n, sent, cancel))
				victim.limits = small
				u := run(1, manyLines(90, 1)...)
				err := victim.Update(ctx, set, func(r *Record) *Record { return r.Apply(u) })
				cancel()
				c.checkAfterDeath(t, set, before, u, err == nil)
				if err == nil {
					break
				}
			}
		}
	}
}

// checkAfterDeath checks what a writer left of an update, and that the update can be repeated.
func (c *cluster) checkAfterDeath(t *testing.T, set string, before *Record, u Update, whole bool) {
	t.Helper()
	after := before.Apply(u)
	got, err := c.admin.Load(t.Context(), set)
	if errors.Is(err, ErrNone) && len(before.Runs) == 0 {
		got, err = before, nil
	}
	if err != nil {
		t.Fatalf("%s: %v", set, err)
	}
	if !cmp.Equal(got, after) && (whole || !cmp.Equal(got, before)) {
		t.Errorf("%s: the record is neither that before nor that after (-after +got):\n%.2000s", set, cmp.Diff(after, got))
	}
	if got := keep(t, c.admin, set, u); !cmp.Equal(got, after) {
		t.Errorf("%s: after another update (-want +got):\n%.2000s", set, cmp.Diff(after, got))
	}
}

// What is broken is kept aside, and a new record is begun. What is newer is left alone.
func TestBrokenConfigMaps(t *testing.T) {
	c := newCluster(t)
	c.admin.limits = small
	u := run(1, manyLines(90, 1)...)
	for _, b := range []struct {
		name, object string
		harm         func(m *corev1.ConfigMap)
		newer        bool
	}{
		{"index-garbage", "record-", func(m *corev1.ConfigMap) { m.Data[indexKey] = "garbage" }, false},
		{"index-null", "record-", func(m *corev1.ConfigMap) { m.Data[indexKey] = `{"version":1,"segments":[null]}` }, false},
		{"index-missing", "record-", func(m *corev1.ConfigMap) { m.Data = nil }, false},
		{"index-newer", "record-", func(m *corev1.ConfigMap) { m.Data[indexKey] = `{"version":2,"new":1}` }, true},
		{"head-garbage", "record-", func(m *corev1.ConfigMap) { m.BinaryData[headKey] = []byte("x") }, false},
		{"head-hostile", "record-", func(m *corev1.ConfigMap) {
			m.BinaryData[headKey], _ = compress([]byte(`{"version":1,"runs":[null]}`))
		}, false},
		{"head-newer", "record-", func(m *corev1.ConfigMap) { m.BinaryData[headKey], _ = compress([]byte(`{"version":2}`)) }, true},
		{"segment-garbage", "record.a0-", func(m *corev1.ConfigMap) { m.BinaryData[partKey] = []byte("x") }, false},
		{"segment-other", "record.a0-", func(m *corev1.ConfigMap) {
			m.BinaryData[partKey], _ = compress([]byte(`{"version":1}` + "\n"))
		}, false},
		{"segment-bomb", "record.a0-", func(m *corev1.ConfigMap) {
			m.BinaryData[partKey], _ = compress([]byte(strings.Repeat(" ", maxPart+1)))
		}, false},
	} {
		t.Run(b.name, func(t *testing.T) {
			keep(t, c.admin, b.name, run(0, manyLines(90, 0)...))
			m, err := c.admin.get(t.Context(), b.object+b.name)
			if err != nil {
				t.Fatal(err)
			}
			b.harm(m)
			if err := c.admin.put(t.Context(), m, true); err != nil {
				t.Fatal(err)
			}
			if _, err := c.admin.Load(t.Context(), b.name); err == nil || errors.Is(err, ErrNewer) != b.newer {
				t.Errorf("loading is %v", err)
			}
			err = c.admin.Update(t.Context(), b.name, func(r *Record) *Record { return r.Apply(u) })
			aside, lost := c.admin.get(t.Context(), asideName(b.name))
			if b.newer {
				if !errors.Is(err, ErrNewer) || !apierrors.IsNotFound(lost) {
					t.Errorf("updating is %v, aside %v", err, lost)
				}
				return
			}
			if err != nil || lost != nil || b.object == "record-" && !cmp.Equal(aside.BinaryData, m.BinaryData) {
				t.Fatalf("updating is %v, aside %v", err, lost)
			}
			if diff := cmp.Diff(New(b.name).Apply(u), load(t, c.admin, b.name)); diff != "" {
				t.Errorf("the record (-want +got):\n%.2000s", diff)
			}
		})
	}
}

// The ConfigMap that the installation creates is a record without runs.
func TestInstalledConfigMapIsEmpty(t *testing.T) {
	c := newCluster(t)
	m := &corev1.ConfigMap{}
	m.Name, m.Labels = "record-tekton", map[string]string{"imagemirror/set": "tekton"}
	if err := c.admin.put(t.Context(), m, false); err != nil {
		t.Fatal(err)
	}
	if _, err := c.admin.Load(t.Context(), "tekton"); !errors.Is(err, ErrNone) {
		t.Errorf("got %v, want ErrNone", err)
	}
	keep(t, c.admin, "tekton", run(0, manyLines(1, 0)...))
	o, err := c.admin.readIndex(t.Context(), "tekton")
	if err != nil || o.configMap.Labels["imagemirror/set"] != "tekton" || o.configMap.Labels[Label] != "tekton" {
		t.Errorf("the labels are %v, %v", o.configMap.Labels, err)
	}
}

// The figures of a record of 5,000 destinations that moved 20 times each.
func TestFiveThousandDestinations(t *testing.T) {
	c := newCluster(t)
	var requests sync.Map
	s := c.open(t, count(&requests))
	before := large(5000, MaxMoves)
	if err := s.Update(t.Context(), "openshift", func(*Record) *Record { return before }); err != nil {
		t.Fatal(err)
	}
	t.Logf("created: %s", counts(&requests))
	for _, change := range []struct {
		name  string
		moved int
		asked string
	}{
		{"nothing moved", 0, "GET 9, POST 0, PUT 1"},
		{"one image moved", 1, "GET 10, POST 1, PUT 2"}, // the first segment of the other generation
		{"all moved", 5000, "GET 16, POST 7, PUT 3"},
		{"all moved again", 4999, "GET 9, POST 0, PUT 10"},
	} {
		began := time.Now()
		u := again(before, change.moved)
		if err := s.Update(t.Context(), "openshift", func(r *Record) *Record { return r.Apply(u) }); err != nil {
			t.Fatal(err)
		}
		took := time.Since(began).Round(time.Millisecond)
		asked := counts(&requests)
		if asked != change.asked {
			t.Errorf("%s: %s, want %s", change.name, asked, change.asked)
		}
		segments, bytes := sizes(t, c.admin, "openshift")
		t.Logf("%s: %s in %v; %d segments, %d bytes with the index", change.name, asked, took, segments, bytes)
	}
	if r := load(t, s, "openshift"); len(r.Destinations) != 5000 || len(r.Destinations[7].Moves) != MaxMoves {
		t.Errorf("there are %d destinations with %d moves", len(r.Destinations), len(r.Destinations[7].Moves))
	}
}

// sizes returns the number of a record's segments that are in use, and the bytes of the record.
func sizes(t *testing.T, s *ConfigMaps, set string) (segments, bytes int) {
	t.Helper()
	o, err := s.readIndex(t.Context(), set)
	if err != nil {
		t.Fatal(err)
	}
	bytes = len(o.configMap.BinaryData[headKey]) + len(o.configMap.BinaryData[partKey])
	for i, one := range o.Segments {
		m, err := s.get(t.Context(), segmentName(set, one.Generation, i))
		if err != nil {
			t.Fatal(err)
		}
		bytes += len(m.BinaryData[partKey])
	}
	return len(o.Segments), bytes
}

// again returns a run of the same destinations. The first n of them move.
func again(r *Record, n int) Update {
	var all []line
	for i, d := range r.Destinations {
		l := line{d.Name, stream.Current, "a", ""}
		if i < n {
			l.status = stream.Copied
		}
		all = append(all, l)
	}
	u := run(MaxRuns+n, all...)
	for i, m := range u.Report.Results {
		d := r.Destinations[i]
		m.Destination, m.Digest, m.Source, m.File, m.Line = d.Name, d.Digest, d.Source, d.File, d.Line
		if i < n {
			m.Digest = "sha256:" + contentHash([]byte(fmt.Sprint(i, n)))
		}
	}
	return u
}
