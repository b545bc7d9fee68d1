package state

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"imagemirror/internal/stream"
)

// An apiServer creates and gets ConfigMaps, as anybody leaves them there.
type apiServer struct {
	mu      sync.Mutex
	objects map[string]*corev1.ConfigMap
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	fail := func(status int, reason metav1.StatusReason) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Reason: reason, Code: int32(status)})
	}
	m := &corev1.ConfigMap{}
	if r.Method == http.MethodGet {
		if m = s.objects[r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]]; m == nil {
			fail(http.StatusNotFound, metav1.StatusReasonNotFound)
			return
		}
	} else if err := json.NewDecoder(r.Body).Decode(m); err != nil || s.objects[m.Name] != nil {
		fail(http.StatusConflict, metav1.StatusReasonAlreadyExists)
		return
	}
	m.TypeMeta = metav1.TypeMeta{Kind: "ConfigMap", APIVersion: "v1"}
	s.objects[m.Name] = m
	_ = json.NewEncoder(w).Encode(m)
}

// newAPIServer returns an apiServer, and what opens a run there.
func newAPIServer(t testing.TB) (*apiServer, func(run, uid string) *configMaps) {
	server := &apiServer{objects: map[string]*corev1.ConfigMap{}}
	s := httptest.NewServer(server)
	t.Cleanup(s.Close)
	return server, func(run, uid string) *configMaps {
		store, err := newConfigMaps(&rest.Config{Host: s.URL}, Location{Run: run, RunUID: uid, Namespace: "default"})
		if err != nil {
			t.Fatal(err)
		}
		return store.(*configMaps)
	}
}

func TestConfigMapsWithoutCluster(t *testing.T) {
	_, open := newAPIServer(t)
	at := func(_ *testing.T, run string) Store { return open(run, "uid") }
	testStore(t, at)
	t.Run("run", func(t *testing.T) { testRun(t, at) })
}

func packed(content []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(content)
	_ = z.Close()
	return b.Bytes()
}

// What an index claims costs nothing, and what does not fit to it is refused by name.
func TestHostileConfigMaps(t *testing.T) {
	server, open := newAPIServer(t)
	content := []byte("content\n")
	index := map[string]string{countKey: "1", sizeKey: "8", digestKey: fmt.Sprintf("%x", sha256.Sum256(content))}
	bomb := packed(make([]byte, 256<<20))
	for i, c := range []struct {
		name, key, value string // of the index
		chunk            map[string][]byte
		says             string
	}{
		{"good", countKey, "1", nil, ""},
		{"claims 2^40 bytes", sizeKey, "1099511627776", nil, "the index has the size 1099511627776, and at most 100 are allowed"},
		{"claims 2^62 bytes", sizeKey, "4611686018427387904", nil, "at most 100 are allowed"},
		{"claims more than can be counted", sizeKey, "9223372036854775808", nil, `the size "9223372036854775808"`},
		{"unpacks to 256 MiB", countKey, "1", map[string][]byte{chunkKey: bomb}, "the content has 9 bytes or more"},
		{"more chunks than there may be", countKey, "1000000000", nil, `the index has "1000000000" chunks`},
		{"another key", "more", "x", nil, "the index has other keys than chunks, size and sha256"},
		{"a chunk of another key", countKey, "1", map[string][]byte{"tgz": packed(content)}, "chunk 0 has other keys than gz"},
		{"a chunk of two keys", countKey, "1", map[string][]byte{chunkKey: packed(content), "x": nil}, "chunk 0 has other keys than gz"},
		{"a chunk that is too large", countKey, "1", map[string][]byte{chunkKey: make([]byte, chunkSize+1)}, "or more than 917504 bytes"},
		{"data behind the content", countKey, "1", map[string][]byte{chunkKey: append(packed(content), packed([]byte("x"))...)}, "the content has 9 bytes or more"},
		{"garbage behind the content", countKey, "1", map[string][]byte{chunkKey: append(packed(content), "garbage garbage"...)}, "gzip: invalid header"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(fmt.Sprint("r", i), "")
			m := &corev1.ConfigMap{Data: map[string]string{c.key: c.value}}
			for k, v := range index {
				if k != c.key {
					m.Data[k] = v
				}
			}
			if c.chunk == nil {
				c.chunk = map[string][]byte{chunkKey: packed(content)}
			}
			server.objects[s.prefix+"a"], server.objects[s.prefix+"a.0"] = m, &corev1.ConfigMap{BinaryData: c.chunk}
			var got []byte
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := s.Get(t.Context(), "a", 100, func(in io.Reader) (err error) {
				got, err = io.ReadAll(in)
				return err
			})
			runtime.ReadMemStats(&after)
			if c.says == "" {
				if err != nil || string(got) != string(content) {
					t.Errorf("got %q, %v", got, err)
				}
			} else if err == nil || !strings.Contains(err.Error(), "are damaged: ") || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %s", err, c.says)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > 32<<20 {
				t.Errorf("%d bytes were allocated", n)
			}
		})
	}
}

