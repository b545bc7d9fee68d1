package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/fault"
	"imagemirror/internal/report/reporttest"
	"imagemirror/internal/stream"
)

// lockAfter returns images.lock after a run with one result for each line, and what is known from
// before.
func lockAfter(t *testing.T, run string, known KnownImages, results ...stream.Result) []byte {
	t.Helper()
	var ids []int
	for _, r := range results {
		ids = append(ids, r.ID)
	}
	s := named(stream.Results, "", ids...)
	for _, r := range results {
		s.with(r)
	}
	r, err := build(t, s)
	if err != nil {
		t.Fatal(err)
	}
	r.From(Origin{ID: run})
	r.Lock(known)
	var b bytes.Buffer
	if err := r.WriteLock(&b); err != nil {
		t.Fatal(err)
	}
	reporttest.Load(t, "../../docs/reference/images-lock.schema.json").Validate(t, b.Bytes())
	return b.Bytes()
}

// knownFrom returns what an images.lock says.
func knownFrom(t *testing.T, content []byte) KnownImages {
	t.Helper()
	images, err := readLock(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return images
}

// Each step is a run over one destination. The lock says what it has and who put it there.
func TestLockFollowsTheTag(t *testing.T) {
	sha := func(name string) string {
		if name == "" {
			return ""
		}
		return digestOf(name)
	}
	signature := func(names ...string) []stream.Travelled {
		t := stream.Travelled{Kind: "signature", Copied: len(names)}
		for _, n := range names {
			t.Digests = append(t.Digests, digestOf(n))
		}
		return []stream.Travelled{t}
	}
	private := &stream.Error{Kind: fault.Private, Side: "destination", Message: "published, not public"}
	broken := &stream.Error{Kind: fault.Unavailable, Message: "no"}
	content := []byte("{\"version\":1,\"images\":[]}")
	for n, s := range []struct {
		name             string
		status           string
		digest, old      string
		travelled        []stream.Travelled
		err              *stream.Error
		has, run, beside string // "" if the lock does not have the destination
	}{
		{"it fails and nothing is there", stream.Failed, "a", "", nil, broken, "", "", ""},
		{"somebody has pushed it", stream.Current, "a", "a", nil, nil, "a", "r1", ""},
		{"it is current", stream.Current, "a", "a", nil, nil, "a", "r1", ""},
		{"it moves", stream.Copied, "b", "a", signature("s1"), nil, "b", "r3", "1 s1"},
		{"it is current", stream.Current, "b", "b", nil, nil, "b", "r3", "1 s1"},
		{"it cannot move", stream.Failed, "c", "b", nil, broken, "b", "r3", "1 s1"},
		{"the registry is down", stream.Failed, "", "", nil, broken, "b", "r3", "1 s1"},
		{"it is held", stream.Held, "c", "b", nil, nil, "b", "r3", "1 s1"},
		{"it is deferred", stream.Deferred, "c", "b", nil, nil, "b", "r3", "1 s1"},
		{"a signature comes later", stream.Current, "b", "b", signature("s2"), nil, "b", "r3", "2 s1 s2"},
		{"the same again", stream.Current, "b", "b", signature("s2"), nil, "b", "r3", "2 s1 s2"},
		{"somebody has moved it", stream.Current, "c", "c", nil, nil, "c", "r11", ""},
		{"it moves, and is private", stream.Failed, "d", "c", signature("s3"), private, "d", "r12", "1 s3"},
		{"it is private", stream.Failed, "d", "d", nil, private, "d", "r12", "1 s3"},
		{"it is public", stream.Current, "d", "d", nil, nil, "d", "r12", "1 s3"},
		{"it moves back", stream.Copied, "b", "d", nil, nil, "b", "r15", ""},
		{"somebody has moved it, and it fails", stream.Failed, "b", "e", nil, broken, "e", "r16", ""},
	} {
		content = lockAfter(t, fmt.Sprint("r", n), knownFrom(t, content), stream.Result{
			ID: 1, Status: s.status, Digest: sha(s.digest), Old: sha(s.old), Travelled: s.travelled, Error: s.err, Note: "note",
		})
		want := ""
		if s.has != "" {
			want = s.has + " " + s.run
			if s.beside != "" {
				want += " signature " + s.beside
			}
		}
		if got := briefLock(t, content); got != want {
			t.Errorf("run %d, %s: got %q, want %q", n, s.name, got, want)
		}
	}
}

// briefLock returns what a lock has of its only image, with names instead of digests.
func briefLock(t *testing.T, content []byte) string {
	t.Helper()
	var file struct{ Images []LockedImage }
	if err := json.Unmarshal(content, &file); err != nil || len(file.Images) > 1 {
		t.Fatalf("%v: %s", err, content)
	}
	var words []string
	for _, i := range file.Images {
		words = append(words, i.Digest, i.Run)
		for _, r := range i.Referrers {
			words = append(append(words, r.Kind, fmt.Sprint(r.Count)), r.Digests...)
		}
	}
	text := strings.Join(words, " ")
	for _, name := range []string{"a", "b", "c", "d", "e", "s1", "s2", "s3"} {
		text = strings.ReplaceAll(text, digestOf(name), name)
	}
	return text
}

// A run in which nothing moves writes the same bytes, whatever order its results have.
func TestLockIsStable(t *testing.T) {
	results := make([]stream.Result, 0, 50)
	for id := 50; id > 0; id-- {
		r := result(id, stream.Copied, 10)
		r.Travelled = []stream.Travelled{{Kind: "sbom", Copied: 1, Digests: []string{digestOf(fmt.Sprint(id))}}, {Kind: "a/b", Copied: 2}}
		results = append(results, r)
	}
	first := lockAfter(t, "r1", nil, results...)
	for i := range results {
		results[i].Status, results[i].Old, results[i].Travelled = stream.Current, results[i].Digest, nil
	}
	results[0], results[9] = results[9], results[0]
	if diff := cmp.Diff(string(first), string(lockAfter(t, "r2", knownFrom(t, first), results...))); diff != "" {
		t.Errorf("the second run (-first +second):\n%s", diff)
	}
}

// What is known of the destinations of a wildcard stays while its tags cannot be listed, and goes
// with those that it does not match any more.
func TestLockOfAWildcardThatFails(t *testing.T) {
	image := func(destination string) *LockedImage {
		return &LockedImage{Destination: destination, Digest: digestOf("a"), Source: "s", Run: "r0"}
	}
	known := KnownImages{}
	for _, name := range []string{"q.io/a:v1", "q.io/a:v2", "q.io/a/b:v1", "q.io:443/a:v1", "q.io/other:v1"} {
		known[name] = image(name)
	}
	for source, want := range map[string]string{"s.io/a:v*": "q.io/a:v1 q.io/a:v2", "s.io/a:v1": ""} {
		r, err := build(t, named(stream.Results, "", 1).with(stream.Result{ID: 1, Status: stream.Failed, Error: &stream.Error{Message: "no"}}))
		if err != nil {
			t.Fatal(err)
		}
		r.Results[0].Source, r.Results[0].Destination = source, "q.io/a"
		r.Lock(known)
		var got []string
		for _, i := range r.locked {
			got = append(got, i.Destination)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("after %s failed, the lock has %q, want %q", source, got, want)
		}
	}
}

// A destination may have its own line and match a wildcard that cannot be listed. The lock then has
// only what this run found.
func TestLockBesideAWildcardThatFails(t *testing.T) {
	before := &LockedImage{Destination: "q.io/a:v1", Digest: digestOf("a"), Source: "s", Run: "r0"}
	other := &LockedImage{Destination: "q.io/a:v2", Digest: digestOf("a"), Source: "s", Run: "r0"}
	failed := &stream.Error{Message: "no"}
	for _, c := range []struct {
		name string
		own  stream.Result
		want string // digest of q.io/a:v1
	}{
		{"it moved", stream.Result{ID: 1, Status: stream.Copied, Digest: digestOf("b"), Old: digestOf("a")}, digestOf("b")},
		{"somebody has moved it", stream.Result{ID: 1, Status: stream.Failed, Old: digestOf("c"), Error: failed}, digestOf("c")},
		{"it is as before", stream.Result{ID: 1, Status: stream.Current, Digest: digestOf("a"), Old: digestOf("a")}, digestOf("a")},
		{"it is not known", stream.Result{ID: 1, Status: stream.Failed, Error: failed}, digestOf("a")},
	} {
		r, err := build(t, named(stream.Results, "", 1, 2).with(c.own, stream.Result{ID: 2, Status: stream.Failed, Error: failed}))
		if err != nil {
			t.Fatal(err)
		}
		r.Results[0].Source, r.Results[0].Destination = "s.io/a:v1", "q.io/a:v1"
		r.Results[1].Source, r.Results[1].Destination = "s.io/a:v*", "q.io/a"
		r.Lock(KnownImages{before.name(): before, other.name(): other})
		got := map[string]string{}
		for _, i := range r.locked {
			got[i.Destination] += i.Digest
		}
		if diff := cmp.Diff(map[string]string{"q.io/a:v1": c.want, "q.io/a:v2": digestOf("a")}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// A report that lacks mappings, and a dry run, leave the lock of an earlier run.
func TestReportsWithoutALock(t *testing.T) {
	for name, s := range map[string]*sheet{
		"a dry run":            named(stream.Plan, "", 1).with(stream.Copy{ID: 1, Digest: digestOf("a")}),
		"unknown mappings":     named(stream.Results, "", 1).with(result(1, stream.Copied, 1)).announcing(5),
		"nothing to copy, dry": named(stream.Plan, "", 1).with(result(1, stream.Current, 0)),
	} {
		r, err := build(t, s)
		if err != nil {
			t.Fatal(err)
		}
		r.Lock(nil)
		if len(r.Files()) != 3 {
			t.Errorf("%s has %d files", name, len(r.Files()))
		}
	}
	r := NoPlan("no")
	if r.Lock(nil); len(r.Files()) != 3 {
		t.Errorf("a run without a plan has %d files", len(r.Files()))
	}
}

func TestLockOfADirectory(t *testing.T) {
	digest := digestOf("a")
	for _, c := range []struct{ name, content, says string }{
		{"none", "", ""},
		{"a good one", `{"version":1,"images":[{"destination":"quay.io/org/a:v1","digest":"` + digest + `","source":"s","run":"r1"}]}`, ""},
		{"one of a later version", `{"version":2,"images":[]}`, "it has version 2"},
		{"a cut one", `{"version":1,"images":[{"destination":`, "unexpected EOF"},
		{"one without a digest", `{"version":1,"images":[{"destination":"quay.io/org/a:v1"}]}`, "image 1 has no digest"},
		{"null", `{"version":1,"images":[null]}`, "image 1 has no digest"},
		{"text", "hello", "invalid character"},
		{"a conflict of a merge", "{\n<<<<<<< ours\n\"version\":1,\"images\":[]}", "invalid character '<'"},
		{"the rest of a merge", `{"version":1,"images":[]}` + "\n>>>>>>> theirs\n", "more follows its JSON"},
		{"both sides of a merge", `{"version":1,"images":[]}{"version":1,"images":[]}`, "more follows its JSON"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := Output{t.TempDir()}
			if c.content != "" {
				if err := os.WriteFile(filepath.Join(d.path, LockFile), []byte(c.content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			known, err := d.Lock()
			if (err != nil) != (c.says != "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %v, want %q", err, c.says)
			}
			if got := known["quay.io/org/a:v1"]; (got != nil) != (c.name == "a good one") || got != nil && got.Run != "r1" {
				t.Errorf("it knows %+v", got)
			}
		})
	}
	if known, err := (Output{}).Lock(); err != nil || len(known) > 0 {
		t.Errorf("no directory: %v", err)
	}
}

func FuzzReadLock(f *testing.F) {
	f.Add([]byte(`{"version":1,"images":[{"destination":"a:v1","digest":"` + digestOf("a") + `","run":"r","referrers":[{"kind":"k","count":-1,"digests":["x"]}]}]}`))
	f.Add([]byte(`{"version":1,"images":[null]}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		images, err := readLock(bytes.NewReader(content))
		if err != nil {
			return
		}
		for name, i := range images {
			if i.name() != name || len(i.Referrers) > MaxKinds {
				t.Errorf("%q is %+v", name, i)
			}
		}
	})
}
