package registrytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A broken is a Proxy before a registry with one blob.
type broken struct {
	*Proxy
	blob, target string // content, and the URL that it is read from
	digest       string
}

func newBroken(t *testing.T, rules ...FaultRule) broken {
	t.Helper()
	r := Distribution(t, DistributionOptions{})
	blob := strings.Repeat("0123456789", 10_000)
	digest := upload(t, r.Host, "a", []byte(blob))
	p := NewProxy(t, r, ProxyOptions{})
	p.Inject(rules...)
	return broken{p, blob, fmt.Sprintf("http://%s/v2/a/blobs/%s", p.Host, digest), digest}
}

func TestRulesSelectRequests(t *testing.T) {
	teapot := Status(http.StatusTeapot, "")
	for _, test := range []struct {
		name string
		rule FaultRule
		want []int // statuses of four requests
	}{
		{"all", FaultRule{}, []int{418, 418, 418, 418}},
		{"kind", FaultRule{Kind: "GET blob"}, []int{418, 418, 418, 418}},
		{"other kind", FaultRule{Kind: "HEAD blob"}, []int{200, 200, 200, 200}},
		{"path", FaultRule{Path: regexp.MustCompile(`^/v2/a/.*\?n=[13]$`)}, []int{200, 418, 200, 418}},
		{"match", FaultRule{Match: func(r *http.Request) bool { return r.URL.Query().Get("n") == "2" }}, []int{200, 200, 418, 200}},
		{"after", FaultRule{After: 3}, []int{200, 200, 200, 418}},
		{"times", FaultRule{Times: 2}, []int{418, 418, 200, 200}},
		{"after and times", FaultRule{After: 1, Times: 1}, []int{200, 418, 200, 200}},
		{"chance", FaultRule{Chance: 0.5}, []int{200, 200, 418, 418}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.rule.Name, test.rule.Fault = test.name, teapot
			p := newBroken(t, test.rule)
			var got []int
			for n := range 4 {
				resp, _ := call(t, http.MethodGet, fmt.Sprintf("%s?n=%d", p.target, n), nil)
				got = append(got, resp.StatusCode)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			checkStruck(t, p, test.name)
			p.Heal()
			if resp, _ := call(t, http.MethodGet, p.target, nil); resp.StatusCode != http.StatusOK {
				t.Errorf("healed: got %d", resp.StatusCode)
			}
		})
	}
}

// checkStruck compares the requests that were struck with the counters and the log.
func checkStruck(t *testing.T, p broken, name string) {
	t.Helper()
	struck := 0
	for _, r := range p.Log() {
		if r.Status == http.StatusTeapot {
			struck++
		}
		if (r.Fault == name) != (r.Status == http.StatusTeapot) {
			t.Errorf("the log says %d by %q", r.Status, r.Fault)
		}
	}
	if got := p.Stats().Faults; got != struck {
		t.Errorf("%d faults are counted, want %d", got, struck)
	}
}

func TestFaultsChangeAnswers(t *testing.T) {
	date := time.Now().Add(time.Minute).UTC().Format(http.TimeFormat)
	for _, test := range []struct {
		name   string
		fault  Fault
		status int
		body   int // bytes that arrive
		cut    bool
		header [2]string
	}{
		{"status", Status(http.StatusServiceUnavailable, "busy", "X-Why", "busy"), 503, 4, false, [2]string{"X-Why", "busy"}},
		{"429 with seconds", TooManyRequests("7"), 429, 61, false, [2]string{"Retry-After", "7"}},
		{"429 with a date", TooManyRequests(date), 429, 61, false, [2]string{"Retry-After", date}},
		{"429 without", TooManyRequests(""), 429, 61, false, [2]string{"Retry-After", ""}},
		{"cut", Disconnect(), 0, 0, true, [2]string{}},
		{"cut behind the headers", CutAfter(0), 200, 0, true, [2]string{"Content-Length", "100000"}},
		{"cut in the body", CutAfter(70_001), 200, 70_001, true, [2]string{"Content-Length", "100000"}},
		{"cut behind the body", CutAfter(100_001), 200, 100_000, false, [2]string{}},
		{"lost answer", LoseAnswer(), 0, 0, true, [2]string{}},
		{"truncate", Truncate(50_001), 200, 50_001, false, [2]string{"Content-Length", ""}},
		{"wait", Delay(time.Millisecond), 200, 100_000, false, [2]string{}},
		{"header taken away", SetHeader("docker-content-digest", ""), 200, 100_000, false, [2]string{"Docker-Content-Digest", ""}},
		{"header changed", SetHeader("Docker-Content-Digest", "x"), 200, 100_000, false, [2]string{"Docker-Content-Digest", "x"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newBroken(t, FaultRule{Fault: test.fault})
			resp, body, err := try(t, http.DefaultClient, http.MethodGet, p.target, nil)
			if (err != nil) != test.cut {
				t.Errorf("got error %v, want one: %t", err, test.cut)
			}
			if resp == nil {
				resp = &http.Response{}
			}
			if resp.StatusCode != test.status || len(body) != test.body {
				t.Errorf("got %d with %d bytes, want %d with %d", resp.StatusCode, len(body), test.status, test.body)
			}
			if resp.StatusCode == http.StatusOK && !strings.HasPrefix(p.blob, body) {
				t.Error("the bytes that arrived are not the blob's")
			}
			if got := resp.Header.Get(test.header[0]); test.header[0] != "" && got != test.header[1] {
				t.Errorf("%s: got %q, want %q", test.header[0], got, test.header[1])
			}
		})
	}
}

