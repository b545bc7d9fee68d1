package record

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"

	"imagemirror/internal/stream"
)

// A run that changes nothing changes no part, and one that changes a destination changes one.
func TestPartsChangeWithTheirDestinations(t *testing.T) {
	r := New("tekton").Apply(run(0, manyLines(100, 0)...))
	l := limits{inline: 100, segment: maxSegment}
	first, err := r.pack(nil, l)
	if err != nil {
		t.Fatal(err)
	}
	var stored []*segment
	parts, err := r.partsOf(4)
	if err != nil || first.inline || len(first.parts) != 1 {
		t.Fatalf("packed in %d parts, %v", len(first.parts), err)
	}
	for _, part := range parts {
		stored = append(stored, &segment{Hash: contentHash(part)})
	}
	same := manyLines(100, 0)
	failed := append(manyLines(99, 0), line{"v99", stream.Failed, "d", ""})
	for _, c := range []struct {
		name string
		run  Update
		want int
	}{{"nothing", run(1, same...), 0}, {"one fails", run(1, failed...), 1}, {"all move", run(1, manyLines(100, 1)...), 4}} {
		p, err := r.Apply(c.run).pack(stored, l)
		if err != nil {
			t.Fatal(err)
		}
		changed := 0
		for _, part := range p.parts {
			if part.content != nil {
				changed++
			}
		}
		if changed != c.want || len(p.parts) != 4 {
			t.Errorf("%s: %d of %d parts change, want %d of 4", c.name, changed, len(p.parts), c.want)
		}
	}
}

func TestRecordThatDoesNotFitLosesOldMoves(t *testing.T) {
	r := large(400, MaxMoves)
	p, err := r.pack(nil, limits{inline: 100, segment: 30_000})
	if err != nil || len(p.parts) != maxSegments {
		t.Fatalf("packed in %d parts, %v", len(p.parts), err)
	}
	less, err := p.unpack()
	if err != nil || len(less.Destinations) != 400 || len(less.Destinations[7].Moves) != MaxMoves/2 {
		t.Errorf("unpacked %v", err)
	}
	if _, err := r.pack(nil, limits{inline: 100, segment: 200}); err == nil || err.Error() != "the record of openshift does not fit into 9 ConfigMaps of 200 bytes, even compressed" {
		t.Errorf("got %v", err)
	}
}

// unpack returns the record that was packed.
func (p *packedRecord) unpack() (*Record, error) {
	head, err := inflate(p.head, maxBytes)
	if err != nil {
		return nil, err
	}
	var parts [][]byte
	for _, one := range p.parts {
		part, err := inflate(one.content, maxPart)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	return unpack(p.base, head, parts)
}

// FuzzUnpack: what ConfigMaps have is refused, or is a record that can be packed again.
func FuzzUnpack(f *testing.F) {
	r := New("tekton").Apply(run(0, manyLines(3, 0)...)).Apply(run(1, line{"v1", stream.Failed, "b", ""}))
	head := *r
	head.Destinations = nil
	first, err := head.encode()
	if err != nil {
		f.Fatal(err)
	}
	parts, err := r.partsOf(2)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(first, parts[0], parts[1], `{"version":1,"segments":[{"generation":"a","sha256":"x","versions":["1","2"]}]}`)
	f.Add([]byte(`{"version":1}`), []byte(`{"version":1,"destinations":[null]}`), []byte(`{}`), `{"version":1,"segments":[null]}`)
	f.Fuzz(func(t *testing.T, head, a, b []byte, x string) {
		if _, err := decodeIndex(&corev1.ConfigMap{Data: map[string]string{indexKey: x}}); err == nil && x == "" {
			t.Error("an index without text is accepted")
		}
		r, err := unpack(baseline{"run-1", noon}, head, [][]byte{a, b})
		if err != nil {
			return
		}
		p, err := r.pack(nil, limits{inline: maxInline, segment: maxSegment})
		if err != nil {
			t.Fatal(err)
		}
		again, err := p.unpack()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r, again, cmpopts.EquateEmpty()); diff != "" {
			t.Error(diff)
		}
	})
}