// A run with a UID reads nothing that another program created.
func TestForeignConfigMaps(t *testing.T) {
	for _, c := range []struct {
		name  string
		owner []metav1.OwnerReference
	}{
		{"no owner", nil},
		{"another run", []metav1.OwnerReference{{APIVersion: "tekton.dev/v1", Kind: "PipelineRun", Name: "r", UID: "other"}}},
		{"another kind", []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: "r", UID: "uid"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			server, open := newAPIServer(t)
			s := open("r", "uid")
			if err := s.Put(t.Context(), "a", literal("x")); err != nil {
				t.Fatal(err)
			}
			for _, object := range []string{"r-a.0", "r-a"} {
				kept := server.objects[object].OwnerReferences
				server.objects[object].OwnerReferences = c.owner
				_, err := got(t, s, "a")
				if err == nil || !strings.Contains(err.Error(), "getting the ConfigMap "+object+": the PipelineRun r (UID uid) does not own it") || !errors.Is(err, ErrForeign) {
					t.Errorf("%s: %v", object, err)
				}
				server.objects[object].OwnerReferences = kept
			}
			if _, err := got(t, s, "a"); err != nil {
				t.Error(err)
			}
			if _, err := got(t, open("r", ""), "a"); err != nil {
				t.Errorf("without a UID: %v", err)
			}
		})
	}
}

func TestDirectoryReadsFilesOnly(t *testing.T) {
	dir := t.TempDir()
	s, err := openDirectory(Location{State: dir, Run: "r"})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(syscall.Mkfifo(filepath.Join(dir, "r", "pipe"), 0o600), os.Mkdir(filepath.Join(dir, "r", "folder"), 0o700)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"pipe", "folder"} {
		if _, err := got(t, s, name); err == nil || !strings.HasSuffix(err.Error(), "it is not a file: start a new run") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// whole returns a run with a plan of two shards in a directory.
func whole(t testing.TB) (*Run, string) {
	dir := t.TempDir()
	s, err := openDirectory(Location{State: dir, Run: "r"})
	if err != nil {
		t.Fatal(err)
	}
	r := &Run{store: s, name: "r", attempts: 3}
	plan := []*stream.Content{part("", 1), part("s0", 2), part("s1", 3)}
	if err := errors.Join(r.Begin(t.Context()), r.PutPlan(t.Context(), plan, false)); err != nil {
		t.Fatal(err)
	}
	return r, filepath.Join(dir, "r")
}

// read reads the whole plan as report does.
func (r *Run) read(t *testing.T) error {
	o, err := r.Outline(t.Context())
	if err != nil {
		return err
	}
	_, err = r.Settled(t.Context(), o)
	for i := range o.Shards {
		err = errors.Join(err, r.Check(t.Context(), o, i))
	}
	return err
}

// A plan that is not of the split that began, or not of the parts beside it, is refused.
func TestSquattedPlans(t *testing.T) {
	other, at := whole(t)
	if err := other.read(t); err != nil {
		t.Fatal(err)
	}
	edit := func(object, old, with string) func(string) string {
		return func(string) string {
			content, err := os.ReadFile(filepath.Join(at, object))
			if err != nil || !bytes.Contains(content, []byte(old)) {
				t.Fatalf("%s does not have %s: %v", object, old, err)
			}
			return strings.ReplaceAll(string(content), old, with)
		}
	}
	as := func(content string) func(string) string { return func(string) string { return content } }
	change := func(old, with string) func(string) string {
		return func(s string) string {
			if !strings.Contains(s, old) {
				t.Fatalf("%s does not have %s", s, old)
			}
			return strings.Replace(s, old, with, 1)
		}
	}
	for _, c := range []struct {
		name, object string
		edit         func(string) string
		says         string
	}{
		{"of another split", "plan", edit("plan", "", ""), "plan of the run r was not written by the split that began the run: it is from another run"},
		{"begun by another", "begun", as("x"), "was not written by the split that began the run"},
		{"null shards, as the plan was before", "plan", as(`{"shards":[null]}` + "\n"), "plan of the run r:1: the stream has version 0, and this program reads version 3"},
		{"null shards", "plan", change(`"shards":["`, `"shards":[null,"`), "shard 3 in the plan of the run r: the input is empty"},
		{"a shard too few", "plan", func(s string) string { return s[:strings.LastIndex(s, `{"header"`)] }, "shard 2 in the plan of the run r: the input is empty"},
		{"a shard too many", "plan", func(s string) string { return s + "{}" }, "plan of the run r has more than 2 shards"},
		{"a shard twice", "plan", func(s string) string { return strings.ReplaceAll(s, `"shard":"s1"`, `"shard":"s0"`) }, `shard 2 in the plan of the run r has the name "s0" of another shard`},
		{"a path", "plan", change(`"shard":"s1"`, `"shard":"../../x"`), `has the name "../../x" of another shard or of none`},
		{"a mapping twice", "plan", func(s string) string { return strings.ReplaceAll(s, `"id":3`, `"id":2`) }, "shard 2 in the plan of the run r: mapping 2 is in another shard too"},
		{"a negative id", "plan", func(s string) string { return strings.ReplaceAll(s, `"id":3`, `"id":-3`) }, "the mapping has the negative id -3"},
		{"a huge count", "plan", change(`"mappings":1`, `"mappings":1099511627776`), "the header announces 1099511627776 mappings"},
		{"a null mapping", "plan", change(`{"mapping":{`, `{"mapping":null,"set":{`), "unknown key"},
		{"a key twice", "plan", change(`"run":"r"`, `"run":"r","run":"r"`), `the key "run" appears twice`},
		{"a key in another spelling", "plan", change(`"settled"`, `"Settled"`), `the key "Settled" has to be spelled "settled"`},
		{"an unknown key", "plan", change(`"settled"`, `"more":1,"settled"`), `unknown key "more"`},
		{"of the next release", "plan", change(`"version":3,"begun"`, `"version":4,"new":[],"begun"`), "plan of the run r:1: the stream has version 4, and this program reads version 3"},
		{"too many shards", "plan", change(`"shards":[`, `"shards":[`+strings.Repeat(`"",`, 256)), "the plan has 258 shards, and at most 256 are allowed"},
		{"an endless line", "plan", as(strings.Repeat("x", 1<<20)), "reading the head of the plan: bufio: buffer full"},
		{"of another run", "plan", change(`"run":"r"`, `"run":"q"`), `shard 1 in the plan of the run r is of the run "r", the plan of "q"`},
		{"another destination", "plan", change("d.io/e:f", "d.io/e:evil"), "shard-s0 of the run r is not what the plan lists"},
		{"another digest", "plan", change(`"copy":{"id":2,"digest":"sha256:05`, `"copy":{"id":2,"digest":"sha256:06`), "shard-s0 of the run r is not what the plan lists"},
		{"another settled part", "settled", change("d.io/e:f", "d.io/e:evil"), "settled of the run r is not what the plan lists"},
		{"a settled part that failed", "settled", change(`"status":"current"`, `"status":"failed","error":{"message":"m"}`), "settled of the run r is not what the plan lists"},
		{"a settled part of another run", "settled", change(`"run":"r"`, `"run":"q"`), `settled of the run r is of the run "q", the plan of "r"`},
		{"another shard", "shard-s1", change(`"content":"e30="`, `"content":"e30K"`), "shard-s1 of the run r is not what the plan lists"},
		{"a shard of another name", "shard-s1", edit("shard-s0", "", ""), "shard-s1 of the run r is not what the plan lists"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, dir := whole(t)
			file := filepath.Join(dir, c.object)
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(c.edit(string(content))), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := r.read(t); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got  %v\nwant %s", err, c.says)
			}
		})
	}
}

