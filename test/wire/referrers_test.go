package wire

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	gcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"imagemirror/internal/digest"
	"imagemirror/internal/manifest"
	"imagemirror/internal/regerror"
	"imagemirror/internal/registry"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// An api is whether a registry of the tests has the referrers API.
type api bool

// startAs starts a registry with the referrers API or without it.
func startAs(t *testing.T, has api) remoteRegistry {
	t.Helper()
	if has {
		return inProcess(t, registrytest.StartInProcess(gcr.WithReferrersSupport(true)))
	}
	return newRegistry(t, nil)
}

// inProcess returns a registry of this process behind a proxy.
func inProcess(t *testing.T, r *registrytest.Registry) remoteRegistry {
	t.Helper()
	t.Cleanup(r.Close)
	return remoteRegistry{registrytest.NewProxy(t, r, registrytest.ProxyOptions{}), r.Host}
}

// kindsOfRegistries are registries with the referrers API and without it.
var kindsOfRegistries = []struct {
	name  string
	start func(t *testing.T) remoteRegistry
}{
	{"distribution", func(t *testing.T) remoteRegistry { return startAs(t, false) }},
	{"go-containerregistry", func(t *testing.T) remoteRegistry { return startAs(t, true) }},
	{"ociserver", func(t *testing.T) remoteRegistry { return inProcess(t, registrytest.StartOCIServer()) }},
}

// attach pushes an artifact that refers to a manifest, as tools do that follow the distribution
// spec, and returns its digest.
func attach(t *testing.T, r remoteRegistry, repository, subject, kind string) string {
	t.Helper()
	return attachAs(t, r, repository, subject, subject, kind)
}

// attachAs pushes an artifact with a subject, which the registry lists for another one.
func attachAs(t *testing.T, r remoteRegistry, repository, listed, subject, kind string) string {
	t.Helper()
	blob := registrytest.NewLayer(kind+subject, 500)
	image := registrytest.NewEmptyConfigArtifact(blob)
	raw, err := image.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		t.Fatal(err)
	}
	fields["mediaType"], fields["artifactType"] = manifest.OCIManifest, kind
	fields["subject"] = map[string]any{"mediaType": manifest.OCIManifest, "digest": subject, "size": 500}
	content, _ := json.Marshal(fields)
	name := digest.Of(content)
	if _, err := registrytest.Write(t.Context(), r.backend+"/"+repository+":blobs-of-"+name[7:19], image); err != nil {
		t.Fatal(err)
	}
	c := client(t, settings())
	to, err := c.Destination(t.Context(), parse(t, r.Host+"/"+repository+":x"), false)
	if err != nil {
		t.Fatal(err)
	}
	m := manifest.Raw{Digest: name, MediaType: manifest.OCIManifest, Content: content}
	if err := to.PutManifest(t.Context(), name, m); err != nil {
		t.Fatal(err)
	}
	if !to.ListsReferrers() {
		if err := to.AddReferrers(t.Context(), listed, []manifest.Raw{m}); err != nil {
			t.Fatal(err)
		}
	}
	return name
}

// sign pushes an image under the tag that cosign derives from the digest of another.
func sign(t *testing.T, r remoteRegistry, repository, subject, suffix string) string {
	t.Helper()
	return push(t, r, repository+":"+registry.ReferrersTag(subject)+suffix, registrytest.NewArtifact(suffix+subject, registrytest.NewLayer(suffix+subject, 300)))
}

// referrersAt returns the digests that a registry lists for a subject.
func referrersAt(t *testing.T, r remoteRegistry, repository, subject string) []string {
	t.Helper()
	from, err := client(t, settings()).Source(t.Context(), parse(t, r.Host+"/"+repository+":x"))
	if err != nil {
		t.Fatal(err)
	}
	list, err := from.Referrers(t.Context(), subject, registry.ReferrersQuery{})
	if err != nil {
		t.Fatal(err)
	}
	var digests []string
	for _, d := range list {
		digests = append(digests, d.Digest)
	}
	return digests
}

// wantReferrers checks that a registry lists these referrers of a subject, in any order.
func wantReferrers(t *testing.T, r remoteRegistry, repository, subject string, want ...string) {
	t.Helper()
	got := referrersAt(t, r, repository, subject)
	if len(got) != len(want) {
		t.Errorf("%s lists %v for %s, want %v", r.Host, got, subject, want)
	}
	for _, d := range want {
		if !strings.Contains(strings.Join(got, " "), d) {
			t.Errorf("%s does not list %s for %s", r.Host, d, subject)
		}
	}
}

