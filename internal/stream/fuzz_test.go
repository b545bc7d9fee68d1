package stream

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// FuzzRead checks plans and results alike: whatever Read accepts as whole is written again as
// the same, and ends where it ends. Nothing makes it panic.
func FuzzRead(f *testing.F) {
	for _, c := range samples() {
		f.Add(write(f, c))
	}
	f.Add([]byte(lines(planHeader, mapping, manifestRecord, current, ended(3))))
	f.Add([]byte(lines(resultsHeader, mapping, ended(1))))
	f.Add([]byte(planHeader))
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := Read(bytes.NewReader(in), "in")
		if err != nil {
			return
		}
		if (got.End == nil) == (got.Cut == nil) {
			t.Fatalf("end is %v and cut is %v: one of them has to be set", got.End, got.Cut)
		}
		if got.End == nil {
			return
		}
		again, err := Read(bytes.NewReader(write(t, got)), "in")
		if err != nil {
			t.Fatalf("written again, it is refused: %v", err)
		}
		ignore := cmpopts.IgnoreFields(Content{}, "End")
		if diff := cmp.Diff(got, again, ignore, collected, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("written again, it differs (-first +second):\n%s", diff)
		}
		if cut, err := Read(bytes.NewReader(in[:len(in)-1]), "in"); err == nil && cut.End != nil {
			t.Error("without its last byte it passes for whole")
		}
	})
}
