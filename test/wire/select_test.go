package wire

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"imagemirror/internal/imageset"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// tagged pushes one image to ci/a under each tag.
func tagged(t *testing.T, p pair, tags ...string) {
	t.Helper()
	for _, tag := range tags {
		push(t, p.source, "ci/a:"+tag, registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 1000)))
	}
}

// listing makes the source answer each request for a list of tags.
func listing(p pair, answer http.HandlerFunc) {
	p.source.Inject(registrytest.FaultRule{
		Match: func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/tags/list") },
		Fault: func(http.Handler) http.Handler { return answer },
	})
}

// What is selected costs a request at each side, what is not costs none, and several lines on one
// repository share its list.
func TestSelectedTagsAloneCostRequests(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	tagged(t, p, "v1.0.0", "v1.1.0", "v1.2.0", "v2.0.0-rc.1", "latest", "sha256-"+strings.Repeat("a", 64)+".sig")
	lines := []string{line(p, "ci/a:*", "m/a", "m/b"), line(p, "ci/a:v1.1*", "m/c")}
	sets := setWith(t, "select: [{source: \"*\", newest: 2, minimum: 1}]", lines...)
	p.reset()
	run := carry(t, settings(), anonymous{}, planned(t, sets))
	run.are(t, p.destination, map[string]string{
		"m/a:v1.2.0": stream.Copied, "m/a:v1.1.0": stream.Copied, "m/b:v1.2.0": stream.Copied, "m/b:v1.1.0": stream.Copied, "m/c:v1.1.0": stream.Copied,
	})
	p.reset()
	carry(t, settings(), anonymous{}, planned(t, sets)).allAre(t, stream.Current)
	wantRequests(t, p.source, map[string]int{"GET tags": 1, "HEAD manifest": 2})
	wantRequests(t, p.destination, map[string]int{"HEAD manifest": 5})
}

// A line that names a tag outright is mirrored although its set's rule leaves the tag out of a
// wildcard, and that is no warning.
func TestALineBesideASelectionIsMirrored(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	tagged(t, p, "v1", "v2", "latest")
	sets := setWith(t, "select: [{source: \"*\", exclude: [latest, v1]}]", line(p, "ci/a:*", "m/a"), line(p, "ci/a:latest", "m/a:latest"))
	carry(t, settings(), anonymous{}, planned(t, sets)).are(t, p.destination, map[string]string{"m/a:v2": stream.Copied, "m/a:latest": stream.Copied})
	for tag, want := range map[string]int{"latest": 0, "v2": 1} {
		got := setWithWarnings(t, "select: [{source: \"*\", exclude: [latest, v1]}]", line(p, "ci/a:*", "m/a"), line(p, "ci/a:"+tag, "m/a:"+tag))
		if len(got) != want {
			t.Errorf("%s beside a wildcard: got the warnings %q, want %d", tag, got, want)
		}
	}
}

