package plan

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"imagemirror/internal/imageset"
	"imagemirror/internal/mapping"
	"imagemirror/internal/reference"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// However many tags some wildcards find, ordinary ones of others have room.
func TestLargeWildcardsLeaveRoomForOthers(t *testing.T) {
	var r room
	m := &mapping.Mapping{Source: reference.Reference{Registry: "a.io", Repository: "b", Tag: "*"}, Destination: reference.Reference{Registry: "c.io", Repository: "d"}}
	tags := func(n int) []string { return strings.Split(strings.Repeat("v1.2.3 ", n-1)+"v1.2.3", " ") }
	err := r.take(m, tags(190_000))
	if err == nil || !strings.Contains(err.Error(), "a.io/b:* matches 190000 tags") || !strings.Contains(err.Error(), "has room for 31956 mappings of it") {
		t.Errorf("190,000 tags: %v", err)
	}
	for range 5 { // each takes half of what is left, nearly
		for n := 32_000; n > 1000 && r.take(m, tags(n)) != nil; n -= 500 {
		}
	}
	for range 8 {
		if err := r.take(m, tags(200)); err != nil {
			t.Errorf("an ordinary wildcard: %v", err)
		}
	}
	for r.take(m, tags(500)) == nil {
	}
	if r.taken > maxMappings {
		t.Errorf("%d bytes are taken, of %d", r.taken, maxMappings)
	}
	if err := r.take(m, nil); err != nil {
		t.Errorf("no tags: %v", err)
	}
}

// What lines name has to fit into the memory of a container, if that has a limit, and leaves room
// for wildcards.
func TestLinesFitIntoAContainer(t *testing.T) {
	set := &imageset.Set{Mappings: make([]mapping.Mapping, 60_000)}
	for i := range set.Mappings {
		r := reference.Reference{Registry: "a.io", Repository: fmt.Sprintf("b/%05d", i), Tag: "v1"}
		set.Mappings[i] = mapping.Mapping{Source: r, Destination: r}
	}
	some := []*imageset.Set{{Mappings: set.Mappings[:40_000]}}
	all := []*imageset.Set{set}
	for _, c := range []struct {
		name   string
		sets   []*imageset.Set
		memory int64
		says   string
	}{
		{"no limit", all, 0, ""}, {"a Task", all, 256 << 20, "60000 mappings, and the container's memory of 256 MiB is enough for "},
		{"less in a Task", some, 256 << 20, ""}, {"more memory", all, 1 << 30, ""}, {"little memory", some, 64 << 20, "64 MiB is enough for "},
	} {
		if err := Fit(c.sets, c.memory); c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
	}
	wildcard := &mapping.Mapping{Source: reference.Reference{Registry: "a.io", Repository: "b", Tag: "*"}, Destination: reference.Reference{Registry: "c.io", Repository: "d"}}
	if err := newRoom(all).take(wildcard, strings.Fields(strings.Repeat("v1.2.3 ", 5000))); err != nil {
		t.Errorf("a wildcard beside many lines: %v", err)
	}
}

// A wildcard on a repository of very many tags fails alone.
func TestWildcardOfVeryManyTagsFailsAlone(t *testing.T) {
	r := registrytest.InProcess(t)
	push(t, r.Host, "ci/good:v1")
	push(t, r.Host, "evil/tags:v1.000001")
	p := registrytest.NewProxy(t, r, registrytest.ProxyOptions{})
	var list strings.Builder
	for i := range 60_000 {
		fmt.Fprintf(&list, `"v1.%06d",`, i)
	}
	p.Inject(registrytest.FaultRule{
		Kind: "GET tags", Match: func(q *http.Request) bool { return strings.Contains(q.URL.Path, "/evil/") },
		Fault: registrytest.Status(http.StatusOK, `{"tags":[`+list.String()+`"v2"]}`),
	})
	lines := []string{
		p.Host + "/evil/tags:* " + r.Host + "/m/all", p.Host + "/evil/tags:*.000001 " + r.Host + "/m/one",
		p.Host + "/evil/tags:*999 " + r.Host + "/m/some", p.Host + "/ci/good:* " + r.Host + "/m/good",
	}
	plan, err := Make(t.Context(), options(t), load(t, lines...))
	if err != nil {
		t.Fatal(err)
	}
	if got := plan.Header.Mappings; got != 1+1+60+1 {
		t.Errorf("the plan has %d mappings", got)
	}
	copied := map[int]string{}
	for _, m := range plan.Mappings {
		copied[m.ID] = strings.TrimPrefix(m.Destination, r.Host)
	}
	for _, c := range plan.Copies {
		delete(copied, c.ID)
	}
	for _, one := range plan.Results {
		if to := copied[one.ID]; to == "/m/all" && !strings.Contains(one.Error.Message, "evil/tags:* matches 60001 tags") || one.Error.Advice == "" {
			t.Errorf("%s: %+v", to, one.Error)
		}
	}
	for id, to := range copied {
		if strings.HasPrefix(to, "/m/good") || strings.HasPrefix(to, "/m/one") || id > len(plan.Mappings) {
			t.Errorf("%s is not copied", to)
		}
	}
}

// However many attachments of an image fail, copy reads the plan.
func TestFailedAttachmentsAreBounded(t *testing.T) {
	from, err := options(t).Client.Source(t.Context(), reference.Reference{Registry: "localhost:1", Repository: "a", Tag: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	f := &finder{from: from, left: stream.MaxAttached}
	var found []finding
	for range 3 * stream.MaxAttached {
		found = append(found, f.failed("kind", "", errors.New(strings.Repeat("never ", 1000)))...)
	}
	all, _ := f.travelling(found)
	if len(all) != stream.MaxAttached || !strings.HasPrefix(all[len(all)-1].Error.Message, "more than 999 manifests") {
		t.Errorf("%d attachments, the last one is %+v", len(all), all[len(all)-1])
	}
	if n := len(all[0].Error.Message); n > maxReason+len("…") {
		t.Errorf("the error has %d bytes", n)
	}
}