func TestCorruptInvertsOneByte(t *testing.T) {
	const at = 70_003
	p := newBroken(t, FaultRule{Fault: Corrupt(at)})
	_, body := call(t, http.MethodGet, p.target, nil)
	want := []byte(p.blob)
	want[at] ^= 0xff
	if body != string(want) {
		t.Error("the body is not the blob with one byte inverted")
	}
}

func TestStallsEndWithTheClient(t *testing.T) {
	for _, test := range []struct {
		name, method string
		fault        Fault
		bytes        int // that arrive before it stalls
	}{
		{"before the answer", http.MethodGet, Stall(), 0},
		{"in the body", http.MethodGet, StallAfter(10), 10},
		{"an upload", http.MethodPut, Stall(), 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			began, ended := make(chan struct{}), make(chan struct{})
			p := newBroken(t, FaultRule{Fault: func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					defer close(ended)
					close(began)
					test.fault(next).ServeHTTP(w, r)
				})
			}})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, test.method, p.target, strings.NewReader(p.blob))
			if err != nil {
				t.Fatal(err)
			}
			if test.bytes == 0 {
				go func() {
					<-began
					cancel()
				}()
			}
			resp, err := http.DefaultClient.Do(req)
			if err == nil {
				defer resp.Body.Close()
				if _, err := io.ReadFull(resp.Body, make([]byte, test.bytes)); err != nil {
					t.Errorf("before it stalls: %v", err)
				}
				cancel()
				_, err = resp.Body.Read(make([]byte, 1))
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want the client's own end", err)
			}
			<-ended
		})
	}
}

func TestCloseEndsStalls(t *testing.T) {
	p := newBroken(t)
	waiting := make(chan struct{})
	p.Inject(FaultRule{Fault: func(next http.Handler) http.Handler {
		close(waiting)
		return Stall()(next)
	}})
	ended := make(chan error)
	go func() {
		_, _, err := try(t, http.DefaultClient, http.MethodGet, p.target, nil)
		ended <- err
	}()
	<-waiting
	p.Close()
	if err := <-ended; err == nil {
		t.Error("the client was answered")
	}
}

func TestEndlessEndsWithTheClient(t *testing.T) {
	p := newBroken(t, FaultRule{Fault: Endless("text/plain")})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.target, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if n, err := io.CopyN(io.Discard, resp.Body, 10<<20); err != nil {
		t.Errorf("it ended after %d bytes: %v", n, err)
	}
}

func TestRefusedMountIsAnUpload(t *testing.T) {
	p := newBroken(t, FaultRule{Kind: "POST mount", Times: 1, Fault: RefuseMount()})
	if got := mount(t, p.Host, "b", "a", p.digest); got != http.StatusAccepted {
		t.Errorf("refused: got %d, want 202", got)
	}
	if got := mount(t, p.Host, "b", "a", p.digest); got != http.StatusCreated {
		t.Errorf("granted: got %d, want 201", got)
	}
}

func TestRedirectKeepsThePath(t *testing.T) {
	p := newBroken(t)
	_, backend, _ := strings.Cut(p.target, p.Host)
	elsewhere := newBroken(t)
	p.Inject(FaultRule{Kind: "GET blob", Fault: Redirect("http://" + elsewhere.Host)})
	_, body := call(t, http.MethodGet, "http://"+p.Host+backend, nil)
	if body != p.blob {
		t.Errorf("got %d bytes, want the blob", len(body))
	}
	if got := elsewhere.Stats().Requests["GET blob"]; got != 1 {
		t.Errorf("the other host has %d requests, want 1", got)
	}
}

func TestFaultsChangeUploads(t *testing.T) {
	blob := bytes.Repeat([]byte("x"), 300_000)
	digest := digestOf(t, blob)
	for _, test := range []struct {
		name   string
		fault  Fault
		stored int // status of a GET afterwards
	}{
		{"cut in the body", CutUpload(100_000), http.StatusNotFound},
		{"lost answer", LoseAnswer(), http.StatusOK},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newBroken(t, FaultRule{Kind: "PUT upload", Fault: test.fault})
			resp, _ := call(t, http.MethodPost, "http://"+p.Host+"/v2/b/blobs/uploads/", nil)
			if _, _, err := try(t, http.DefaultClient, http.MethodPut, resp.Header.Get("Location")+"&digest="+digest, blob); err == nil {
				t.Error("the upload was answered")
			}
			resp, _ = call(t, http.MethodGet, "http://"+p.Host+"/v2/b/blobs/"+digest, nil)
			if resp.StatusCode != test.stored {
				t.Errorf("GET afterwards: got %d, want %d", resp.StatusCode, test.stored)
			}
		})
	}
}
