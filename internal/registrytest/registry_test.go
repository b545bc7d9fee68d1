package registrytest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// call sends one request, reads the answer's body and returns both.
func call(t *testing.T, method, target string, body []byte, headers ...string) (*http.Response, string) {
	t.Helper()
	resp, content, err := try(t, http.DefaultClient, method, target, body, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return resp, content
}

func try(t *testing.T, client *http.Client, method, target string, body []byte, headers ...string) (*http.Response, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	var content bytes.Buffer
	_, err = content.ReadFrom(resp.Body)
	return resp, content.String(), err
}

// upload uploads a blob with POST and PUT, and returns its digest.
func upload(t *testing.T, host, repo string, blob []byte) string {
	t.Helper()
	digest := digestOf(t, blob)
	resp, body := call(t, http.MethodPost, fmt.Sprintf("http://%s/v2/%s/blobs/uploads/", host, repo), nil)
	if resp.StatusCode != http.StatusAccepted {
		t.Fatalf("POST upload: got %d %s", resp.StatusCode, body)
	}
	at, err := resp.Location()
	if err != nil {
		t.Fatal(err)
	}
	query := at.Query()
	query.Set("digest", digest)
	at.RawQuery = query.Encode()
	resp, body = call(t, http.MethodPut, at.String(), blob, "Content-Type", "application/octet-stream")
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("PUT upload: got %d %s", resp.StatusCode, body)
	}
	return digest
}

func digestOf(t *testing.T, b []byte) string {
	t.Helper()
	h, _, err := v1.SHA256(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return h.String()
}

func mount(t *testing.T, host, repo, from, digest string) int {
	t.Helper()
	query := url.Values{"mount": {digest}, "from": {from}}
	resp, _ := call(t, http.MethodPost, fmt.Sprintf("http://%s/v2/%s/blobs/uploads/?%s", host, repo, query.Encode()), nil)
	return resp.StatusCode
}

func TestRegistriesServe(t *testing.T) {
	for _, test := range []struct {
		name  string
		start func(testing.TB) *Registry
		mount int
	}{
		{"in process", func(tb testing.TB) *Registry { return InProcess(tb) }, http.StatusAccepted},
		{"in process with referrers", func(tb testing.TB) *Registry {
			return closeAfter(tb, StartInProcess(registry.WithReferrersSupport(true)))
		}, http.StatusAccepted},
		{"ociserver", func(tb testing.TB) *Registry { return closeAfter(tb, StartOCIServer()) }, http.StatusCreated},
		{"docker-registry", func(tb testing.TB) *Registry {
			r, err := StartDebian("")
			if errors.Is(err, ErrNoDebian) || err != nil && os.Getenv("CI") != "true" {
				tb.Skip(err)
			}
			if err != nil {
				tb.Fatal(err)
			}
			return closeAfter(tb, r)
		}, http.StatusCreated},
		{"distribution in memory", func(tb testing.TB) *Registry { return Distribution(tb, DistributionOptions{}) }, http.StatusCreated},
		{"distribution on disk", func(tb testing.TB) *Registry {
			return Distribution(tb, DistributionOptions{Dir: tb.TempDir()})
		}, http.StatusCreated},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := test.start(t)
			blob := []byte("some blob")
			digest := upload(t, r.Host, "a/b", blob)
			resp, body := call(t, http.MethodGet, fmt.Sprintf("http://%s/v2/a/b/blobs/%s", r.Host, digest), nil)
			if resp.StatusCode != http.StatusOK || body != string(blob) {
				t.Errorf("GET blob: got %d %q, want 200 %q", resp.StatusCode, body, blob)
			}
			if got := mount(t, r.Host, "c", "a/b", digest); got != test.mount {
				t.Errorf("mount: got %d, want %d", got, test.mount)
			}
		})
	}
}

func TestDistributionDemandsPasswords(t *testing.T) {
	r := Distribution(t, DistributionOptions{Users: map[string]string{"ann": "secret"}})
	for _, test := range []struct {
		name, password string
		want           int
	}{
		{"ann", "secret", http.StatusOK},
		{"ann", "guess", http.StatusUnauthorized},
		{"bob", "secret", http.StatusUnauthorized},
	} {
		target := fmt.Sprintf("http://%s:%s@%s/v2/", test.name, test.password, r.Host)
		if resp, _ := call(t, http.MethodGet, target, nil); resp.StatusCode != test.want {
			t.Errorf("%s with %q: got %d, want %d", test.name, test.password, resp.StatusCode, test.want)
		}
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	r, err := StartDistribution(DistributionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	upload(t, r.Host, "a", []byte("blob"))
	r.Close()
	r.Close()
	if _, _, err := try(t, http.DefaultClient, http.MethodGet, "http://"+r.Host+"/v2/", nil); err == nil {
		t.Error("the registry still answers")
	}
	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 {
		t.Errorf("it left %s behind", left[0].Name())
	}
}

// The parent that is killed is another process of this test's program.
func TestDistributionEndsWithItsParent(t *testing.T) {
	const parent = "REGISTRYTEST_PARENT"
	if os.Getenv(parent) != "" {
		fmt.Println(Distribution(t, DistributionOptions{}).Host)
		<-t.Context().Done()
	}
	Distribution(t, DistributionOptions{}) // so that it is built
	temporary := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), parent+"=1", "TMPDIR="+temporary)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	host := strings.TrimSpace(line)
	conn, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if err := conn.SetReadDeadline(time.Now().Add(startWait)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the registry outlives the process that started it")
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestBuildOutsideTheRepositoryFails(t *testing.T) {
	t.Chdir(t.TempDir())
	var progress strings.Builder
	_, err := Build(&progress)
	if err == nil || !strings.Contains(err.Error(), "run within the repository") {
		t.Errorf("got %v, want an error that says where to run", err)
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	var all bytes.Buffer
	var kept tail
	for i := range 10_000 {
		line := fmt.Sprintf("line %d\n", i)
		all.WriteString(line)
		if _, err := kept.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	got := kept.String()
	if !strings.HasSuffix(all.String(), "\n"+got) || len(got) < tailSize-20 || len(got) > tailSize {
		t.Errorf("got %d bytes from %.20q, want the last lines of %d", len(got), got, tailSize)
	}
}
