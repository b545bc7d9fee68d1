package wire

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"imagemirror/internal/digest"
	"imagemirror/internal/manifest"
	"imagemirror/internal/plan"
	"imagemirror/internal/registry"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// entry returns an entry of a list of referrers, for a manifest that nobody has.
func entry(n int) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":5,"artifactType":"x/y"}`, manifest.OCIManifest, digest.Of(fmt.Append(nil, n)))
}

// million answers with a list of referrers that hardly ends. It writes a thousand at a time: each
// piece may wait for the processor as long as its reader does.
func million() http.HandlerFunc {
	thousand := strings.Repeat(entry(0)+",", 1000)
	return func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"schemaVersion":2,"manifests":[`)
		for range 1000 {
			if _, err := io.WriteString(w, thousand); err != nil {
				return
			}
		}
		_, _ = io.WriteString(w, entry(0)+"]}")
	}
}

// pages answers each request with entries and a link to another page.
func pages(entries int) http.HandlerFunc {
	var mu sync.Mutex
	n := 0
	return func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		n++
		page := n
		mu.Unlock()
		var all []string
		for i := range entries {
			all = append(all, entry(page*entries+i))
		}
		w.Header().Set("Link", fmt.Sprintf(`<%s?page=%d>; rel="next"`, r.URL.Path, page))
		fmt.Fprintf(w, `{"schemaVersion":2,"manifests":[%s]}`, strings.Join(all, ","))
	}
}

// Whatever a source says of the referrers of one image costs that image its referrers, after a
// bounded number of requests. If they are required, its tag stays. Other images arrive with theirs.
func TestHostileReferrersAreBounded(t *testing.T) {
	t.Parallel()
	list := func(answer http.HandlerFunc) func(*testing.T, pair, string) {
		return func(_ *testing.T, p pair, _ string) {
			p.source.Inject(registrytest.FaultRule{Path: regexp.MustCompile("/ci/bad/referrers/"), Fault: func(http.Handler) http.Handler { return answer }})
		}
	}
	index := func(content string) func(*testing.T, pair, string) {
		return func(t *testing.T, p pair, subject string) {
			tag := registry.ReferrersTag(subject)
			push(t, p.source, "ci/bad:"+tag, registrytest.NewArtifact("listed", registrytest.NewLayer("listed", 10)))
			p.source.Inject(registrytest.FaultRule{Path: regexp.MustCompile("manifests/" + tag + "$"), Fault: registrytest.Status(http.StatusOK, content, "Content-Type", manifest.OCIIndex)})
		}
	}
	long := `{"schemaVersion":2,"mediaType":"` + manifest.OCIIndex + `","annotations":{"a":"` + strings.Repeat("a", manifest.MaxSize-400) + `"},"manifests":[`
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, p pair, subject string)
		lists int // requests for referrers at most, with those of the other image
		says  string
	}{
		{"a million", list(million()), 3, "exceeds"},
		{"pages of which each leads to another", list(pages(1)), 2 + 100, "does not end"},
		{"pages with many", list(pages(400)), 2 + 3, "exceeds 1,000 entries"},
		{"a page that leads to itself", list(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", fmt.Sprintf(`<%s>; rel="next"`, r.URL.Path))
			_, _ = io.WriteString(w, `{"manifests":[]}`)
		}), 2 + 2, "does not end"},
		{"pages that continue elsewhere", list(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", `<https://elsewhere.example/v2/x/referrers/y>; rel="next"`)
			_, _ = io.WriteString(w, `{"manifests":[]}`)
		}), 3, "continues on another host"},
		{"a list that is filtered unasked", list(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("OCI-Filters-Applied", "artifactType")
			_, _ = io.WriteString(w, `{"manifests":[]}`)
		}), 3, "is filtered by"},
		{"an entry that is none", list(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"manifests":[7]}`)
		}), 3, "is not a descriptor"},
		{"a digest that is none", list(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"manifests":[{"digest":"sha256:../../x","size":1}]}`)
		}), 3, "not a manifest with a sha256 digest"},
		{"an index with too many", index(`{"schemaVersion":2,"mediaType":"` + manifest.OCIIndex + `","manifests":[` + strings.Repeat(entry(1)+",", 1001) + entry(2) + "]}"), 3, "exceeds 1,000 entries"},
		{"an index of 4 MiB with a referrer that is missing", index(long + entry(1) + "]}"), 3, "404"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := pair{startAs(t, true), newRegistry(t, nil)}
			good := push(t, p.source, "ci/good:v1", registrytest.NewImage(registrytest.OCI, "good", "amd64", registrytest.NewLayer("good", 1000)))
			sbom := attach(t, p.source, "ci/good", good, "application/spdx+json")
			subject := push(t, p.source, "ci/bad:v1", registrytest.NewImage(registrytest.OCI, "bad", "amd64", registrytest.NewLayer("bad", 1000)))
			c.spoil(t, p, subject)
			lines := []string{line(p, "ci/good:v1", "m/good:v1"), line(p, "ci/bad:v1", "m/bad:v1")}
			p.reset()
			run := travelWith(t, "{required: true}", lines...)
			run.are(t, p.destination, map[string]string{"m/good:v1": stream.Copied, "m/bad:v1": stream.Failed})
			if got := run.results[p.destination.Host+"/m/bad:v1"].Error; got == nil || !strings.Contains(got.Message, c.says) {
				t.Errorf("required: %+v, want %q", got, c.says)
			}
			if got := p.source.Stats().Requests["GET referrers"]; got > c.lists {
				t.Errorf("%d requests for referrers, want %d at most", got, c.lists)
			}
			wantNoTag(t, p.destination, "m/bad:v1")
			wantReferrers(t, p.destination, "m/good", good, sbom)
			run = mirrorLines(t, lines...)
			run.are(t, p.destination, map[string]string{"m/good:v1": stream.Current, "m/bad:v1": stream.Copied})
			if got := run.results[p.destination.Host+"/m/bad:v1"].Travelled; len(got) != 1 || got[0].Failed != 1 || !strings.Contains(got[0].Error.Message, c.says) {
				t.Errorf("travelled: %+v, want a failure that says %q", got, c.says)
			}
			wantArrived(t, p, "ci/bad:v1", "m/bad:v1")
		})
	}
}