// A source that lost its tags, or whose list cannot be read to its end, is not one that has fewer:
// the mapping fails, and the destination is not written to. The others go on.
func TestFewerTagsThanTheMinimumFail(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		list http.HandlerFunc // nil: the registry's own, of two tags
		spec string
		want string
	}{
		{"too few", nil, "minimum: 3", "found 2 tags of SOURCE/ci/a:*, and wanted at least 3: 2 tags: v2, v1"},
		{"enough", nil, "minimum: 2", ""},
		{"none is selected", nil, "semver: '>=3'", "found 0 tags of SOURCE/ci/a:*, and wanted at least 1: 2 tags, 0 after semver"},
		{"an empty list", answer(`{"name":"ci/a","tags":[]}`), "minimum: 1", "found 0 tags of SOURCE/ci/a:*, and wanted at least 1: 0 tags"},
		{"null", answer(`{"name":"ci/a","tags":null}`), "minimum: 1", "found 0 tags of SOURCE/ci/a:*, and wanted at least 1: 0 tags"},
		{"names that are no tags", answer(`{"name":"ci/a","tags":["","-x","a/b",".",":","v1\u0000"," v1","` + strings.Repeat("a", 129) + `"]}`), "minimum: 1", "found 0 tags of SOURCE/ci/a:*, and wanted at least 1: 0 tags"},
		{"five million empty names", answer(`{"name":"ci/a","tags":[""` + strings.Repeat(`,""`, 5_000_000) + `]}`), "minimum: 1", "the list of tags exceeds 200000 tags"},
		{"a list that breaks off", breaking, "minimum: 2", "HTTP 500"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			tagged(t, p, "v1", "v2")
			push(t, p.source, "ci/b:v1", registrytest.NewImage(registrytest.OCI, "b", "amd64", registrytest.NewLayer("b", 1000)))
			if c.list != nil {
				listing(p, c.list)
			}
			config := settings()
			config.Retries = 2
			sets := setWith(t, fmt.Sprintf("select: [{source: %q, %s}]", p.source.Host+"/ci/a", c.spec), line(p, "ci/a:*", "m/a"), line(p, "ci/b:v1", "m/b"))
			p.reset()
			run := carry(t, config, anonymous{}, planned(t, sets))
			if got := run.results[p.destination.Host+"/m/b:v1"]; got.Status != stream.Copied {
				t.Errorf("the other line is %+v", got)
			}
			if c.want == "" {
				run.are(t, p.destination, map[string]string{"m/a:v1": stream.Copied, "m/a:v2": stream.Copied, "m/b:v1": stream.Copied})
				return
			}
			got := run.results[p.destination.Host+"/m/a"]
			want := strings.ReplaceAll(c.want, "SOURCE", p.source.Host)
			if got.Status != stream.Failed || got.Error == nil || !strings.Contains(got.Error.Message, want) || got.Error.Advice == "" {
				t.Errorf("got %+v %+v, want the failure %s", got, got.Error, want)
			}
			for _, r := range p.destination.Log() {
				if strings.Contains(r.Path, "/m/a/") {
					t.Errorf("the destination was asked: %s %s", r.Method, r.Path)
				}
			}
		})
	}
}

func answer(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }
}

// breaking answers a first page with two tags, and fails to answer the second.
func breaking(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("last") != "" {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Link", `</v2/ci/a/tags/list?n=2&last=v2>; rel="next"`)
	_ = json.NewEncoder(w).Encode(map[string]any{"name": "ci/a", "tags": []string{"v1", "v2"}})
}

// setWithWarnings returns the warnings about a set.
func setWithWarnings(t *testing.T, spec string, lines ...string) []string {
	t.Helper()
	in, err := imageset.Load([]string{setWith(t, spec, lines...)[0].Files[0]}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var some []string
	for _, w := range in.Warnings() {
		if strings.Contains(w, "mirrored once") {
			some = append(some, w)
		}
	}
	return some
}

// A plan tells of the first lines that a rule applies to, each once however many destinations it
// has: selections take memory, and a file may have a line for each of very many patterns.
func TestAPlanTellsOfABoundedNumberOfSelections(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	tagged(t, p, "v1")
	var lines []string
	for i := range stream.MaxSelections + 10 {
		lines = append(lines, line(p, "ci/a:*", fmt.Sprintf("m/a%d", i), fmt.Sprintf("m/b%d", i)))
	}
	got := planned(t, setWith(t, "select: [{source: \"*\", semver: \">=2\"}]", lines...))
	if n := len(got.Selected); n != stream.MaxSelections || got.Selected[n-1].Line != n {
		t.Errorf("%d selections, the last of line %d, want those of the first %d lines", n, got.Selected[n-1].Line, stream.MaxSelections)
	}
	if n := len(got.Results); n != 2*len(lines) || got.Results[n-1].Status != stream.Failed {
		t.Errorf("%d results, want one for each of %d destinations", n, 2*len(lines))
	}
}