// A plan that is there before split is none of its own, and split cannot put another.
func TestPlanBeforeSplit(t *testing.T) {
	_, at := whole(t)
	dir := t.TempDir()
	s, err := openDirectory(Location{State: dir, Run: "r"})
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(at, "plan"))
	if err != nil {
		t.Fatal(err)
	}
	r := &Run{store: s, name: "r", attempts: 3}
	if err := s.Put(t.Context(), "plan", literal(string(content))); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Outline(t.Context()); !errors.Is(err, ErrForeign) {
		t.Errorf("before split, the plan is %v", err)
	}
	if err := r.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.PutPlan(t.Context(), []*stream.Content{part("", 1), part("s0", 2)}, false); !errors.Is(err, ErrExists) {
		t.Errorf("putting the plan is %v, want that it exists", err)
	}
	if _, err := r.Outline(t.Context()); !errors.Is(err, ErrForeign) {
		t.Errorf("after split, the plan is %v", err)
	}
}

func TestForeignResults(t *testing.T) {
	plan := part("s0", 2)
	for _, c := range []struct {
		name string
		edit func(*stream.Content)
		says string
	}{
		{"an extra mapping", func(c *stream.Content) {
			c.Header.Mappings = 2
			c.Mappings = append(c.Mappings, stream.Mapping{ID: 9, Source: "a.io/b:c", Destination: "d.io/evil:x"})
		}, `has the mapping 9 from "a.io/b:c" to "d.io/evil:x", which the plan's shard does not have`},
		{"another destination", func(c *stream.Content) {
			c.Mappings = []stream.Mapping{{ID: 2, Source: "a.io/b:c", Destination: "d.io/x:y"}}
		}, "has the mapping 2 "},
		{"another run", func(c *stream.Content) { c.Header.Run = "q" }, `has results of the shard "s0" of "q", the plan is "r"`},
		{"another shard", func(c *stream.Content) { c.Header.Shard = "s1" }, `has results of the shard "s1" of "r"`},
		{"fewer mappings", func(c *stream.Content) { c.Header.Mappings, c.Mappings, c.Results = 0, nil, nil }, "announces 0 mappings, but the plan's shard has 1"},
		{"a plan", func(c *stream.Content) { c.Header.Stream, c.Results[0].Status = stream.Plan, stream.Current }, "results-s0-1 of the run r is a plan"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, _ := whole(t)
			forged := *plan
			forged.Header.Stream, forged.Manifests, forged.Copies = stream.Results, nil, nil
			forged.Results = []stream.Result{{ID: 2, Status: stream.Copied, Digest: digest}}
			c.edit(&forged)
			if err := errors.Join(r.PutResults(t.Context(), "s0", &forged), r.PutResults(t.Context(), "s0", results(plan, 1))); err != nil {
				t.Fatal(err)
			}
			all := r.Attempts(t.Context(), plan)
			if len(all) != 2 || all[0].Results != nil || all[1].Err != nil {
				t.Fatalf("the attempts are %+v", all)
			}
			if err := all[0].Err; !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got  %v\nwant %s", err, c.says)
			}
		})
	}
}