// Tags that lead to each other in a circle are followed once.
func TestCircleOfSignaturesIsFollowedOnce(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	subject := push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 1000)))
	one := registrytest.NewArtifact("one", registrytest.NewLayer("one", 300))
	first := push(t, p.source, "ci/a:"+registry.ReferrersTag(subject)+".sig", one)
	second := sign(t, p.source, "ci/a", first, ".sig")
	push(t, p.source, "ci/a:"+registry.ReferrersTag(second)+".sig", one)
	push(t, p.source, "ci/a:"+registry.ReferrersTag(first)+".att", one)
	travelWith(t, "{required: true}", line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Copied)
	for _, tag := range []string{subject, first, second} {
		wantSame(t, p, "ci/a", "m/a", registry.ReferrersTag(tag)+".sig")
	}
	wantLast(t, p.destination, "v1")
	quiet(t, p, line(p, "ci/a:v1", "m/a:v1"))
}

// A single type is asked for with a filter. What a registry sends all the same does not travel, and
// a registry that refuses filters is asked without, once.
func TestFiltersAreNotTrusted(t *testing.T) {
	t.Parallel()
	filtered := regexp.MustCompile(`referrers/.*artifactType=`)
	for _, c := range []struct {
		name  string
		rule  registrytest.FaultRule
		lists int
	}{
		{"a registry that ignores them", registrytest.FaultRule{Path: regexp.MustCompile("never")}, 2 + 2},
		{"a registry that says it filters, and does not", registrytest.FaultRule{Path: filtered, Fault: registrytest.SetHeader("OCI-Filters-Applied", "artifactType")}, 2 + 2},
		{"a registry that refuses them", registrytest.FaultRule{Path: filtered, Fault: registrytest.Status(http.StatusBadRequest, "")}, 2 + 2 + 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := pair{startAs(t, true), startAs(t, true)}
			var lines []string
			for _, name := range []string{"a", "b"} {
				subject := push(t, p.source, "ci/"+name+":v1", registrytest.NewImage(registrytest.OCI, name, "amd64", registrytest.NewLayer(name, 1000)))
				sbom := attach(t, p.source, "ci/"+name, subject, "application/spdx+json")
				attach(t, p.source, "ci/"+name, subject, "x/y")
				lines = append(lines, line(p, "ci/"+name+":v1", "m/"+name+":v1"))
				defer wantReferrers(t, p.destination, "m/"+name, subject, sbom)
			}
			p.source.Inject(c.rule)
			p.reset()
			travelWith(t, "{types: [application/spdx+json]}", lines...).allAre(t, stream.Copied)
			if got := p.source.Stats().Requests["GET referrers"]; got != c.lists {
				t.Errorf("%d requests for referrers, want %d", got, c.lists)
			}
		})
	}
}

