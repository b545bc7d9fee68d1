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

// The headline is no better than what is known.
func TestHeadline(t *testing.T) {
	for _, c := range []struct {
		sets   map[State]int
		all    int
		unread bool
		want   string
	}{
		{nil, 0, false, "No image sets yet"},
		{nil, 0, true, "No image set could be read"},
		{map[State]int{Good: 1}, 1, false, "The image set is good"},
		{map[State]int{Good: 3}, 3, false, "All 3 sets are good"},
		{map[State]int{Good: 3}, 3, true, "3 sets good, and not all could be read"},
		{map[State]int{Waiting: 1}, 1, false, "1 of 1 set waiting for a first run"},
		{map[State]int{Good: 2, Waiting: 1}, 3, false, "1 of 3 sets waiting for a first run"},
		{map[State]int{Failing: 1, Waiting: 1}, 2, true, "1 of 2 sets failing"},
	} {
		if got := headline(c.sets, c.all, c.unread); got != c.want {
			t.Errorf("%v of %d, unread %t: got %q, want %q", c.sets, c.all, c.unread, got, c.want)
		}
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
