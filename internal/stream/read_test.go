package stream

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"imagemirror/internal/manifest"
	"imagemirror/internal/selection"
)

const (
	planHeader     = `{"header":{"version":3,"stream":"plan","run":"r","mappings":1,"started":"2026-03-01T12:00:00Z"}}`
	resultsHeader  = `{"header":{"version":3,"stream":"results","run":"r","mappings":1,"started":"2026-03-01T12:00:00Z"}}`
	mapping        = `{"mapping":{"id":1,"source":"a/b:c","destination":"d/e:f","file":"mapping_x","line":3}}`
	current        = `{"result":{"id":1,"status":"current"}}`
	manifestRecord = `{"manifest":{"digest":"` + image + `","mediaType":"m","content":"e30="}}`

	image    = "sha256:abababababababababababababababababababababababababababababababab"
	replaced = "sha256:cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
)

func ended(records int) string {
	return fmt.Sprintf(`{"end":{"records":%d,"ended":"2026-03-01T12:01:00Z"}}`, records)
}

func lines(l ...string) string { return strings.Join(l, "\n") + "\n" }

// samples returns one plan and one stream of results with every record and every field in use.
func samples() map[string]*Content {
	started := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	mappings := []Mapping{
		{ID: 1, Source: "ci.example.com/knative/client:v1", Destination: "quay.io/knative/client:v1", Set: "knative", File: "image-sets/knative/mapping_v1", Line: 3},
		{ID: 2, Source: "ci.example.com/knative/server:v1", Destination: "quay.io/knative/server:v1", Set: "knative", File: "image-sets/knative/mapping_v1", Line: 4},
		{ID: 5, Source: "ci.example.com/lone:v1", Destination: "quay.io/lone", File: "mapping_lone", Line: 1},
	}
	selections := []Selection{{
		Set: "knative", File: "image-sets/knative/mapping_v1", Line: 3, Source: "ci.example.com/knative/client:*", Rule: "settings.yaml:7", Listed: 3, Selected: 1,
		Steps:  []selection.Step{{Name: selection.StepExclude, Left: 2, Out: []selection.Excluded{{Tag: "v0", Why: "exclude \"v0\" matches it"}}}, {Name: selection.StepNewest, Left: 1}},
		Newest: []string{"v1"}, Minimum: 1,
	}}
	failed := Result{ID: 2, Status: Failed, Error: &Error{Side: "source", Status: 404, Message: "<unknown> \"v1\"\n", Advice: "look again"}}
	return map[string]*Content{
		"plan": {
			Name:      "plan",
			Header:    Header{Version: Version, Stream: Plan, Run: "r1", Shard: "s1", Mappings: 3, Started: started},
			Sets:      []Set{{Name: "knative", Owners: []string{"alice", "bob"}}},
			Selected:  selections,
			Mappings:  mappings,
			Results:   []Result{failed},
			Manifests: slices.Values([]manifest.Raw{{Digest: image, MediaType: "application/vnd.oci.image.manifest.v1+json", Content: []byte("{}")}}),
			Copies: []Copy{
				{ID: 1, Digest: image, Old: replaced, Bytes: 1234, MountFrom: []string{"knative/old"}},
				{ID: 5, Digest: image},
			},
		},
		"results": {
			Name:     "results",
			Header:   Header{Version: Version, Stream: Results, Run: "r1", Shard: "s1", Mappings: 3, Started: started},
			Sets:     []Set{{Name: "knative"}},
			Selected: selections,
			Mappings: mappings,
			Results: []Result{
				failed,
				{ID: 1, Status: Copied, Digest: image, Old: replaced, Bytes: 1234, Seconds: 1.5},
				{ID: 5, Status: Current, Digest: image},
			},
		},
	}
}

