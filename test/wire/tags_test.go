package wire

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/reference"
	"imagemirror/internal/regerror"
	"imagemirror/internal/registry"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// numbered returns the tags v0000, v0001 and so on.
func numbered(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("v%04d", i)
	}
	return all
}

// A lister answers requests for lists of tags as a registry with these habits does.
type lister struct {
	tags    []string
	most    int    // tags on a page; 0: as many as the request asks for
	link    string // of the Link header, with LAST for the last tag on the page; "": none
	maxN    int    // a larger n is refused; 0: none is
	deaf    bool   // last is ignored
	refuses bool   // last is refused
	past    int    // status of a page behind the last tag; 0: an empty page
}

func (l lister) fault(http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		n, _ := strconv.Atoi(q.Get("n"))
		if l.maxN > 0 && n > l.maxN || l.refuses && q.Has("last") {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"errors":[{"code":"PAGINATION_NUMBER_INVALID"}]}`))
			return
		}
		rest := l.tags
		if last := q.Get("last"); last != "" && !l.deaf {
			rest = l.tags[slices.Index(l.tags, last)+1:]
			if len(rest) == 0 && l.past != 0 {
				w.WriteHeader(l.past)
				return
			}
		}
		size := l.most
		if size == 0 || n > 0 && n < size {
			size = n
		}
		if size > 0 && len(rest) > size {
			rest = rest[:size]
			if l.link != "" {
				w.Header().Set("Link", strings.NewReplacer("LAST", url.QueryEscape(rest[size-1]), "HOST", r.Host).Replace(l.link))
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"name": "ci/a", "tags": rest})
	})
}

// at returns a repository of a registry as a source.
func at(t *testing.T, c *registry.Client, r remoteRegistry, name string) *registry.Repository {
	t.Helper()
	from, err := c.Source(t.Context(), reference.Reference{Registry: r.Host, Repository: name})
	if err != nil {
		t.Fatal(err)
	}
	return from
}

func TestListsOfTagsAreComplete(t *testing.T) {
	t.Parallel()
	const link = `</v2/ci/a/tags/list?n=100&last=LAST>; rel="next"`
	for _, c := range []struct {
		name  string
		list  lister
		first int // requests for the first list
		then  int // requests for the next one at the same registry
	}{
		{"one page", lister{tags: numbered(3)}, 1, 1},
		{"no tags", lister{}, 1, 1},
		{"links, by the specification", lister{tags: numbered(250), most: 100, link: link}, 3, 3},
		{"links, and the last page is full", lister{tags: numbered(200), most: 100, link: link}, 2, 2},
		{"links to the host of another front server", lister{tags: numbered(250), most: 100, link: `<https://inside:5000/v2/ci/a/tags/list?n=100&last=LAST>; rel="next"`}, 3, 3},
		{"links without the prefix of a front server", lister{tags: numbered(250), most: 100, link: `</v2/a/tags/list?n=100&last=LAST>; rel="next"`}, 3, 3},
		{"links relative to the page", lister{tags: numbered(250), most: 100, link: `<?last=LAST>; REL=NEXT`}, 3, 3},
		{"links to a path of their own", lister{tags: numbered(250), most: 100, link: `<http://HOST/v2/ci/a/tags/list/more?last=LAST>; rel="next"`}, 3, 3},
		{"no links, pages of n", lister{tags: numbered(1500)}, 2, 2},
		{"no links, the last page is full", lister{tags: numbered(2000)}, 3, 3},
		{"no links, 404 behind the last", lister{tags: numbered(1000), past: 404}, 2, 2},
		{"no links, and a cap of 100", lister{tags: numbered(250), most: 100}, 3, 3},
		{"no links, and a cap of 50", lister{tags: numbered(120), most: 50}, 3, 3},
		{"neither n nor last is known", lister{tags: numbered(1000), most: 9999, deaf: true}, 4, 2},
		{"last is ignored, all come without n", lister{tags: numbered(1500), deaf: true}, 3, 1},
		{"last is refused, all come without n", lister{tags: numbered(1500), refuses: true}, 3, 1},
		{"neither is known, and 100 tags", lister{tags: numbered(100), most: 9999, refuses: true}, 4, 2},
		{"n is refused", lister{tags: numbered(3), maxN: 100}, 2, 1},
		{"n is refused, and links", lister{tags: numbered(250), maxN: 100, most: 100, link: link}, 4, 3},
		{"n is refused, and no links", lister{tags: numbered(250), maxN: 100, most: 100}, 4, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			source := remoteRegistry{Proxy: registrytest.NewProxy(t, registrytest.InProcess(t), registrytest.ProxyOptions{})}
			source.Inject(registrytest.FaultRule{Match: func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/tags/list") }, Fault: c.list.fault})
			asks := client(t, settings())
			for _, want := range []int{c.first, c.then} {
				source.Reset()
				got, err := at(t, asks, source, "ci/a").Tags(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(c.list.tags, got); diff != "" {
					t.Errorf("the tags (-want +got):\n%s", diff)
				}
				if n := len(source.Log()); n != want {
					t.Errorf("%d requests, want %d", n, want)
				}
			}
		})
	}
}

// go-containerregistry's registry sends no links.
func TestAllTagsOfGoContainerRegistryAreListed(t *testing.T) {
	t.Parallel()
	backend := registrytest.InProcess(t)
	digest := registrytest.Push(t, backend.Host+"/ci/a:v0000", registrytest.NewImage(registrytest.OCI, "a", "amd64"))
	asks := client(t, settings())
	repo := remoteRegistry{&registrytest.Proxy{Host: backend.Host}, backend.Host}
	m, err := at(t, asks, repo, "ci/a").Manifest(t.Context(), digest)
	if err != nil {
		t.Fatal(err)
	}
	to, err := asks.Destination(t.Context(), reference.Reference{Registry: backend.Host, Repository: "ci/a"}, true)
	if err != nil {
		t.Fatal(err)
	}
	want := numbered(1500)
	for _, tag := range want[1:] {
		if err := to.PutManifest(t.Context(), tag, m); err != nil {
			t.Fatal(err)
		}
	}
	source := remoteRegistry{Proxy: registrytest.NewProxy(t, backend, registrytest.ProxyOptions{})}
	got, err := at(t, asks, source, "ci/a").Tags(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the tags (-want +got):\n%s", diff)
	}
	wantRequests(t, source, map[string]int{"GET tags": 2})
}

func TestOddListsOfTags(t *testing.T) {
	t.Parallel()
	links := func(link string) lister { return lister{tags: numbered(10), most: 2, link: link} }
	for _, c := range []struct {
		name    string
		fault   registrytest.Fault
		want    []string
		message string
	}{
		{"null", registrytest.Status(200, `{"name":"ci/a","tags":null}`), nil, ""},
		{"no name", registrytest.Status(200, `{"tags":["v1"]}`), []string{"v1"}, ""},
		{"labeled HTML", registrytest.Status(200, `{"tags":["v1"]}`, "Content-Type", "text/html"), []string{"v1"}, ""},
		{"repeated tags", registrytest.Status(200, `{"tags":["v1","v2","v1","v2"]}`), []string{"v1", "v2"}, ""},
		{"a login page", registrytest.Status(200, "<html><title>Please log in</title></html>", "Content-Type", "text/html"), nil, `a web page: "Please log in"`},
		{"a login page without its label", registrytest.Status(200, "<html><title>Please log in</title></html>", "Content-Type", "application/json"), nil, `"Please log in": the list of tags is not JSON`},
		{"an error with the wrong status", registrytest.Status(200, `{"errors":[{"code":"DENIED","message":"not today"}]}`), nil, `"not today": the list of tags has no "tags"`},
		{"an empty 404", registrytest.Status(404, ""), nil, "HTTP 404 Not Found"},
		{"n and everything else refused", registrytest.Status(400, ""), nil, "HTTP 400 Bad Request"},
		{"a link to its page", links(`<?n=1000>; rel="next"`).fault, nil, "leads back to a page that was read before"},
		{"a link to the page before", links(`<?n=2&last=v0001>; rel="next"`).fault, nil, "leads back to a page that was read before"},
		{"a link to another host", links(`<http://other.example.com/more?last=LAST>; rel="next"`).fault, nil, `continues on another host, "other.example.com"`},
		{"a link that is none", links(`</v2/ci/a/tags/list?last=LAST; rel="next"`).fault, nil, `malformed Link header "</v2/ci/a/tags/list?last=v0001; rel`},
		{"a link to an invalid address", links(`<http://[/v2/ci/a/tags/list>; rel="next"`).fault, nil, "invalid link"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			source := remoteRegistry{Proxy: registrytest.NewProxy(t, registrytest.InProcess(t), registrytest.ProxyOptions{})}
			source.Inject(registrytest.FaultRule{Kind: "GET tags", Fault: c.fault})
			got, err := at(t, client(t, settings()), source, "ci/a").Tags(t.Context())
			if c.message == "" && err != nil || c.message != "" && (err == nil || !strings.Contains(err.Error(), c.message)) {
				t.Errorf("the error is %v, want %q", err, c.message)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("the tags (-want +got):\n%s", diff)
			}
		})
	}
}

