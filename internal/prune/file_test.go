package prune

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

func sample() *Proposal {
	return &Proposal{
		Version: Version, Set: "set", Created: now, After: "720h", Most: 50,
		Tags: []Tag{{
			Tag: "q.io/org/a:v1", Digest: sha("a"), Unwanted: ago(40), Age: "40 days", Reason: "no mapping of the set names it",
			With: []With{{Additional, "v1-aaaa", sha("a")}, {Companion, "sha256-" + strings.Repeat("a", 64) + ".sig", sha("c")}, {Kind: Referrer, Digest: sha("d")}},
		}},
		Left:    []Left{{"q.io/org/a:v2", "it is at another digest"}},
		Deleted: []string{"q.io/org/a:v3"},
	}
}

func TestFilesAreReadAsWritten(t *testing.T) {
	content, err := sample().Write()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Read(content)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample(), got); diff != "" {
		t.Errorf("read again (-want +got):\n%s", diff)
	}
}

// What is written matches docs/reference/prune.schema.json, and the schema refuses other keys.
func TestFilesMatchTheirSchema(t *testing.T) {
	content, err := os.ReadFile("../../docs/reference/prune.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource("prune.schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("prune.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []*Proposal{sample(), {Version: Version, Set: "s", Created: now, After: "1h", Most: 1, Tags: []Tag{}}} {
		content, err := f.Write()
		if err != nil {
			t.Fatal(err)
		}
		got, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(got); err != nil {
			t.Errorf("the file does not match its schema: %v", err)
		}
		got.(map[string]any)["more"] = true
		if schema.Validate(got) == nil {
			t.Error("the schema accepts an unknown key")
		}
	}
}

func TestReadRefuses(t *testing.T) {
	whole, err := sample().Write()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, old, with, want string }{
		{"another version", `"version": 1`, `"version": 2`, "the file has version 2, and this program reads version 1"},
		{"an unknown key", `"most": 50`, `"most": 50, "force": true`, `unknown key "force"`},
		{"a key twice", `"most": 50`, `"most": 50, "most": 900`, "appears twice"},
		{"too many at once", `"most": 50`, `"most": 100000`, "most is 100000"},
		{"none at once", `"most": 50`, `"most": 0`, "most is 0"},
		{"no time", `"created": "2026-11-29T12:00:00Z"`, `"created": "0001-01-01T00:00:00Z"`, "does not say when"},
		{"a tag that is a path", "q.io/org/a:v1\"", "q.io/org/../a:v1\"", "is not an image name"},
		{"no tag", "q.io/org/a:v1\"", "q.io/org/a\"", "is not HOST/REPOSITORY:TAG"},
		{"a digest", "q.io/org/a:v1\"", "q.io/org/a@" + sha("a") + "\"", "is not HOST/REPOSITORY:TAG"},
		{"another spelling", "q.io/org/a:v1\"", "Q.IO/org/a:v1\"", "is not HOST/REPOSITORY:TAG"},
		{"a short digest", sha("a") + `"`, `sha256:aa"`, "the invalid digest"},
		{"an additional tag that is a path", "v1-aaaa", "../b", "has the invalid tag"},
		{"a signature of another image", "sha256-aaaa", "sha256-bbbb", "which is not a tag of its digest"},
		{"a referrer with a tag", `"kind": "referrer",`, `"kind": "referrer", "tag": "latest",`, "has the invalid tag"},
		{"an unknown kind", `"kind": "additional tag"`, `"kind": "everything"`, "unknown kind"},
		{"a reason for a terminal", "no mapping of", `\u001b[2J`, "is not a printable line"},
		{"cut", "\n}\n", "", "unexpected end of JSON"},
	} {
		content := strings.Replace(string(whole), c.old, c.with, 1)
		if content == string(whole) {
			t.Fatalf("%s: the file does not have %s", c.name, c.old)
		}
		if _, err := Read([]byte(content)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error that says %q", c.name, err, c.want)
		}
	}
	twice := sample()
	twice.Tags = append(twice.Tags, twice.Tags[0])
	content, _ := twice.Write()
	if _, err := Read(content); err == nil || !strings.Contains(err.Error(), "is listed twice") {
		t.Errorf("a tag twice: %v", err)
	}
}

func TestOldFilesAreRefused(t *testing.T) {
	for _, c := range []struct {
		age time.Duration
		ok  bool
	}{{time.Hour, true}, {6 * 24 * time.Hour, true}, {8 * 24 * time.Hour, false}, {-2 * time.Hour, false}} {
		if err := sample().CheckAge(now.Add(c.age)); (err == nil) != c.ok {
			t.Errorf("after %s: %v", c.age, err)
		}
	}
}

// A file that is read can be written and read again, and names nothing but tags and digests.
func FuzzRead(f *testing.F) {
	content, _ := sample().Write()
	f.Add(content)
	f.Add([]byte(`{"version":1}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := Read(in)
		if err != nil {
			return
		}
		content, err := got.Write()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Read(content)
		if err != nil {
			t.Fatalf("written again, it is refused: %v", err)
		}
		if diff := cmp.Diff(got, again, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("written again, it differs:\n%s", diff)
		}
	})
}
