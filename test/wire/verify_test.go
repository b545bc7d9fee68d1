package wire

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"imagemirror/internal/fault"
	"imagemirror/internal/imageset"
	"imagemirror/internal/manifest"
	"imagemirror/internal/plan"
	"imagemirror/internal/record"
	"imagemirror/internal/reference"
	"imagemirror/internal/registry"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
	"imagemirror/internal/verify/signtest"
)

// verifying returns a set whose settings demand that images are signed, with a key in cosign.pub.
func verifying(t *testing.T, key *signtest.KeyPair, rule string, lines ...string) []*imageset.Set {
	t.Helper()
	file := mappingFile(t, lines...)
	if err := os.WriteFile(filepath.Join(filepath.Dir(file), "cosign.pub"), key.Public, 0o600); err != nil {
		t.Fatal(err)
	}
	return setOf(t, file, "verify: "+rule)
}

const byKey = "{anyOf: [{key: cosign.pub}]}"

func verified(t *testing.T, sets []*imageset.Set) run {
	t.Helper()
	return carry(t, settings(), anonymous{}, planned(t, sets))
}

// signWith signs the image with a digest in cosign's tag.
func signWith(t *testing.T, r remoteRegistry, repository, digest string, by signtest.Signer) {
	t.Helper()
	if err := signtest.SignImage(t.Context(), r.backend+"/"+repository, digest, by); err != nil {
		t.Fatal(err)
	}
}

func bundleWith(t *testing.T, r remoteRegistry, repository, digest, predicate string, by signtest.Signer) {
	t.Helper()
	if _, err := signtest.BundleImage(t.Context(), r.backend+"/"+repository, digest, predicate, by); err != nil {
		t.Fatal(err)
	}
}

// An image is copied if it is signed as is demanded, in cosign's tag or by a bundle, and whether
// its registry has the referrers API or not.
func TestSignedImagesAreCopied(t *testing.T) {
	t.Parallel()
	key := signtest.NewKeyPair()
	for _, has := range []api{false, true} {
		for name, sign := range map[string]func(*testing.T, remoteRegistry, string){
			"cosign's tag": func(t *testing.T, r remoteRegistry, d string) { signWith(t, r, "ci/a", d, key) },
			"a bundle": func(t *testing.T, r remoteRegistry, d string) {
				bundleWith(t, r, "ci/a", d, signtest.SignPredicate, key)
			},
		} {
			t.Run(fmt.Sprintf("%s, %v", name, has), func(t *testing.T) {
				t.Parallel()
				p := pair{startAs(t, has), newRegistry(t, nil)}
				d := push(t, p.source, "ci/a:v1", registrytest.NewPlatforms(registrytest.OCI, "a", 100, []string{"amd64", "arm64"}))
				lines := []string{line(p, "ci/a:v1", "m/a:v1")}
				verified(t, verifying(t, key, byKey, lines...)).wantFault(t, fault.Unverified, "found no signature; wanted a signature by the key cosign.pub")
				wantNoTag(t, p.destination, "m/a:v1")
				sign(t, p.source, d)
				verified(t, verifying(t, key, byKey, lines...)).allAre(t, stream.Copied)
				verified(t, verifying(t, key, byKey, lines...)).allAre(t, stream.Current)
				// The destination is the one that the other key no longer vouches for.
				verified(t, verifying(t, signtest.NewKeyPair(), byKey, lines...)).wantFault(t, fault.Unverified, "it is by another key, or was changed since")
				wantArrived(t, p, "ci/a:v1", "m/a:v1")
			})
		}
	}
}

// wantFault checks that all images of a run failed with a kind, and what they say.
func (r run) wantFault(t *testing.T, kind fault.Kind, says string) {
	t.Helper()
	r.allAre(t, stream.Failed)
	for name, got := range r.results {
		if e := got.Error; e == nil || e.Kind != kind || !strings.Contains(e.Message, says) || e.Advice == "" {
			t.Errorf("%s: %+v, want %s and %q", name, e, kind, says)
		}
	}
}