// Copies that are killed leave no tag without its required referrers.
func TestKilledCopyLeavesNoTagUnsigned(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program := buildCopy(t, dir)
	for _, kind := range kindsOfRegistries {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			p := pair{newRegistry(t, nil), kind.start(t)}
			var subjects, sboms []string
			for i := range 3 {
				name := fmt.Sprint("ci/image-", i)
				subject := push(t, p.source, name+":v1", registrytest.NewImage(registrytest.OCI, name, "amd64", registrytest.NewLayer(name, 1000)))
				sign(t, p.source, name, subject, ".sig")
				subjects, sboms = append(subjects, subject), append(sboms, attach(t, p.source, name, subject, "application/spdx+json"))
			}
			dir := t.TempDir()
			random := rand.New(rand.NewPCG(3, 4))
			total, killed := 0, 0
			for round := range 8 {
				var lines []string
				for i := range subjects {
					lines = append(lines, line(p, fmt.Sprintf("ci/image-%d:v1", i), fmt.Sprintf("m/%d/image-%d:v1", round, i)))
				}
				file := filepath.Join(dir, "plan.jsonl")
				writeContent(t, file, planned(t, setWith(t, "referrers: {required: true}", lines...)))
				at := 1 << 20 // the first round is not killed, and counts
				if round > 0 {
					at = 1 + random.IntN(total)
				}
				n, was := runAndKill(t, p, program, file, at)
				if total = max(total, n); was {
					killed++
				}
				for i, subject := range subjects {
					repository := fmt.Sprintf("m/%d/image-%d", round, i)
					if tagAt(t, p.destination, repository, "v1") == subject {
						wantReferrers(t, p.destination, repository, subject, sboms[i])
						wantSame(t, p, fmt.Sprintf("ci/image-%d", i), repository, registry.ReferrersTag(subject)+".sig")
					} else if !was {
						t.Errorf("%s did not arrive", repository)
					}
				}
			}
			if killed == 0 {
				t.Error("no copy was killed")
			}
		})
	}
}

// tagAt returns the digest of a tag, or "".
func tagAt(t *testing.T, r remoteRegistry, repository, tag string) string {
	t.Helper()
	to, err := client(t, settings()).Destination(t.Context(), parse(t, r.backend+"/"+repository), false)
	if err != nil {
		t.Fatal(err)
	}
	found, _ := to.Head(t.Context(), tag)
	return found
}

func writeContent(t *testing.T, file string, c *stream.Content) {
	t.Helper()
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := stream.Write(out, c); err != nil {
		t.Fatal(err)
	}
}

// The index of referrers of a destination without the API is written once in a run, by the shard
// that has the repository. What others wrote into it stays, also what they write while copies run.
func TestShardsWriteEachIndexOnce(t *testing.T) {
	t.Parallel()
	p := pair{startAs(t, true), newRegistry(t, nil)}
	const repositories = 4
	var lines, subjects []string
	want := map[string][]string{}
	for i := range repositories {
		name := fmt.Sprint("image-", i)
		subject := push(t, p.source, "ci/"+name+":v1", registrytest.NewImage(registrytest.OCI, name, "amd64", registrytest.NewLayer(name, 1000)))
		want[name] = []string{
			attach(t, p.source, "ci/"+name, subject, "application/spdx+json"), attach(t, p.source, "ci/"+name, subject, "x/y"),
			attach(t, p.destination, "m/"+name, subject, "x/before"),
		}
		subjects = append(subjects, subject)
		lines = append(lines, line(p, "ci/"+name+":v1", "m/"+name+":v1", "m/"+name+":v1.0", "m/"+name+":latest"))
	}
	made, err := plan.Make(t.Context(), plan.Options{Client: client(t, settings())}, setWith(t, "referrers: {required: true}", lines...))
	if err != nil {
		t.Fatal(err)
	}
	// Somebody else adds a referrer when the first one of the run is pushed to a repository.
	var mu sync.Mutex
	for i, subject := range subjects {
		name := fmt.Sprint("image-", i)
		p.destination.Inject(registrytest.FaultRule{
			Kind: "PUT manifest", Path: regexp.MustCompile("/m/" + name + "/manifests/" + want[name][0]), Times: 1,
			Fault: func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					theirs := attach(t, p.destination, "m/"+name, subject, "x/meanwhile")
					mu.Lock()
					want[name] = append(want[name], theirs)
					mu.Unlock()
					next.ServeHTTP(w, r)
				})
			},
		})
	}
	p.destination.Reset()
	shards := made.Cut(3).Shards
	if len(shards) < 2 {
		t.Fatalf("%d shards", len(shards))
	}
	var all sync.WaitGroup
	for _, s := range shards {
		all.Go(func() {
			var plan bytes.Buffer
			if _, err := stream.Write(&plan, s); err != nil {
				t.Error(err)
				return
			}
			carry(t, settings(), anonymous{}, read(t, &plan)).allAre(t, stream.Copied)
		})
	}
	all.Wait()
	writes := map[string]int{}
	for _, q := range p.destination.Log() {
		if q.Kind == "PUT manifest" && strings.Contains(q.Path, "/manifests/sha256-") {
			writes[q.Path]++
		}
	}
	for i := range repositories {
		name := fmt.Sprint("image-", i)
		wantReferrers(t, p.destination, "m/"+name, subjects[i], want[name]...)
		if n := writes["/v2/m/"+name+"/manifests/"+registry.ReferrersTag(subjects[i])]; n != 2 {
			t.Errorf("the index of %s was written %d times, want once, and once by somebody else", name, n)
		}
	}
}