// wantSame checks that two repositories have the same under a tag or a digest.
func wantSame(t *testing.T, p pair, from, to, identifier string) {
	t.Helper()
	at := ":" + identifier
	if digest.Valid(identifier) {
		at = "@" + identifier
	}
	if err := registrytest.Validate(t.Context(), p.source.backend+"/"+from+at, p.destination.backend+"/"+to+at); err != nil {
		t.Error(err)
	}
}

// What refers to an image, to the manifests below it and to these referrers is at the destination,
// whether the registries have the referrers API or not.
func TestReferrersTravel(t *testing.T) {
	t.Parallel()
	for _, from := range []api{false, true} {
		for _, to := range []api{false, true} {
			t.Run(fmt.Sprintf("from %v to %v", from, to), func(t *testing.T) {
				t.Parallel()
				p := pair{startAs(t, from), startAs(t, to)}
				child := registrytest.NewImage(registrytest.OCI, "child", "amd64", registrytest.NewLayer("a", 1000))
				index := push(t, p.source, "ci/a:v1", registrytest.NewIndex(registrytest.OCI, child))
				below := digestOf(t, child)
				sbom := attach(t, p.source, "ci/a", index, "application/spdx+json")
				proof := attach(t, p.source, "ci/a", below, "application/vnd.in-toto+json")
				countersigned := attach(t, p.source, "ci/a", sbom, "application/vnd.example.signature")
				sign(t, p.source, "ci/a", index, ".sig")
				sign(t, p.source, "ci/a", below, ".att")
				p.reset()
				run := mirrorLines(t, line(p, "ci/a:v1", "m/a:v1"))
				run.allAre(t, stream.Copied)
				wantArrived(t, p, "ci/a:v1", "m/a:v1")
				wantReferrers(t, p.destination, "m/a", index, sbom)
				wantReferrers(t, p.destination, "m/a", below, proof)
				wantReferrers(t, p.destination, "m/a", sbom, countersigned)
				for _, what := range []string{sbom, proof, countersigned, registry.ReferrersTag(index) + ".sig", registry.ReferrersTag(below) + ".att"} {
					wantSame(t, p, "ci/a", "m/a", what)
				}
				wantLast(t, p.destination, "v1")
				p.reset()
				mirrorLines(t, line(p, "ci/a:v1", "m/a:v1")).allAre(t, stream.Current)
				wantRequests(t, p.source, map[string]int{"HEAD manifest": 1})
				wantRequests(t, p.destination, map[string]int{"HEAD manifest": 1})
			})
		}
	}
}

// wantLast checks that the last write of a registry was the push of a tag.
func wantLast(t *testing.T, r remoteRegistry, tag string) {
	t.Helper()
	last := ""
	for _, q := range r.Log() {
		if strings.HasPrefix(q.Kind, "P") {
			last = q.Path
		}
	}
	if !strings.HasSuffix(last, "/manifests/"+tag) {
		t.Errorf("the last write was %s, want the tag %s", last, tag)
	}
}

func digestOf(t *testing.T, image v1.Image) string {
	t.Helper()
	d, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

// travelWith copies the images of lines, which belong to a set that says what travels with them.
func travelWith(t *testing.T, referrers string, lines ...string) run {
	t.Helper()
	return carry(t, settings(), anonymous{}, planned(t, setWith(t, "referrers: "+referrers, lines...)))
}

// A cold run asks each manifest for its referrers where the API is, and lists the tags of each
// repository. What exists is read once and written once.
func TestReferrersCostTheLeast(t *testing.T) {
	t.Parallel()
	p := pair{startAs(t, true), startAs(t, false)}
	image := push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 1000)))
	push(t, p.source, "ci/b:v1", registrytest.NewImage(registrytest.OCI, "b", "amd64", registrytest.NewLayer("b", 1000)))
	attach(t, p.source, "ci/a", image, "application/spdx+json")
	attach(t, p.source, "ci/a", image, "application/vnd.example.signature")
	p.reset()
	mirrorLines(t, line(p, "ci/a:v1", "m/a:v1"), line(p, "ci/b:v1", "m/b:v1")).allAre(t, stream.Copied)
	// Two images and two referrers have a layer each, and the referrers share an empty config. The
	// source has an index of referrers besides the API, as its list of tags says.
	wantRequests(t, p.source, map[string]int{"GET manifest": 4 + 1, "GET blob": 7, "GET tags": 2, "GET referrers": 4})
	// The index that lists both referrers is read and written once.
	wantRequests(t, p.destination, map[string]int{
		"HEAD manifest": 2, "POST mount": 7, "PUT upload": 7, "PUT manifest": 4 + 1, "GET manifest": 1,
	})
}

