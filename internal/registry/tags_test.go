package registry

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/reference"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/secret"
)

// source returns the repository ci/a of a registry, which is asked with two tries.
func source(t *testing.T, registry string) *Repository {
	t.Helper()
	c, err := New(Config{Concurrency: 4, Retries: 2, Stall: 10 * time.Second}, noKeys{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Source(t.Context(), reference.Reference{Registry: registry, Repository: "ci/a"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// threeTags starts a registry behind a proxy. Its repository ci/a has the tags v1, v2
// and v3.
func threeTags(t *testing.T) *registrytest.Proxy {
	t.Helper()
	backend := registrytest.InProcess(t)
	for _, tag := range []string{"v1", "v2", "v3"} {
		registrytest.Push(t, backend.Host+"/ci/a:"+tag, registrytest.NewImage(registrytest.OCI, tag, "amd64"))
	}
	return registrytest.NewProxy(t, backend, registrytest.ProxyOptions{})
}

func TestBrokenPageOfTagsIsReadAgain(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault registrytest.Fault
	}{
		{"the connection is cut", registrytest.CutAfter(10)},
		{"the page ends as if it were whole", registrytest.Truncate(10)},
		{"nothing but the headers came", registrytest.Truncate(0)},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := threeTags(t)
			p.Inject(registrytest.FaultRule{Kind: "GET tags", Times: 1, Fault: c.fault})
			got, err := source(t, p.Host).Tags(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"v1", "v2", "v3"}, got); diff != "" {
				t.Errorf("the tags (-want +got):\n%s", diff)
			}
			if n := p.Stats().Requests["GET tags"]; n != 2 {
				t.Errorf("the tags were asked for %d times, want 2", n)
			}
		})
	}
}

func TestBrokenPageOfTagsIsGivenUp(t *testing.T) {
	for _, c := range []struct {
		name    string
		fault   registrytest.Fault
		tries   int
		message string
	}{
		{"it always breaks off", registrytest.CutAfter(10), 2, "the connection was cut (gave up after 2 attempts)"},
		{"it always ends too early", registrytest.Truncate(10), 2, "not JSON: unexpected end of JSON input (gave up after 2 attempts)"},
		{"it is something else", registrytest.Status(200, "welcome"), 1, "not JSON: invalid character"},
		{"it is a web page", registrytest.Status(200, "<html>welcome</html>"), 1, `a web page: "welcome"`},
		{"it is JSON of another slotKind", registrytest.Status(200, `{"tags":[{}]}`), 1, "not JSON: json: cannot unmarshal"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := threeTags(t)
			p.Inject(registrytest.FaultRule{Kind: "GET tags", Fault: c.fault})
			_, err := source(t, p.Host).Tags(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.message) {
				t.Errorf("got %v, want an error with %q", err, c.message)
			}
			if n := p.Stats().Requests["GET tags"]; n != c.tries {
				t.Errorf("the tags were asked for %d times, want %d", n, c.tries)
			}
		})
	}
}

// pages starts a registry that lists tags without end. list writes each page. It returns
// how many pages were asked for.
func pages(t *testing.T, list func(w io.Writer)) (host string, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		page := asked.Add(1)
		w.Header().Set("Link", fmt.Sprintf(`</v2/ci/a/tags/list?n=1000&last=%d>; rel="next"`, page))
		list(w)
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://"), asked
}

func TestEndlessListOfTagsIsRefused(t *testing.T) {
	for _, c := range []struct {
		name    string
		list    func(w io.Writer)
		pages   int
		message string
	}{
		{"of large pages", func(w io.Writer) {
			fmt.Fprintf(w, `{"tags":[%s"v1"]}`, strings.Repeat(`"`+strings.Repeat("x", 1<<20)+`",`, 15))
		}, 5, "exceeds 67108864 bytes"},
		{"of many tags", func(w io.Writer) {
			fmt.Fprintf(w, `{"tags":[%s"v1"]}`, strings.Repeat(`"v1",`, 150_000))
		}, 2, "exceeds 200000 tags"},
		{"of many tags on one page", func(w io.Writer) {
			fmt.Fprintf(w, `{"tags":[%s"v1"]}`, strings.Repeat(`"",`, 5_000_000))
		}, 1, "exceeds 200000 tags"},
		{"of a page that is too large", func(w io.Writer) { fmt.Fprintf(w, `{"tags":[]%s`, strings.Repeat(" ", maxTagsPage)) }, 1, "a page of the list of tags exceeds 16777216 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			host, asked := pages(t, c.list)
			_, err := source(t, host).Tags(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.message) {
				t.Errorf("got %.200v, want an error with %q", err, c.message)
			}
			if n := int(asked.Load()); n != c.pages {
				t.Errorf("%d pages were asked for, want %d", n, c.pages)
			}
		})
	}
}

func TestInvalidTagsAreSkipped(t *testing.T) {
	longest := strings.Repeat("x", 128)
	p := threeTags(t)
	p.Inject(registrytest.FaultRule{Kind: "GET tags", Fault: registrytest.Status(200,
		`{"tags":["v1","","-v","../v","v/1","v 1","v\u202e1","`+longest+`","`+longest+`x","_v.1-a"]}`)})
	got, err := source(t, p.Host).Tags(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"v1", longest, "_v.1-a"}, got); diff != "" {
		t.Errorf("the tags (-want +got):\n%s", diff)
	}
}

// A registry that lists the credential that it was sent as a tag does not get it published.
func TestTagsThatGiveAwayACredentialAreSkipped(t *testing.T) {
	const password = "list-me-as-a-tag-4711"
	secret.Add("robot", password)
	listed, _ := json.Marshal(map[string]any{"tags": []string{"v1", password, "x-" + password, hex.EncodeToString([]byte(password)), password[3:16], "v2"}})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(listed) }))
	defer server.Close()
	got, err := source(t, strings.TrimPrefix(server.URL, "http://")).Tags(t.Context())
	if err != nil || !slices.Equal(got, []string{"v1", "v2"}) {
		t.Errorf("the list has %q (%v), want v1 and v2", got, err)
	}
}

// A list that is there twice is neither of them.
func TestListsOfTagsThatAreThereTwiceAreRefused(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{`{"tags":["v1"],"tags":["v2"]}`, "twice"},
		{`{"tags":["v1"],"Tags":["v2"]}`, "twice"},
		{`{"\u0074ags":["v1"],"name":"ci/a","tags":[]}`, "twice"},
		{` {"tag\u017f":["v1"],"tags":null}`, "twice"},
		{" \n{\"name\":\"ci/a\",\"TAGS\":[\"v1\"],\"x\":{\"tags\":1}}", ""},
	} {
		tags, _, err := parseTags([]byte(c.body), true)
		if c.want == "" && (err != nil || len(tags) != 1) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %q, %v, want %q", c.body, tags, err, c.want)
		}
	}
}
