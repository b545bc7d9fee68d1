package registry

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWarningsAreReportedOnce(t *testing.T) {
	var w warnings
	for _, c := range []struct {
		name   string
		values []string
		want   []string
	}{
		{"none", nil, nil},
		{"one", []string{`299 - "Your token will expire in 30 seconds."`}, []string{"Your token will expire in 30 seconds."}},
		{"the same", []string{`299 - "Your token will expire in 30 seconds."`}, nil},
		{"two, one of them known", []string{`299 - "Your token will expire in 30 seconds."`, `299 - "moves to \"b\"" "Tue, 15 Nov 1994 08:12:31 GMT"`}, []string{`moves to \"b\"`}},
		{"another code", []string{`110 - "stale"`}, nil},
		{"another agent", []string{`299 proxy "x"`}, nil},
		{"no text", []string{`299 - ""`, "299 -", ""}, nil},
		{"control characters", []string{"299 - \"a\x1b[31m\""}, []string{`a\x1b[31m`}},
		{"long", []string{`299 - "` + strings.Repeat("x", 1000) + `"`}, []string{strings.Repeat("x", maxWarning) + "…"}},
	} {
		if diff := cmp.Diff(c.want, w.fresh(http.Header{"Warning": c.values})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	for i := range 100 {
		w.fresh(http.Header{"Warning": {fmt.Sprintf(`299 - "%d"`, i)}})
	}
	if len(w.seen) != warningsAtMost {
		t.Errorf("%d warnings are remembered, want %d", len(w.seen), warningsAtMost)
	}
}