// What others have written into the index of referrers stays, and so does what a digest has there.
func TestIndexOfReferrersIsMerged(t *testing.T) {
	t.Parallel()
	p := pair{startAs(t, true), startAs(t, false)}
	image := registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 1000))
	subject := push(t, p.source, "ci/a:v1", image)
	theirs := attach(t, p.destination, "m/a", subject, "application/vnd.other")
	ours := attach(t, p.source, "ci/a", subject, "application/spdx+json")
	mirrorLines(t, line(p, "ci/a:v1", "m/a:v1", "m/a:v1.0")).allAre(t, stream.Copied)
	wantReferrers(t, p.destination, "m/a", subject, theirs, ours)
	p.reset()
	mirrorLines(t, line(p, "ci/a:v1", "m/a:v2")).allAre(t, stream.Copied)
	wantReferrers(t, p.destination, "m/a", subject, theirs, ours)
}

func TestTypesChooseReferrers(t *testing.T) {
	t.Parallel()
	p := pair{startAs(t, true), startAs(t, true)}
	subject := push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 1000)))
	sbom := attach(t, p.source, "ci/a", subject, "application/spdx+json")
	attach(t, p.source, "ci/a", subject, "application/vnd.example.signature")
	sign(t, p.source, "ci/a", subject, ".sig")
	attestation := sign(t, p.source, "ci/a", subject, ".att")
	run := travelWith(t, "{types: [application/spdx+json, attestation]}", line(p, "ci/a:v1", "m/a:v1"))
	run.allAre(t, stream.Copied)
	wantReferrers(t, p.destination, "m/a", subject, sbom)
	got := run.results[p.destination.Host+"/m/a:v1"].Travelled
	want := []stream.Travelled{
		{Kind: "application/spdx+json", Copied: 1, Digests: []string{sbom}}, {Kind: "attestation", Copied: 1, Digests: []string{attestation}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what travelled (-want +got):\n%s", diff)
	}
	travelWith(t, "{copy: none}", line(p, "ci/a:v1", "m/b:v1")).allAre(t, stream.Copied)
	wantReferrers(t, p.destination, "m/b", subject)
}