// A mirror that holds a part of the tags hides none. It serves the images that it has.
func TestTagsAreThoseOfTheLocation(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	mirror := newRegistry(t, nil)
	for _, tag := range []string{"v1", "v2"} {
		push(t, p.source, "ci/a:"+tag, registrytest.NewImage(registrytest.OCI, tag, "amd64"))
	}
	push(t, mirror, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "v1", "amd64"))
	config := settings()
	config.RegistriesConf = filepath.Join(t.TempDir(), "registries.conf")
	conf := fmt.Sprintf("[[registry]]\nlocation = %q\n[[registry.mirror]]\nlocation = %q\n", p.source.Host, mirror.Host)
	if err := os.WriteFile(config.RegistriesConf, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	run := mirrorWith(t, config, p.source.Host+"/ci/a:v* "+p.destination.Host+"/m/a")
	run.allAre(t, stream.Copied)
	run.are(t, p.destination, map[string]string{"m/a:v1": stream.Copied, "m/a:v2": stream.Copied})
	if n := mirror.Stats().Requests["GET tags"]; n != 0 {
		t.Errorf("the mirror's tags were asked for %d times", n)
	}

	for status, want := range map[int]int{503: 503, 403: 0} {
		p.source.Heal()
		p.source.Inject(registrytest.FaultRule{Kind: "GET tags", Fault: registrytest.Status(status, "")})
		config.Retries = 1
		got, err := at(t, client(t, config), p.source, "ci/a").Tags(t.Context())
		if regerror.StatusOf(err) != want || err == nil && !slices.Equal(got, []string{"v1"}) {
			t.Errorf("the location answers %d: got %v and %v", status, got, err)
		}
	}
}
