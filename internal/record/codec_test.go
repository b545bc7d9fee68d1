package record

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"imagemirror/internal/stream"
)

func TestDecodeRefuses(t *testing.T) {
	for _, c := range []struct{ name, in, says string }{
		{"nothing", ``, "unexpected end of JSON input"},
		{"null", `null`, "null"},
		{"another version", `{"version":0}`, "it has version 0, want 1"},
		{"a newer version", `{"version":2,"x":1}`, "a newer version of this program wrote it"},
		{"an unknown key", `{"version":1,"x":1}`, `unknown key "x"`},
		{"a key twice", `{"version":1,"set":"a","set":"b"}`, `the key "set" appears twice`},
		{"a null run", `{"version":1,"runs":[null]}`, "run 0 is null"},
		{"a null move", `{"version":1,"destinations":[{"name":"a","moves":[null]}]}`, "a move has no digest"},
		{"a null registry", `{"version":1,"runs":[{"verdict":"good","registries":[null]}]}`, "a registry has no counts"},
		{"an unknown verdict", `{"version":1,"runs":[{"verdict":"fine"}]}`, `the verdict "fine" is unknown`},
		{"a negative count", `{"version":1,"runs":[{"verdict":"good","failed":-1}]}`, "it has the count -1"},
		{"a line break", `{"version":1,"set":"a\nb"}`, `is not a printable line`},
		{"an escape sequence", `{"version":1,"destinations":[{"name":"a","error":"\u001b[2J"}]}`, `is not a printable line`},
		{"a long text", `{"version":1,"causes":[{"key":"a","message":"` + strings.Repeat("x", maxName+2) + `"}]}`, `is not a printable line of at most 1000`},
		{"no digest", `{"version":1,"destinations":[{"name":"a","digest":"sha256:ab"}]}`, `is not a digest`},
		{"a script as an address", `{"version":1,"destinations":[{"name":"a","url":"javascript:alert(1)"}]}`, `"javascript:alert(1)" is not an address of http or https`},
		{"a script as the address of a run", `{"version":1,"runs":[{"verdict":"good","url":"data:text/html,x"}]}`, `is not an address of http or https`},
		{"a long address", `{"version":1,"destinations":[{"name":"a","url":"https://a/` + strings.Repeat("x", maxURL) + `"}]}`, `is not an address of http or https`},
		{"a target that is a path", `{"version":1,"targets":[{"kind":"slack","name":"../x"}]}`, "it has a notification target"},
		{"twice", `{"version":1,"destinations":[{"name":"a"},{"name":"a"}]}`, "destination 1 is out of order"},
		{"a null selection", `{"version":1,"selections":[null]}`, "selection 0 is null"},
		{"a selection of -1 tags", `{"version":1,"selections":[{"source":"a","selected":-1}]}`, "it has no source, or a negative count"},
		{"an escape sequence in a selection", `{"version":1,"selections":[{"source":"a","attrition":"\u001b"}]}`, "is not a printable line"},
		{"too many runs", `{"version":1,"runs":[` + strings.Repeat("null,", MaxRuns) + `null]}`, "it has more runs"},
		{"trailing data", `{"version":1}{}`, "after top-level value"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Decode([]byte(c.in)); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
	if _, err := Decode([]byte(`{"version":7}`)); !errors.Is(err, ErrNewer) {
		t.Errorf("got %v, want ErrNewer", err)
	}
}

// FuzzDecode: what is accepted is written as it was read, and can be updated.
func FuzzDecode(f *testing.F) {
	r := New("tekton")
	for n := range 3 {
		r = r.Apply(run(n, line{"v1", stream.Copied, string("abc"[n]), ""}, line{"v2", stream.Failed, "b", ""}))
	}
	f.Add([]byte(encoded(f, r)))
	f.Add([]byte(`{"version":1,"runs":[{"id":"","verdict":"good","end":"9999-12-31T23:59:59Z"}],"causes":[{"key":"a","count":9}]}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := Decode(in)
		if err != nil {
			return
		}
		again, err := Decode([]byte(encoded(t, r)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r, again, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("read, written and read again:\n%s", diff)
		}
		if next := r.Apply(run(5, line{"v1", stream.Failed, "a", ""})); next != r {
			if _, err := Decode([]byte(encoded(t, next))); err != nil {
				t.Errorf("after a run: %v", err)
			}
		}
	})
}

// large returns a record of so many destinations with all the history there is room for.
func large(n, moves int) *Record {
	random := rand.New(rand.NewPCG(1, 2))
	hex := func() string {
		return fmt.Sprintf("sha256:%016x%016x%016x%016x", random.Uint64(), random.Uint64(), random.Uint64(), random.Uint64())
	}
	r := New("openshift")
	for i := range MaxRuns {
		end := noon.Add(time.Duration(i) * time.Hour)
		one := &Run{ID: fmt.Sprintf("mirror-openshift-%05x", random.IntN(1<<20)), Trigger: "cron", Program: "v0.9.0", Start: end.Add(-73 * time.Second), End: end, Verdict: Good, Mappings: n, Current: n}
		for _, host := range []string{"quay.io", "registry.ci.openshift.org", "cdn01.quay.io"} {
			one.Registries = append(one.Registries, &Traffic{Host: host, Requests: int64(random.IntN(20000)), Bytes: random.Int64N(1 << 36)})
		}
		r.Runs = append(r.Runs, one)
	}
	last := r.LastRun()
	for i := range n {
		d := &Destination{
			Name: fmt.Sprintf("quay.io/openshift/origin-%04d:4.%d", i/4, i%4), Source: fmt.Sprintf("registry.ci.openshift.org/origin/4.%d:origin-%04d", i%4, i/4),
			File: "image-sets/openshift/mapping_origin_4", Line: i + 1, LastGood: last.End, Run: last.ID,
		}
		for m := range moves {
			at := r.Runs[MaxRuns-moves+m]
			d.move(hex(), at.End, at.ID)
		}
		r.Destinations = append(r.Destinations, d)
	}
	return r
}

func TestOldMovesGiveWay(t *testing.T) {
	r := large(500, MaxMoves)
	r.Destinations[0].Error = strings.Repeat("🚀", maxShort)
	content, err := r.encodeWithin(len(encoded(t, r)) - 1)
	if err != nil {
		t.Fatal(err)
	}
	less, err := Decode(content)
	if err != nil || len(less.Destinations) != 500 || len(less.Runs) != MaxRuns/2 {
		t.Fatalf("%d bytes: %v", len(content), err)
	}
	for i, d := range less.Destinations {
		if len(d.Moves) != MaxMoves/2 || d.Moves[9].Digest != r.Destinations[i].Moves[19].Digest {
			t.Fatalf("%s has the moves %v", d.Name, d.Moves)
		}
	}
	if _, err := r.encodeWithin(10); err == nil || !strings.Contains(err.Error(), "and at most 10 are allowed") {
		t.Errorf("got %v", err)
	}
}

func BenchmarkEncode(b *testing.B) {
	r := large(5000, MaxMoves)
	for b.Loop() {
		b.SetBytes(int64(len(encoded(b, r))))
	}
}

func BenchmarkDecode(b *testing.B) {
	content := []byte(encoded(b, large(5000, MaxMoves)))
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		if _, err := Decode(content); err != nil {
			b.Fatal(err)
		}
	}
}