// What cannot be copied is counted, and the image arrives; if it is required, the image's tag
// stays.
func TestReferrersThatCannotBeCopied(t *testing.T) {
	t.Parallel()
	const subjectOfAnother = "sha256:00000000000000000000000000000000000000000000000000000000000000aa"
	for _, c := range []struct {
		name   string
		spoil  func(t *testing.T, p pair, subject string)
		failed int
		says   string
	}{
		{"a list that names a referrer of another image", func(t *testing.T, p pair, subject string) {
			attachAs(t, p.source, "ci/a", subject, subjectOfAnother, "x/y")
		}, 1, "but it refers to"},
		{"a referrer that is missing", func(t *testing.T, p pair, subject string) {
			d := attach(t, p.source, "ci/a", subject, "x/y")
			p.source.Inject(registrytest.FaultRule{Path: regexp.MustCompile(d), Fault: registrytest.Status(404, "")})
		}, 1, "lists it as a referrer of"},
		{"a blob of a referrer that is missing", func(t *testing.T, p pair, subject string) {
			attach(t, p.source, "ci/a", subject, "x/y")
			gone := registrytest.NewLayer("x/y"+subject, 500).Digest.String()
			p.source.Inject(registrytest.FaultRule{Path: regexp.MustCompile("blobs/" + gone), Fault: registrytest.Status(404, "")})
		}, 1, "404"},
		{"a list that is no index", func(t *testing.T, p pair, subject string) {
			push(t, p.source, "ci/a:"+registry.ReferrersTag(subject), registrytest.NewImage(registrytest.OCI, "other", "amd64", registrytest.NewLayer("o", 10)))
		}, 1, "no \"manifests\""},
		{"a list that cannot be read", func(t *testing.T, p pair, subject string) {
			attach(t, p.source, "ci/a", subject, "x/y")
			p.source.Inject(registrytest.FaultRule{Path: regexp.MustCompile("manifests/" + registry.ReferrersTag(subject)), Fault: registrytest.Status(403, "")})
		}, 1, "403"},
		{"a referrer that the destination refuses", func(t *testing.T, p pair, subject string) {
			d := attach(t, p.source, "ci/a", subject, "x/y")
			p.destination.Inject(registrytest.FaultRule{Kind: "PUT manifest", Path: regexp.MustCompile(d), Fault: registrytest.Status(400, "")})
		}, 1, "400"},
		{"an index that the destination refuses", func(t *testing.T, p pair, subject string) {
			attach(t, p.source, "ci/a", subject, "x/y")
			p.destination.Inject(registrytest.FaultRule{Kind: "PUT manifest", Path: regexp.MustCompile("manifests/sha256-"), Fault: registrytest.Status(400, "")})
		}, 1, "400"},
		{"a signature that leads back to its image", func(t *testing.T, p pair, subject string) {
			image := registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 1000))
			push(t, p.source, "ci/a:"+registry.ReferrersTag(subject)+".sig", registrytest.NewIndex(registrytest.OCI, image))
		}, 1, "leads back to the image"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			subject := push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 1000)))
			c.spoil(t, p, subject)
			lines := []string{line(p, "ci/a:v1", "m/a:v1")}
			run := travelWith(t, "{required: true}", lines...)
			run.allAre(t, stream.Failed)
			if got := run.results[p.destination.Host+"/m/a:v1"]; !strings.Contains(got.Error.Message, c.says) {
				t.Errorf("required: %+v, want %q", got.Error, c.says)
			}
			wantNoTag(t, p.destination, "m/a:v1")
			run = mirrorLines(t, lines...)
			run.allAre(t, stream.Copied)
			failed := 0
			for _, k := range run.results[p.destination.Host+"/m/a:v1"].Travelled {
				failed += k.Failed
				if k.Error == nil || !strings.Contains(k.Error.Message, c.says) {
					t.Errorf("%s: %+v, want %q", k.Kind, k.Error, c.says)
				}
			}
			if failed != c.failed {
				t.Errorf("%d attachments failed, want %d", failed, c.failed)
			}
		})
	}
}

// wantNoTag checks that a registry does not have a tag.
func wantNoTag(t *testing.T, r remoteRegistry, name string) {
	t.Helper()
	from, err := client(t, settings()).Source(t.Context(), parse(t, r.Host+"/"+name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := from.Head(t.Context(), "v1"); regerror.StatusOf(err) != http.StatusNotFound {
		t.Errorf("%s is there: %v", name, err)
	}
}

// The index of referrers that a source keeps under a tag is no image of a wildcard: the destination
// has an index of its own, in which others may have written.
func TestWildcardsLeaveOutIndexesOfReferrers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spec  string
		index bool // the index is mirrored like an image
	}{
		"copied":   {"referrers: {copy: copied}", false},
		"always":   {"referrers: {copy: always}", false},
		"selected": {"referrers: {copy: always}\n  select: [{source: \"*\", include: \".*\"}]", false},
		"none":     {"referrers: {copy: none}", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := pair{startAs(t, false), startAs(t, false)}
			subject := push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 1000)))
			theirs := attach(t, p.source, "ci/a", subject, "x/y")
			copied := func() map[string]stream.Result {
				return carry(t, settings(), anonymous{}, planned(t, setOf(t, mappingFile(t, line(p, "ci/a:*", "m/a")), c.spec))).results
			}
			_, is := copied()[p.destination.Host+"/m/a:"+registry.ReferrersTag(subject)]
			if is != c.index {
				t.Errorf("the index is mirrored like an image: %v", is)
			}
			if c.index {
				return
			}
			ours := attach(t, p.destination, "m/a", subject, "x/ours")
			for of, got := range copied() {
				if got.Status != stream.Current {
					t.Errorf("%s is %s in a second run", of, got.Status)
				}
			}
			wantReferrers(t, p.destination, "m/a", subject, theirs, ours)
		})
	}
}