// What verification costs at the source, besides what a run without it asks.
func TestVerificationCostsTheLeast(t *testing.T) {
	t.Parallel()
	key := signtest.NewKeyPair()
	const attested = "{anyOf: [{key: cosign.pub}], attestations: [slsaprovenance1]}"
	type counts = map[string]int
	for _, c := range []struct {
		name          string
		has           api
		rule          string
		sign          func(t *testing.T, r remoteRegistry, d string)
		cold, current counts
	}{
		{"in cosign's tag", true, byKey, func(t *testing.T, r remoteRegistry, d string) { signWith(t, r, "ci/a", d, key) },
			// The signature travels: its payload and its config are copied, and the payload is read
			// before to verify it.
			counts{"GET manifest": 2, "GET tags": 1, "GET referrers": 2, "GET blob": 2 + 2 + 1},
			counts{"HEAD manifest": 1, "GET tags": 1, "GET manifest": 1, "GET blob": 1}},
		{"in a bundle", true, byKey, func(t *testing.T, r remoteRegistry, d string) {
			bundleWith(t, r, "ci/a", d, signtest.SignPredicate, key)
		},
			counts{"GET manifest": 2, "GET tags": 1, "GET referrers": 2, "GET blob": 2 + 2 + 1},
			counts{"HEAD manifest": 1, "GET tags": 1, "GET referrers": 1, "GET manifest": 1, "GET blob": 1}},
		{"in a bundle, without the API", false, byKey, func(t *testing.T, r remoteRegistry, d string) {
			bundleWith(t, r, "ci/a", d, signtest.SignPredicate, key)
		},
			counts{"GET manifest": 3, "GET tags": 1, "GET referrers": 1, "GET blob": 2 + 2 + 1},
			counts{"HEAD manifest": 1, "GET tags": 1, "GET referrers": 1, "GET manifest": 2, "GET blob": 1}},
		{"signed in cosign's tag, attested in a bundle", true, attested, func(t *testing.T, r remoteRegistry, d string) {
			signWith(t, r, "ci/a", d, key)
			bundleWith(t, r, "ci/a", d, signtest.Provenance, key)
		},
			counts{"GET manifest": 3, "GET tags": 1, "GET referrers": 3, "GET blob": 2 + 3 + 2},
			counts{"HEAD manifest": 1, "GET tags": 1, "GET referrers": 1, "GET manifest": 2, "GET blob": 2}},
		{"only an age", true, "{minAge: 1m}", func(*testing.T, remoteRegistry, string) {}, nil, counts{"HEAD manifest": 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := pair{startAs(t, c.has), newRegistry(t, nil)}
			d := push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 1000)))
			c.sign(t, p.source, d)
			rule := c.rule
			if c.cold == nil {
				rule = byKey
				signWith(t, p.source, "ci/a", d, key)
			}
			p.reset()
			verified(t, verifying(t, key, rule, line(p, "ci/a:v1", "m/a:v1"))).allAre(t, stream.Copied)
			if c.cold != nil {
				wantRequests(t, p.source, c.cold)
			}
			p.reset()
			// A second tag of the same image costs nothing more.
			verified(t, verifying(t, key, c.rule, line(p, "ci/a:v1", "m/a:v1"))).allAre(t, stream.Current)
			wantRequests(t, p.source, c.current)
			wantRequests(t, p.destination, counts{"HEAD manifest": 1})
		})
	}
}

// Sets that demand nothing ask nothing more, even beside one that does; two tags of one image are
// verified once.
func TestVerificationIsForSetsThatAsk(t *testing.T) {
	t.Parallel()
	key := signtest.NewKeyPair()
	p := pair{startAs(t, true), newRegistry(t, nil)}
	image := registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 1000))
	d := push(t, p.source, "ci/a:v1", image)
	push(t, p.source, "ci/a:v1.0", image)
	push(t, p.source, "ci/b:v1", image)
	signWith(t, p.source, "ci/a", d, key)
	sets := func() []*imageset.Set {
		rule := fmt.Sprintf("{sources: [%s/ci/a], anyOf: [{key: cosign.pub}]}", p.source.Host)
		return verifying(t, key, rule, line(p, "ci/a:v1", "m/a:v1"), line(p, "ci/a:v1.0", "m/a:v1.0"), line(p, "ci/b:v1", "m/b:v1"))
	}
	verified(t, sets()).allAre(t, stream.Copied)
	p.reset()
	verified(t, sets()).allAre(t, stream.Current)
	wantRequests(t, p.source, map[string]int{"HEAD manifest": 3, "GET tags": 1, "GET manifest": 1, "GET blob": 1})
}