// write returns a stream as Write writes it.
func write(t testing.TB, c *Content) []byte {
	var b bytes.Buffer
	if _, err := Write(&b, c); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// collected compares the manifests of streams.
var collected = cmp.Options{
	cmpopts.IgnoreFields(Content{}, "Archive"), // it holds the manifests
	cmp.Transformer("collected", func(m iter.Seq[manifest.Raw]) []manifest.Raw {
		if m == nil {
			return nil
		}
		return slices.Collect(m)
	}),
}

func TestRoundTrip(t *testing.T) {
	for name, want := range samples() {
		t.Run(name, func(t *testing.T) {
			got, err := Read(bytes.NewReader(write(t, want)), name)
			if err != nil {
				t.Fatal(err)
			}
			if got.End == nil || got.End.Ended.IsZero() {
				t.Fatalf("the end is %+v", got.End)
			}
			want.End = got.End
			if diff := cmp.Diff(want, got, collected, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("the stream changed on its way (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSkimDropsManifestsOnly(t *testing.T) {
	want := samples()["plan"]
	got, err := Skim(bytes.NewReader(write(t, want)), "plan")
	if err != nil {
		t.Fatal(err)
	}
	want.Manifests, want.End = nil, got.End
	if diff := cmp.Diff(want, got, collected); diff != "" {
		t.Errorf("Skim (-want +got):\n%s", diff)
	}
	twice := lines(planHeader, mapping, manifestRecord, manifestRecord, current, ended(4))
	if _, err := Skim(strings.NewReader(twice), "plan"); err == nil {
		t.Error("Skim accepts a manifest that is there twice")
	}
}

// TestCutAtEveryByte checks the purpose of the end record: no part of a stream passes for a whole
// one.
func TestCutAtEveryByte(t *testing.T) {
	for name, c := range samples() {
		whole := write(t, c)
		for n := range len(whole) {
			got, err := Read(bytes.NewReader(whole[:n]), name)
			if err == nil && (got.End != nil || got.Cut == nil) {
				t.Errorf("the first %d of %d bytes of the %s pass for a whole stream", n, len(whole), name)
			}
			if n == 0 && !errors.Is(err, ErrEmpty) {
				t.Errorf("nothing at all is %v, want ErrEmpty", err)
			}
		}
	}
}

func TestCut(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"behind the header", lines(planHeader), "in:1: the stream is cut: its end record is missing"},
		{"at a line's end", lines(planHeader, mapping), "in:2: the stream is cut: its end record is missing"},
		{"within a line", lines(planHeader, mapping) + current[:10], "in:3: the stream is cut within a line"},
		{"before the last newline", lines(planHeader, mapping, current) + ended(2), "in:4: the stream is cut within a line"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Read(strings.NewReader(c.in), "in")
			if err != nil {
				t.Fatal(err)
			}
			if got.Cut == nil || got.Cut.Error() != c.want {
				t.Errorf("cut is %v, want %s", got.Cut, c.want)
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	second := strings.Replace(mapping, `"id":1`, `"id":2`, 1)
	move := `{"copy":{"id":1,"digest":"` + image + `","bytes":1}}`
	path := "sha256:../../" + image[13:]
	edit := func(s, old, with string) string {
		if !strings.Contains(s, old) {
			t.Fatalf("%s does not hold %s", s, old)
		}
		return strings.Replace(s, old, with, 1)
	}
	for _, c := range []struct{ name, in, want string }{
		{"nothing", "", "in: the input is empty"},
		{"a cut header", planHeader[:20], "in: the stream is cut before its header ends"},
		{"a mapping file", lines("a/b:c d/e:f"), "in:1: the first record is not a header"},
		{"no header", lines(mapping, current, ended(2)), "in:1: the first record is not a header"},
		{"a future version", lines(edit(planHeader, `"version":3`, `"version":4`)), "in:1: the stream has version 4, and this program reads version 3"},
		{"a future version with new keys", lines(edit(planHeader, `"version":3`, `"version":4,"new":[]`)), "in:1: the stream has version 4"},
		{"no version", lines(edit(planHeader, `"version":3,`, ``)), "in:1: the stream has version 0"},
		{"no known stream", lines(edit(planHeader, `"plan"`, `"journal"`)), `in:1: the stream "journal" is neither "plan" nor "results"`},
		{"fewer than no mappings", lines(edit(planHeader, `"mappings":1`, `"mappings":-1`)), "in:1: the header announces -1 mappings"},
		{"too many mappings", lines(edit(planHeader, `"mappings":1`, `"mappings":99999999`)), "in:1: the header announces 99999999 mappings"},
		{"two headers", lines(planHeader, planHeader), "in:2: a second header: put each stream into its own file"},
		{"two streams", lines(planHeader, mapping, current, ended(2), planHeader), "in:5: a record comes after the end record"},
		{"half a line behind the end", lines(planHeader, mapping, current, ended(2)) + "{", "in:5: a record comes after the end record"},
		{"an unknown record", lines(planHeader, `{"mirror":{}}`), `in:2: reading the record: unknown key "mirror"`},
		{"an unknown key", lines(planHeader, edit(mapping, `"line":3`, `"line":3,"column":1`)), `in:2: reading the record: unknown key "column"`},
		{"an unknown key of an error", lines(resultsHeader, mapping, edit(current, `"current"`, `"failed","error":{"message":"m","cause":"c"}`)), `in:3: reading the record: unknown key "cause"`},
		{"a key in another spelling", lines(planHeader, edit(mapping, `"source"`, `"Source"`)), `in:2: reading the record: the key "Source" has to be spelled "source"`},
		{"a key in letters that fold", lines(planHeader, edit(mapping, `"source"`, `"\u017fource"`)), `in:2: reading the record: the key "ſource" has to be spelled "source"`},
		{"a record in another spelling", lines(planHeader, edit(mapping, `{"mapping"`, `{"MAPPING"`)), `in:2: reading the record: the key "MAPPING" has to be spelled "mapping"`},
		{"a header in another spelling", lines(edit(planHeader, `{"header"`, `{"Header"`)), `in:1: reading the record: the key "Header" has to be spelled "header"`},
		{"a key twice", lines(planHeader, edit(mapping, `"line":3`, `"line":3,"source":"evil/b:c"`)), `in:2: reading the record: the key "source" appears twice`},
		{"a key twice, once escaped", lines(planHeader, edit(mapping, `"line":3`, `"line":3,"\u0069d":2`)), `in:2: reading the record: the key "id" appears twice`},
		{"a record twice in one", lines(planHeader, edit(mapping, `{"mapping"`, `{"mapping":{"id":2,"source":"x/y:z","destination":"d/e:g","file":"f","line":1},"mapping"`)), `in:2: reading the record: the key "mapping" appears twice`},
		{"a key of the cap twice", lines(edit(planHeader, `"mappings":1`, `"mappings":1,"cap":{"rate":1,"rate":9}`)), `in:1: reading the record: the key "rate" appears twice`},
		{"a record that is null", lines(planHeader, `{"mapping":null}`), "in:2: a record has 0 keys, and must have one"},
		{"a record that is a list", lines(planHeader, `{"mapping":[null]}`), "in:2: reading the record: mapping has an invalid value: array"},
		{"a negative id", lines(planHeader, edit(mapping, `"id":1`, `"id":-1`)), "in:2: the mapping has the negative id -1"},
		{"an id beyond all", lines(planHeader, edit(mapping, `"id":1`, `"id":1099511627776000000000`)), "in:2: reading the record: mapping.id has an invalid value: number 10995"},
		{"a plan that copied", lines(planHeader, mapping, edit(current, "current", "copied")), "in:3: mapping 1 of a plan has the status copied, which only results have"},
		{"a value of another type", lines(planHeader, edit(mapping, `"line":3`, `"line":"3"`)), "in:2: reading the record: mapping.line has an invalid value: string"},
		{"broken JSON", lines(planHeader, mapping[:30]), "in:2: reading the record: unexpected end of JSON input"},
		{"an empty line", lines(planHeader, ""), "in:2: reading the record: unexpected end of JSON input"},
		{"an empty record", lines(planHeader, "{}"), "in:2: a record has 0 keys, and must have one"},
		{"two records on a line", lines(planHeader, mapping+second), "in:2: reading the record: invalid character '{' after top-level value"},
		{"two records in one", lines(planHeader, edit(mapping, `{"mapping"`, `{"set":{"name":"s"},"mapping"`)), "in:2: a record has 2 keys, and must have one"},
		{"a mapping twice", lines(planHeader, mapping, mapping), "in:3: mapping 1 appears twice"},
		{"a mapping without a source", lines(planHeader, edit(mapping, "a/b:c", "")), "in:2: mapping 1 has no source or no destination"},
		{"a mapping without a destination", lines(planHeader, edit(mapping, "d/e:f", "")), "in:2: mapping 1 has no source or no destination"},
		{"a manifest among results", lines(resultsHeader, mapping, manifestRecord), "in:3: a stream of results has a manifest"},
		{"a manifest twice", lines(planHeader, mapping, manifestRecord, manifestRecord), `in:4: manifest "` + image + `" appears twice`},
		{"a copy among results", lines(resultsHeader, mapping, move), "in:3: a stream of results has a copy"},
		{"a size beyond int64", lines(planHeader, mapping, edit(move, `"bytes":1`, `"bytes":9223372036854775808`)), "in:3: reading the record: copy.bytes has an invalid value: number 9223372036854775808"},
		{"a mount from a path", lines(planHeader, mapping, edit(move, `"bytes":1`, `"bytes":1,"mountFrom":["a/b","../etc"]`)), `in:3: the copy of mapping 1 mounts from "../etc", which is not a repository`},
		{"a mount from two scopes", lines(planHeader, mapping, edit(move, `"bytes":1`, `"bytes":1,"mountFrom":["a:pull repository:b"]`)), `in:3: the copy of mapping 1 mounts from "a:pull repository:b", which is not a repository`},
		{"a mount from a tag", lines(planHeader, mapping, edit(move, `"bytes":1`, `"bytes":1,"mountFrom":["a:b"]`)), `in:3: the copy of mapping 1 mounts from "a:b", which is not a repository`},
		{"a mount from a query", lines(planHeader, mapping, edit(move, `"bytes":1`, `"bytes":1,"mountFrom":["a&from=b"]`)), `in:3: the copy of mapping 1 mounts from "a&from=b", which is not a repository`},
		{"a mount from nowhere", lines(planHeader, mapping, edit(move, `"bytes":1`, `"bytes":1,"mountFrom":[""]`)), `in:3: the copy of mapping 1 mounts from "", which is not a repository`},
		{"a part of too many manifests", lines(planHeader, mapping, edit(move, `"bytes":1`, `"bytes":1,"only":[`+strings.Repeat(`"`+image+`",`, MaxOnly)+`"`+image+`"]`)), "in:3: the copy of mapping 1 has 0 platforms and 513 manifests, and at most 64 and 512 are allowed"},
		{"a part of a path", lines(planHeader, mapping, edit(move, `"bytes":1`, `"bytes":1,"only":["`+path+`"]`)), `in:3: the copy of mapping 1 has the digest "sha256:../../`},
		{"an index rewritten from a path", lines(planHeader, mapping, edit(move, `"bytes":1`, `"bytes":1,"rewritten":"`+path+`"`)), `in:3: the copy of mapping 1 has the digest "sha256:../../`},
		{"a result rewritten from a path", lines(planHeader, mapping, edit(current, `"id":1`, `"id":1,"rewritten":"`+path+`"`)), `in:3: the result of mapping 1 has the digest "sha256:../../`},
		{"a result of too many platforms", lines(planHeader, mapping, edit(current, `"id":1`, `"id":1,"platforms":[`+strings.Repeat(`"a/b",`, 64)+`"a/b"]`)), "in:3: the result of mapping 1 has 65 platforms"},
		{"a copy of nothing", lines(planHeader, mapping, edit(move, image, "")), `in:3: the copy of mapping 1 has the digest "", which is not sha256: and 64 hexadecimal digits`},
		{"a copy of a path", lines(planHeader, mapping, edit(move, image, path)), `in:3: the copy of mapping 1 has the digest "sha256:../../`},
		{"a copy of another algorithm", lines(planHeader, mapping, edit(move, "sha256", "sha512")), `in:3: the copy of mapping 1 has the digest "sha512:`},
		{"a copy over a path", lines(planHeader, mapping, edit(move, `"bytes"`, `"old":"`+path+`","bytes"`)), `in:3: the copy of mapping 1 has the digest "sha256:../../`},
		{"a manifest of a path", lines(planHeader, mapping, edit(manifestRecord, image, path)), `in:3: a manifest has the digest "sha256:../../`},
		{"a manifest in upper case", lines(planHeader, mapping, edit(manifestRecord, image, "sha256:"+strings.ToUpper(image[7:]))), `in:3: a manifest has the digest "sha256:ABAB`},
		{"a result of a short digest", lines(planHeader, mapping, edit(current, `"status"`, `"digest":"`+image[:70]+`","status"`)), `in:3: the result of mapping 1 has the digest "sha256:abab`},
		{"a result over a long digest", lines(planHeader, mapping, edit(current, `"status"`, `"old":"`+image+`a","status"`)), `in:3: the result of mapping 1 has the digest "sha256:abab`},
		{"a copy of a negative size", lines(planHeader, mapping, edit(move, `"bytes":1`, `"bytes":-1`)), "in:3: the copy of mapping 1 has a negative size"},
		{"a copy of an unknown mapping", lines(planHeader, mapping, edit(move, `"id":1`, `"id":7`)), "in:3: a record refers to mapping 7, which is not in the stream"},
		{"a copy and a result", lines(planHeader, mapping, move, current), "in:4: mapping 1 has two copies or results"},
		{"two results", lines(resultsHeader, mapping, current, current), "in:4: mapping 1 has two copies or results"},
		{"a result before its mapping", lines(resultsHeader, current, mapping), "in:2: a record refers to mapping 1, which is not in the stream"},
		{"an unknown status", lines(resultsHeader, mapping, edit(current, "current", "skipped")), `in:3: the status "skipped" of mapping 1 is not copied, current, held, deferred, failed`},
		{"a hold without a reason", lines(resultsHeader, mapping, edit(current, "current", "held")), `in:3: the held result of mapping 1 has no note`},
		{"a failure without a reason", lines(resultsHeader, mapping, edit(current, "current", "failed")), "in:3: the failed result of mapping 1 has no error"},
		{"a result of a negative size", lines(resultsHeader, mapping, edit(current, `"id":1`, `"id":1,"bytes":-1`)), "in:3: the result of mapping 1 has a negative size or time"},
		{"a result that ended before it began", lines(resultsHeader, mapping, edit(current, `"id":1`, `"id":1,"seconds":-0.5`)), "in:3: the result of mapping 1 has a negative size or time"},
		{"a lost line", lines(resultsHeader, mapping, ended(2)), "in:3: the stream is cut: it holds 1 records and its end counts 2"},
		{"a line too many", lines(resultsHeader, mapping, current, ended(1)), "in:4: the stream is cut: it holds 2 records and its end counts 1"},
		{"a mapping too few", lines(resultsHeader, ended(0)), "in:2: the stream holds 0 mappings and its header announces 1"},
		{"a plan that leaves a mapping open", lines(planHeader, mapping, ended(1)), "in:3: mapping 1 has neither a copy nor a result"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Read(strings.NewReader(c.in), "in")
			if err == nil {
				t.Fatalf("it is read as %+v", got)
			}
			if !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestReadAcceptsResultsThatLackSome(t *testing.T) {
	got, err := Read(strings.NewReader(lines(resultsHeader, mapping, ended(1))), "in")
	if err != nil || got.End == nil {
		t.Errorf("got %+v, %v: which mappings lack a result is for report to say", got, err)
	}
}

func TestReadBoundsALine(t *testing.T) {
	endless := io.MultiReader(strings.NewReader(`{"header":"`), &repeat{'x'})
	if _, err := Read(endless, "in"); err == nil || !strings.HasPrefix(err.Error(), "in:1: a line is longer than ") {
		t.Errorf("an endless line: %v", err)
	}
	big := samples()["plan"]
	big.Manifests = slices.Values([]manifest.Raw{{Digest: image, Content: make([]byte, manifest.MaxSize)}})
	if _, err := Read(bytes.NewReader(write(t, big)), "in"); err != nil {
		t.Errorf("a manifest of the largest size: %v", err)
	}
	big.Manifests = slices.Values([]manifest.Raw{{Digest: image, Content: make([]byte, manifest.MaxSize+1)}})
	if _, err := Read(bytes.NewReader(write(t, big)), "in"); err == nil || !strings.Contains(err.Error(), "is larger than 4194304 bytes") {
		t.Errorf("a manifest that is larger: %v", err)
	}
}

// repeat is a reader that never ends.
type repeat struct{ b byte }

func (r *repeat) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = r.b
	}
	return len(p), nil
}

func TestReadPassesOnWhatBreaksTheReader(t *testing.T) {
	broken := io.MultiReader(strings.NewReader(lines(planHeader)), iotest.ErrReader(os.ErrPermission))
	if _, err := Read(broken, "in"); !errors.Is(err, os.ErrPermission) {
		t.Errorf("got %v, want %v", err, os.ErrPermission)
	}
}
