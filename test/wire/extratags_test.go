package wire

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"imagemirror/internal/fault"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// identifiers returns the tags and digests of the manifests that a registry was asked for with a
// kind of request, in order.
func identifiers(p remoteRegistry, kind string) (all []string) {
	for _, r := range p.Log() {
		if r.Kind == kind {
			all = append(all, r.Ref)
		}
	}
	return all
}

// plainSpec turns off what travels with images, which these tests are not about.
func plainSpec(keys string) string { return "referrers: {copy: none}\n  " + keys }

func short(digest string) string { return digest[7:19] }

// Each additional tag is one PUT, before the tag itself moves: whoever sees the tag at its new
// image finds the others there. A second run costs what it costs without them.
func TestAdditionalTagsCostOnePutEach(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	first, second := twoImages(t, p)
	sets := setWith(t, plainSpec(`tags: ["{tag}-{digest:12}", "{date:20060102}-{digest:12}"]`), line(p, "ci/a:v1", "m/a"))
	p.reset()
	before := time.Now().UTC()
	run := carry(t, settings(), anonymous{}, planned(t, sets))
	run.allAre(t, stream.Copied)
	wantRequests(t, p.source, map[string]int{"GET manifest": 1, "GET blob": 2})
	wantRequests(t, p.destination, map[string]int{"HEAD manifest": 1, "POST mount": 2, "PUT upload": 2, "PUT manifest": 3})
	want := []string{"v1-" + short(first), before.Format("20060102") + "-" + short(first), "v1"}
	if got := identifiers(p.destination, "PUT manifest"); !slices.Equal(got, want) {
		t.Errorf("pushed %v, want %v", got, want)
	}
	for _, tag := range want {
		p.wantAt(t, "m/a:"+tag, first)
	}
	got := run.results[p.destination.Host+"/m/a:v1"].Tags
	if len(got) != 2 || got[0].Tag != want[0] || got[1].Tag != want[1] || got[0].Error != nil {
		t.Errorf("the result has the tags %+v, want %v", got, want[:2])
	}
	p.reset()
	carry(t, settings(), anonymous{}, planned(t, sets)).allAre(t, stream.Current)
	wantRequests(t, p.source, map[string]int{"HEAD manifest": 1})
	wantRequests(t, p.destination, map[string]int{"HEAD manifest": 1})

	digest := push(t, p.source, "ci/a:v1", second)
	carry(t, settings(), anonymous{}, planned(t, sets)).allAre(t, stream.Copied)
	p.wantAt(t, "m/a:v1", digest)
	p.wantAt(t, "m/a:v1-"+short(digest), digest)
	p.wantAt(t, "m/a:v1-"+short(first), first)
}

// What a tag pointed at is kept by one GET and one PUT before the tag moves; a new tag keeps
// nothing.
func TestKeepCostsOneGetAndOnePut(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	first, second := twoImages(t, p)
	sets := setWith(t, plainSpec(`keep: "{tag}-previous"`), line(p, "ci/a:v1", "m/a"))
	p.reset()
	carry(t, settings(), anonymous{}, planned(t, sets)).allAre(t, stream.Copied)
	wantRequests(t, p.destination, map[string]int{"HEAD manifest": 1, "POST mount": 2, "PUT upload": 2, "PUT manifest": 1})
	digest := push(t, p.source, "ci/a:v1", second)
	p.reset()
	run := carry(t, settings(), anonymous{}, planned(t, sets))
	run.allAre(t, stream.Copied)
	wantRequests(t, p.destination, map[string]int{"HEAD manifest": 1, "GET manifest": 1, "POST mount": 2, "PUT upload": 2, "PUT manifest": 2})
	if got := identifiers(p.destination, "PUT manifest"); !slices.Equal(got, []string{"v1-previous", "v1"}) {
		t.Errorf("pushed %v, want the old image first", got)
	}
	if got := run.results[p.destination.Host+"/m/a:v1"].Kept; got != "v1-previous" {
		t.Errorf("the result says that %q keeps the old image", got)
	}
	p.wantAt(t, "m/a:v1-previous", first)
	p.wantAt(t, "m/a:v1", digest)
	wantArrived(t, pair{p.source, p.destination}, "ci/a@"+digest, "m/a:v1")
}