// Whatever a source has beside an image: it fails alone.
func TestHostileSignatures(t *testing.T) {
	t.Parallel()
	key, stranger := signtest.NewKeyPair(), signtest.NewKeyPair()
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, r remoteRegistry, d string)
		kind  fault.Kind
		says  string
	}{
		{"3,000 signatures", func(t *testing.T, r remoteRegistry, d string) {
			s := stranger.Sign(r.backend+"/ci/a", d)
			var all []signtest.Signature
			for range 3000 {
				all = append(all, s)
			}
			storeAll(t, r, d, all)
		}, fault.Unverified, "there are more than 100, and no more are read"},
		{"a payload of 1 GiB", func(t *testing.T, r remoteRegistry, d string) {
			content := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"x/y","digest":%q,"size":2},`+
				`"layers":[{"mediaType":"application/vnd.dev.cosign.simplesigning.v1+json","digest":%q,"size":1073741824}]}`, manifest.OCIManifest, d, d)
			name := r.backend + "/ci/a:" + registry.ReferrersTag(d) + ".sig"
			if _, err := registrytest.Write(t.Context(), name, registrytest.BareManifest{Type: manifest.OCIManifest, Content: []byte(content)}); err != nil {
				t.Fatal(err)
			}
		}, fault.Unverified, "one of 1.0 GiB is not read"},
		{"a bundle that is not JSON", func(t *testing.T, r remoteRegistry, d string) {
			if _, err := signtest.StoreBundle(t.Context(), r.backend+"/ci/a", d, "", []byte("<html>")); err != nil {
				t.Fatal(err)
			}
		}, fault.Unverified, "it is not a Sigstore bundle"},
		{"a signature that cannot be read", func(t *testing.T, r remoteRegistry, d string) {
			signWith(t, r, "ci/a", d, key)
			r.Inject(registrytest.FaultRule{Path: regexp.MustCompile("/manifests/" + registry.ReferrersTag(d)), Fault: registrytest.Status(403, "")})
		}, fault.Denied, "403"},
		{"a tag that is no signature", func(t *testing.T, r remoteRegistry, d string) {
			push(t, r, "ci/a:"+registry.ReferrersTag(d)+".sig", registrytest.NewPlatforms(registrytest.OCI, "x", 100, []string{"amd64"}))
		}, fault.Unverified, "found no signature"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := pair{startAs(t, true), newRegistry(t, nil)}
			d := push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 1000)))
			good := push(t, p.source, "ci/good:v1", registrytest.NewImage(registrytest.OCI, "g", "amd64", registrytest.NewLayer("g", 1000)))
			signWith(t, p.source, "ci/good", good, key)
			c.spoil(t, p.source, d)
			run := verified(t, verifying(t, key, byKey, line(p, "ci/a:v1", "m/a:v1"), line(p, "ci/good:v1", "m/good:v1")))
			run.are(t, p.destination, map[string]string{"m/a:v1": stream.Failed, "m/good:v1": stream.Copied})
			delete(run.results, p.destination.Host+"/m/good:v1")
			run.wantFault(t, c.kind, c.says)
			wantNoTag(t, p.destination, "m/a:v1")
		})
	}
}

func storeAll(t *testing.T, r remoteRegistry, digest string, all []signtest.Signature) {
	t.Helper()
	if err := signtest.StoreSignatures(t.Context(), r.backend+"/ci/a", digest, ".sig", all); err != nil {
		t.Fatal(err)
	}
}

// An image is kept back until it is old enough, by when it was signed or when a run first saw it.
func TestNewImagesAreKeptBack(t *testing.T) {
	t.Parallel()
	key := signtest.NewKeyPair()
	p := newPair(t)
	d := push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 1000)))
	signWith(t, p.source, "ci/a", d, key)
	lines := []string{line(p, "ci/a:v1", "m/a:v1")}
	const rule = "{anyOf: [{key: cosign.pub}], minAge: 24h}"
	verified(t, verifying(t, key, rule, lines...)).wantFault(t, fault.TooNew, "found an image that was first seen now; wanted one that is 24h old")
	wantNoTag(t, p.destination, "m/a:v1")
	seen := func(digest string, ago time.Duration) run {
		sets := verifying(t, key, rule, lines...)
		known := &record.Record{Destinations: []*record.Destination{{
			Name: p.destination.Host + "/m/a:v1", Fresh: digest, FreshSince: time.Now().Add(-ago),
		}}}
		recall := func(context.Context, string) (*record.Record, error) { return known, nil }
		made, err := plan.Make(t.Context(), plan.Options{Client: client(t, settings()), Recall: recall}, sets)
		if err != nil {
			t.Fatal(err)
		}
		return carry(t, settings(), anonymous{}, &made.Content)
	}
	seen(d, 23*time.Hour).wantFault(t, fault.TooNew, "found an image that was first seen 20")
	seen("sha256:"+strings.Repeat("0", 64), 25*time.Hour).wantFault(t, fault.TooNew, "first seen now")
	seen(d, 25*time.Hour).allAre(t, stream.Copied)
	verified(t, verifying(t, key, rule, lines...)).allAre(t, stream.Current)
}

// What is published of an index for some platforms is what its signature is for, whatever the
// digest at the destination.
func TestIndexIsVerifiedAtItsSource(t *testing.T) {
	t.Parallel()
	key := signtest.NewKeyPair()
	for _, form := range []string{"rewrite", "flatten"} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			p := pair{startAs(t, true), startAs(t, true)}
			d := push(t, p.source, "ci/a:v1", registrytest.NewPlatforms(registrytest.OCI, "a", 100, []string{"amd64", "arm64"}))
			sets := func(k *signtest.KeyPair) []*imageset.Set {
				return verifying(t, k, byKey+"\n  platforms: {only: [linux/amd64], form: "+form+"}", line(p, "ci/a:v1", "m/a:v1"))
			}
			verified(t, sets(key)).wantFault(t, fault.Unverified, "found no signature")
			signWith(t, p.source, "ci/a", d, key)
			verified(t, sets(key)).allAre(t, stream.Copied)
			verified(t, sets(key)).allAre(t, stream.Current)
			verified(t, sets(signtest.NewKeyPair())).wantFault(t, fault.Unverified, "by another key")
		})
	}
}

// A tag that never moves is verified in each run, even one that the record knows to be good.
func TestImmutableTagsAreVerified(t *testing.T) {
	t.Parallel()
	key := signtest.NewKeyPair()
	p := newPair(t)
	d := push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 1000)))
	signWith(t, p.source, "ci/a", d, key)
	recall := func(context.Context, string) (*record.Record, error) {
		now := time.Now()
		return &record.Record{Destinations: []*record.Destination{{
			Name: p.destination.Host + "/m/a:v1", Source: p.source.Host + "/ci/a:v1", Digest: d, Since: now, LastGood: now,
		}}}, nil
	}
	run := func(k *signtest.KeyPair) run {
		sets := verifying(t, k, byKey+"\n  immutable: [v1]", line(p, "ci/a:v1", "m/a:v1"))
		made, err := plan.Make(t.Context(), plan.Options{Client: client(t, settings()), Recall: recall}, sets)
		if err != nil {
			t.Fatal(err)
		}
		return carry(t, settings(), anonymous{}, &made.Content)
	}
	verified(t, verifying(t, key, byKey, line(p, "ci/a:v1", "m/a:v1"))).allAre(t, stream.Copied)
	run(key).allAre(t, stream.Current)
	run(signtest.NewKeyPair()).wantFault(t, fault.Unverified, "by another key")
}

// A run that is told of copies while it plans is not told of an image before that is verified.
func TestNothingMovesBeforeItIsVerified(t *testing.T) {
	t.Parallel()
	p := pair{startAs(t, true), newRegistry(t, nil)}
	push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 1000)))
	p.reset()
	told := false
	ready := func(reference.Reference, []string) bool { told = true; return true }
	sets := verifying(t, signtest.NewKeyPair(), byKey, line(p, "ci/a:v1", "m/a:v1"))
	if _, err := plan.Make(t.Context(), plan.Options{Client: client(t, settings()), Ready: ready}, sets); err != nil {
		t.Fatal(err)
	}
	if told {
		t.Error("an image that is not signed was told of as ready")
	}
	wantRequests(t, p.source, map[string]int{"GET manifest": 1, "GET tags": 1, "GET referrers": 1})
}

// A wildcard does not take signatures for images that nobody has signed.
func TestWildcardsLeaveOutSignatures(t *testing.T) {
	t.Parallel()
	key := signtest.NewKeyPair()
	p := newPair(t)
	for _, tag := range []string{"v1", "v2"} {
		d := push(t, p.source, "ci/a:"+tag, registrytest.NewImage(registrytest.OCI, tag, "amd64", registrytest.NewLayer(tag, 1000)))
		signWith(t, p.source, "ci/a", d, key)
		bundleWith(t, p.source, "ci/a", d, signtest.Provenance, key)
	}
	run := verified(t, verifying(t, key, byKey, line(p, "ci/a:*", "m/a")))
	run.allAre(t, stream.Copied)
	if n := len(run.results); n != 2 {
		t.Errorf("%d results, want those of 2 images", n)
	}
}

// What an immutable tag has of an index was made of an index that the record tells, or else the
// source.
func TestImmutablePartsAreVerified(t *testing.T) {
	t.Parallel()
	key := signtest.NewKeyPair()
	for _, form := range []string{"rewrite", "flatten"} {
		p := newPair(t)
		d := push(t, p.source, "ci/a:v1", threePlatforms(registrytest.OCI, "a"))
		single := push(t, p.source, "ci/a:v2", registrytest.NewImage(registrytest.OCI, "b", "amd64", registrytest.NewLayer("b", 1000)))
		signWith(t, p.source, "ci/a", d, key)
		bundleWith(t, p.source, "ci/a", single, signtest.SignPredicate, key)
		sets := func(k *signtest.KeyPair) []*imageset.Set {
			spec := byKey + "\n  immutable: [v*]\n  platforms: {only: [linux/amd64], form: " + form + "}"
			return verifying(t, k, spec, line(p, "ci/a:v1", "m/a:v1"), line(p, "ci/a:v2", "m/a:v2"))
		}
		copied := verified(t, sets(key))
		copied.allAre(t, stream.Copied)
		verified(t, sets(key)).allAre(t, stream.Current)
		verified(t, sets(signtest.NewKeyPair())).wantFault(t, fault.Unverified, "by another key")

		// Nobody knows what the tag was made of once the source's has moved, but for the record.
		push(t, p.source, "ci/a:v1", threePlatforms(registrytest.OCI, "moved"))
		name := p.destination.Host + "/m/a:v1"
		got := verified(t, sets(key)).results[name]
		if e := got.Error; e == nil || e.Kind != fault.Unverified || !strings.Contains(e.Message, "wanted that one, but no record has its digest") {
			t.Errorf("%s, its source has moved: %+v", form, got)
		}
		was := &record.Destination{Name: name, Source: p.source.Host + "/ci/a:v1", Digest: copied.results[name].Digest, Rewritten: d}
		recall := func(context.Context, string) (*record.Record, error) {
			return &record.Record{Destinations: []*record.Destination{was}}, nil
		}
		made, err := plan.Make(t.Context(), plan.Options{Client: client(t, settings()), Recall: recall}, sets(key))
		if err != nil {
			t.Fatal(err)
		}
		carry(t, settings(), anonymous{}, &made.Content).allAre(t, stream.Current)
	}
}

// An image that goes to two destinations is verified for each by its own rule, even if both rules
// are on one line.
func TestRulesOnOneLineVerifyByThemselves(t *testing.T) {
	t.Parallel()
	for name, second := range map[string]string{
		"another key":    "anyOf: [{key: other.pub}]",
		"an attestation": "anyOf: [{key: cosign.pub}], attestations: [spdx]",
		"an age":         "anyOf: [{key: cosign.pub}], minAge: 24h",
	} {
		p := newPair(t)
		key := signtest.NewKeyPair()
		signWith(t, p.source, "ci/a", push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64")), key)
		file := mappingFile(t, line(p, "ci/a:v1", "m/a:v1"), line(p, "ci/a:v1", "n/a:v1"))
		for pub, content := range map[string][]byte{"cosign.pub": key.Public, "other.pub": signtest.NewKeyPair().Public} {
			if err := os.WriteFile(filepath.Join(filepath.Dir(file), pub), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		host := p.destination.Host
		rules := fmt.Sprintf("[{destinations: [%q], anyOf: [{key: cosign.pub}]}, {destinations: [%q], %s}]", host+"/m", host+"/n", second)
		got := verified(t, setOf(t, file, "verify: "+rules)).results
		if m, n := got[host+"/m/a:v1"], got[host+"/n/a:v1"]; m.Status != stream.Copied || n.Status != stream.Failed {
			t.Errorf("%s: %s and %s, want copied and failed", name, m.Status, n.Status)
		}
	}
}