// Nobody writes what a reader refuses.
func TestObjectsAreBoundedForTheirWriters(t *testing.T) {
	r, _ := whole(t)
	if err := r.Refuse(t.Context(), errors.New(strings.Repeat("line\n", maxRefusal))); err != nil {
		t.Fatal(err)
	}
	if lines, err := r.Refusal(t.Context()); err != nil || len(lines) < maxRefusal/5 {
		t.Errorf("%d lines, %v", len(lines), err)
	}
	err := r.put(t.Context(), "large", 9, literal("0123456789"))
	if err == nil || err.Error() != "large of the run r is larger than report and copy read: mirror fewer images in a run" {
		t.Errorf("putting it is %v", err)
	}
	if _, err := r.get(t.Context(), "large", 9); !errors.Is(err, ErrNotThere) {
		t.Errorf("it is %v", err)
	}
}

// FuzzOutline: nothing makes the reader panic, and what it accepts can be relied on.
func FuzzOutline(f *testing.F) {
	_, at := whole(f)
	plan, err := os.ReadFile(filepath.Join(at, "plan"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plan)
	f.Add([]byte(`{"shards":[null]}` + "\n"))
	f.Add([]byte(`{"outline":{"version":3,"begun":"x","run":"r","settled":"","shards":[null]}}` + "\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		o, err := readOutline(bytes.NewReader(in), "plan")
		if err != nil {
			return
		}
		if len(o.Shards) != len(o.head.Shards) {
			t.Errorf("%d shards, and %d hashes", len(o.Shards), len(o.head.Shards))
		}
		for _, s := range o.Shards {
			if s.End == nil || s.Header.Run != o.head.Run || len(s.Mappings) != len(s.Copies) {
				t.Errorf("the shard is %+v", s)
			}
		}
	})
}

// FuzzConfigMaps: a reader returns what the index describes, or fails.
func FuzzConfigMaps(f *testing.F) {
	content := []byte("content\n")
	sum := fmt.Sprintf("%x", sha256.Sum256(content))
	f.Add("1", "8", sum, packed(content), []byte(nil))
	f.Add("2", "8", sum, packed(content)[:9], packed(content)[9:])
	f.Add("1", "1099511627776", sum, packed(make([]byte, 1<<20)), []byte(nil))
	f.Fuzz(func(t *testing.T, count, size, sum string, first, second []byte) {
		const limit = 1 << 10
		x, err := readIndex(&corev1.ConfigMap{Data: map[string]string{countKey: count, sizeKey: size, digestKey: sum}}, limit)
		if err != nil {
			return
		}
		chunks := &chunkReader{count: x.chunks, get: func(i int) (*corev1.ConfigMap, error) {
			if i > 1 {
				return nil, ErrNotThere
			}
			return &corev1.ConfigMap{BinaryData: map[string][]byte{chunkKey: [][]byte{first, second}[i]}}, nil
		}}
		in, err := x.unpack(chunks)
		if err != nil {
			return
		}
		got, err := io.ReadAll(in)
		if err != nil || in.check() != nil {
			return
		}
		if len(got) > limit || fmt.Sprint(len(got)) != strings.TrimLeft(size, "+0") && len(got) > 0 || fmt.Sprintf("%x", sha256.Sum256(got)) != sum {
			t.Errorf("%d bytes of %q are %q", len(got), size, got)
		}
	})
}
