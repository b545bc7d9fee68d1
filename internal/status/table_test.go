package status

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTable(t *testing.T) {
	records := fleet()
	look := Look{Records: records[:3], Active: []Active{{"knative", "knative-1", now}, {"new", "new-1", now}}, Problems: []string{"reading the record of x: no"}}
	look.Records = append(look.Records, records[len(records)-2])
	var got strings.Builder
	if err := WriteTable(&got, NewSnapshot(look, now)); err != nil {
		t.Fatal(err)
	}
	want := `STATE    SET              DESTINATIONS      LAST GOOD   NEXT RUN   WHY
failing  console-plugins  11 of 37 failing  2 days ago  in 17 min  9 × credentials at quay.io, 2 × missing at registry.ci.openshift.org
failing  tekton           64 of 64 failing  7 h ago     in 8 min   64 × credentials at quay.io
failing  payments         7                 1 h ago     in 10 min  nothing was mirrored: split: mapping_payments_v2:3: the destination has a digest: write a tag
waiting  new              0                 never       running
good     knative          148               46 min ago  running
3 of 5 sets failing
reading the record of x: no
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Whatever records say, a set is one line, and no line can move the cursor of a terminal.
func TestHostileTable(t *testing.T) {
	var got strings.Builder
	if err := WriteTable(&got, NewSnapshot(Look{Records: hostile(), Problems: attacks[8:9]}, now)); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(got.String(), "\n"); lines != len(attacks)+3 || strings.ContainsAny(got.String(), "\x1b\x00\r\u202e") {
		t.Errorf("%d lines, want %d: %q", lines, len(attacks)+3, got.String())
	}
}