// The tag does not move if its old image cannot be kept, for whatever reason.
func TestWhatCannotBeKeptDoesNotMove(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		rule registrytest.FaultRule
		says string
	}{
		{"refused", registrytest.FaultRule{Kind: "PUT manifest", Path: regexp.MustCompile("previous"), Fault: registrytest.Status(403, `{"errors":[{"code":"DENIED","message":"no such tags here"}]}`)}, "no such tags here"},
		{"down", registrytest.FaultRule{Kind: "PUT manifest", Path: regexp.MustCompile("previous"), Fault: registrytest.Status(503, "")}, "503"},
		{"collected", registrytest.FaultRule{Kind: "GET manifest", Fault: registrytest.Status(404, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`)}, "the registry does not have it any more"},
		{"other bytes", registrytest.FaultRule{Kind: "GET manifest", Fault: registrytest.Corrupt(20)}, "its content is"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			first, second := twoImages(t, p)
			sets := setWith(t, plainSpec(`keep: "{tag}-previous"`), line(p, "ci/a:v1", "m/a"))
			carry(t, settings(), anonymous{}, planned(t, sets)).allAre(t, stream.Copied)
			push(t, p.source, "ci/a:v1", second)
			p.destination.Inject(c.rule)
			config := settings()
			config.Retries = 2
			run := carry(t, config, anonymous{}, planned(t, sets))
			run.allAre(t, stream.Failed)
			got := run.results[p.destination.Host+"/m/a:v1"].Error
			if got == nil || !strings.Contains(got.Message, c.says) || !strings.Contains(got.Message, "so the tag v1 did not move") {
				t.Errorf("got %+v, want an error that says %q", got, c.says)
			}
			p.wantAt(t, "m/a:v1", first)
		})
	}
}

// An image is published even if an additional tag is refused, and the result says which.
func TestRefusedAdditionalTagsFailAlone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		status int
		puts   int // of additional tags
	}{
		{"refused: the others are tried", 403, 2},
		{"down: the others are not", 503, 2}, // two attempts of one
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			first, _ := twoImages(t, p)
			sets := setWith(t, plainSpec(`tags: ["x-{digest:12}", "y-{digest:12}"]`), line(p, "ci/a:v1", "m/a"))
			p.destination.Inject(registrytest.FaultRule{Kind: "PUT manifest", Path: regexp.MustCompile("/[xy]-"), Fault: registrytest.Status(c.status, "")})
			config := settings()
			config.Retries = 2
			run := carry(t, config, anonymous{}, planned(t, sets))
			run.allAre(t, stream.Copied)
			p.wantAt(t, "m/a:v1", first)
			got := run.results[p.destination.Host+"/m/a:v1"].Tags
			if len(got) != 2 || got[0].Error == nil || got[1].Error == nil {
				t.Errorf("got %+v, want two tags with errors", got)
			}
			if n := len(identifiers(p.destination, "PUT manifest")) - 1; n != c.puts {
				t.Errorf("%d PUTs of additional tags, want %d", n, c.puts)
			}
		})
	}
}

// A lost answer costs one more PUT. A registry that lets no tag be pushed again is right about one
// that is there.
func TestAdditionalTagsArePushedAgain(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	first, _ := twoImages(t, p)
	sets := setWith(t, plainSpec(`tags: ["{tag}-{digest:12}"]`), line(p, "ci/a:v1", "m/a"))
	extra := regexp.MustCompile("/v1-")
	p.destination.Inject(registrytest.FaultRule{Kind: "PUT manifest", Path: extra, Times: 1, Fault: registrytest.LoseAnswer()},
		registrytest.FaultRule{Kind: "PUT manifest", Path: extra, Fault: registrytest.Status(409, `{"errors":[{"code":"DENIED","message":"tag exists"}]}`)})
	run := carry(t, settings(), anonymous{}, planned(t, sets))
	run.allAre(t, stream.Copied)
	if got := run.results[p.destination.Host+"/m/a:v1"].Tags; len(got) != 1 || got[0].Error != nil {
		t.Errorf("got %+v, want one tag that is there", got)
	}
	p.wantAt(t, "m/a:v1-"+short(first), first)
}

// A label is a part of a tag only if it makes one; of an index, the first image's counts.
func TestLabelsAreStrangersText(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	push(t, p.source, "ci/good:v1", registrytest.NewImage(registrytest.Docker, "1.2.3", "amd64", registrytest.NewLayer("a", 1000)))
	push(t, p.source, "ci/bad:v1", registrytest.NewImage(registrytest.OCI, "../x y", "amd64", registrytest.NewLayer("b", 1000)))
	push(t, p.source, "ci/long:v1", registrytest.NewImage(registrytest.OCI, strings.Repeat("l", 200), "amd64", registrytest.NewLayer("c", 1000)))
	push(t, p.source, "ci/none:v1", registrytest.NewArtifact("x", registrytest.NewLayer("d", 1000)))
	push(t, p.source, "ci/index:v1", registrytest.NewPlatforms(registrytest.OCI, "multi", 500, []string{"amd64", "arm64"}))
	names := []string{"good", "bad", "long", "none", "index"}
	var lines []string
	for _, n := range names {
		lines = append(lines, line(p, "ci/"+n+":v1", "m/"+n))
	}
	sets := setWith(t, plainSpec(`tags: ["l-{label:name}"]`), lines...)
	p.reset()
	run := carry(t, settings(), anonymous{}, planned(t, sets))
	run.allAre(t, stream.Copied)
	for name, want := range map[string]string{"good": "l-1.2.3", "bad": "which is not a tag", "long": "which is not a tag", "none": "no config with labels", "index": "l-multi"} {
		got := run.results[p.destination.Host+"/m/"+name+":v1"].Tags
		if len(got) != 1 || !strings.HasPrefix(got[0].Tag, want) && (got[0].Error == nil || !strings.Contains(got[0].Error.Message, want)) {
			t.Errorf("%s: got %+v, want %s", name, got, want)
		}
	}
	// The configs are read once more: those of four images, and none of the artifact.
	if got := p.source.Stats().Requests["GET blob"]; got != 4+2*3+2+4 {
		t.Errorf("%d blobs were read, want four configs more than the %d blobs", got, 2*3+2+4)
	}
}

// An image without a tag gets its additional tags instead of a push by its digest.
func TestAdditionalTagsOfADigest(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	first, _ := twoImages(t, p)
	sets := setWith(t, plainSpec(`tags: ["d-{digest:12}"]`), fmt.Sprintf("%s/ci/a@%s %s/m/a", p.source.Host, first, p.destination.Host))
	p.reset()
	carry(t, settings(), anonymous{}, planned(t, sets)).allAre(t, stream.Copied)
	if got, want := identifiers(p.destination, "PUT manifest"), []string{"d-" + short(first)}; !slices.Equal(got, want) {
		t.Errorf("pushed %v, want %v", got, want)
	}
	p.wantAt(t, "m/a:d-"+short(first), first)
}

// Additional tags that only a run sees to be another's fail by name; an old image that cannot be
// kept fails its mapping.
func TestContestedAdditionalTags(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	first, second := twoImages(t, p)
	push(t, p.source, "ci/a:v1-old", second)
	both := line(p, "ci/a:v*", "m/a")
	carry(t, settings(), anonymous{}, planned(t, setWith(t, plainSpec("cap: 64"), both))).allAre(t, stream.Copied)
	moved := push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "c", "amd64", registrytest.NewLayer("c", 1000)))
	run := carry(t, settings(), anonymous{}, planned(t, setWith(t, plainSpec(`keep: "{tag}-old"`), both)))
	run.are(t, p.destination, map[string]string{"m/a:v1": stream.Failed, "m/a:v1-old": stream.Current})
	if got := run.results[p.destination.Host+"/m/a:v1"].Error; got == nil || !strings.Contains(got.Message, "the additional tag v1-old is the destination of ") {
		t.Errorf("got %+v, want that v1-old is another mapping's", got)
	}
	p.wantAt(t, "m/a:v1", first)

	run = carry(t, settings(), anonymous{}, planned(t, setWith(t, plainSpec(`tags: ["{tag}-old"]`), both)))
	run.are(t, p.destination, map[string]string{"m/a:v1": stream.Copied, "m/a:v1-old": stream.Current})
	got := run.results[p.destination.Host+"/m/a:v1"].Tags
	if len(got) != 1 || got[0].Error == nil || !strings.Contains(got[0].Error.Message, "is the destination of ") {
		t.Errorf("got %+v, want that v1-old is another mapping's", got)
	}
	p.wantAt(t, "m/a:v1", moved)
}

// Of tags that only a run sees, one may be too long for a template: it is the settings' fault, and
// not the image's.
func TestAdditionalTagsThatAreTooLong(t *testing.T) {
	t.Parallel()
	for spec, status := range map[string]string{`keep: "{tag}-previous"`: stream.Failed, `keep: "{source.tag}-{digest:64}"`: stream.Failed, `tags: ["{tag}-{digest:12}"]`: stream.Copied} {
		t.Run(spec, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			long := "v" + strings.Repeat("1", 120)
			all := line(p, "ci/a:v*", "m/a")
			for _, version := range []string{"1", "2"} {
				push(t, p.source, "ci/a:"+long, registrytest.NewImage(registrytest.OCI, version, "amd64", registrytest.NewLayer(version, 100)))
				if version == "1" {
					carry(t, settings(), anonymous{}, planned(t, setWith(t, plainSpec("cap: 64"), all))).allAre(t, stream.Copied)
				}
			}
			run := carry(t, settings(), anonymous{}, planned(t, setWith(t, plainSpec(spec), all)))
			run.are(t, p.destination, map[string]string{"m/a:" + long: status})
			result := run.results[p.destination.Host+"/m/a:"+long]
			err := result.Error
			if status == stream.Copied {
				err = result.Tags[0].Error
			}
			if err == nil || err.Kind != fault.Conflict || !strings.Contains(err.Advice, "correct spec.tags or spec.keep") {
				t.Errorf("got %+v", err)
			}
		})
	}
}

// A copy that is killed at any moment leaves no tag at its new image without its additional tags,
// and none that moved without what it was being kept. The next run completes the rest.
func TestKilledCopyLeavesNoTagWithoutItsAdditionalTags(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	dir := t.TempDir()
	program := filepath.Join(dir, "copy")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "imagemirror/cmd/copy")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building copy: %v\n%s", err, out)
	}
	w := oldAndNew(t, p)
	sets := setWith(t, plainSpec(`{tags: ["{tag}-{digest:12}", "also-{digest:12}"], keep: "{tag}-previous"}`)[len("referrers: {copy: none}\n  "):], w.lines...)
	random := rand.New(rand.NewPCG(3, 4))
	pushes := 0
	for round := range 5 {
		w.bringOld(t, p)
		for _, name := range w.names { // so that each round begins without
			p.forget(t, "mirror/"+name, "v1-previous", "v1-"+short(w.fresh[name]), "also-"+short(w.fresh[name]))
		}
		plan := filepath.Join(dir, fmt.Sprintf("plan-%d.jsonl", round))
		out, err := os.Create(plan)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Write(out, planned(t, sets)); err != nil {
			t.Fatal(err)
		}
		out.Close()
		requests, killed := runAndKill(t, p, program, plan, 1+random.IntN(max(pushes, 30)))
		if !killed {
			pushes = requests
		}
		w.wantTagged(t, p, false)
	}
	carry(t, settings(), anonymous{}, planned(t, sets))
	w.wantTagged(t, p, true)
}

// wantTagged checks that each tag which is at its new image has its additional tags.
func (w twoVersions) wantTagged(t *testing.T, p pair, all bool) {
	t.Helper()
	c := client(t, settings())
	for _, name := range w.names {
		to, err := c.Destination(t.Context(), parse(t, p.destination.backend+"/mirror/"+name), false)
		if err != nil {
			t.Fatal(err)
		}
		if at, err := to.Head(t.Context(), "v1"); err != nil || at != w.fresh[name] {
			if all || at != w.old[name] {
				t.Errorf("%s is at %s (%v)", name, at, err)
			}
			continue
		}
		fresh := w.fresh[name]
		for tag, want := range map[string]string{"v1-" + short(fresh): fresh, "also-" + short(fresh): fresh, "v1-previous": w.old[name]} {
			if at, err := to.Head(t.Context(), tag); err != nil || at != want {
				t.Errorf("%s is at its new image, but %s is at %q (%v), want %s", name, tag, at, err, want)
			}
		}
	}
}

// forget removes tags at the destination, if they are there.
func (p pair) forget(t *testing.T, repository string, tags ...string) {
	t.Helper()
	for _, tag := range tags {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, "http://"+p.destination.backend+"/v2/"+repository+"/manifests/"+tag, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := remote.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
}

// Once a tag has moved, a registry's garbage collection deletes the image that it left, unless that
// has an additional tag or is kept.
func TestAdditionalTagsSurviveGarbageCollection(t *testing.T) {
	t.Parallel()
	p := pair{source: newRegistry(t, nil)}
	dir := t.TempDir()
	r := registrytest.Distribution(t, registrytest.DistributionOptions{Dir: dir})
	p.destination = remoteRegistry{registrytest.NewProxy(t, r, registrytest.ProxyOptions{}), r.Host}
	olds := map[string]string{} // by path; distribution keeps a manifest that a tag of another repository leads to
	image := func(name string) remote.Taggable {
		return registrytest.NewImage(registrytest.OCI, name, "amd64", registrytest.NewLayer(name, 1000))
	}
	for path, keys := range map[string]string{"m/tagged": `tags: ["{tag}-{digest:12}"]`, "m/kept": `keep: "{tag}-previous"`, "m/plain": "cap: 64"} {
		sets := setWith(t, plainSpec(keys), line(p, "ci/a:v1", path))
		olds[path] = push(t, p.source, "ci/a:v1", image(path))
		carry(t, settings(), anonymous{}, planned(t, sets)).allAre(t, stream.Copied)
		push(t, p.source, "ci/a:v1", image("new"))
		carry(t, settings(), anonymous{}, planned(t, sets)).allAre(t, stream.Copied)
	}
	r.Close()
	if err := registrytest.CollectGarbage(dir); err != nil {
		t.Fatal(err)
	}
	p.destination = start(t, registrytest.DistributionOptions{Dir: dir}, nil)
	for path, old := range olds {
		err := registrytest.Validate(t.Context(), p.source.backend+"/ci/a@"+old, p.destination.backend+"/"+path+"@"+old)
		if path == "m/plain" && err == nil {
			t.Error("the old image without an additional tag can still be pulled: nothing was collected")
		}
		if path != "m/plain" && err != nil {
			t.Errorf("%s: %v", path, err)
		}
		wantArrived(t, p, "ci/a:v1", path+":v1")
	}
}
