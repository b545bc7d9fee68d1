package plan

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"imagemirror/internal/reference"
	"imagemirror/internal/regerror"
)

// An answer that is missing at the deadline is explained by how long its registry was waited for.
func TestMissingAnswersAreExplained(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error // of the question
		want string
	}{
		{"not asked any more", nil, "waited 3m0s for quay.io, and planning has 8m0s in all (MIRROR_DEADLINE)"},
		{"no answer", &regerror.Error{Host: "cdn.example", Err: errDeadline}, "waited 3m0s for cdn.example, and planning has 8m0s in all (MIRROR_DEADLINE)"},
		{"throttled", &regerror.Error{Host: "quay.io", Status: 429, After: time.Minute}, "quay.io asks to wait 1m0s, and planning has 8m0s in all (MIRROR_DEADLINE)"},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := &resolver{Options: Options{Limits: Limits{Deadline: 8 * time.Minute}}}
			ctx, cancel := r.within(t.Context())
			defer cancel()
			time.Sleep(5 * time.Minute)
			q := ask(reference.Source, "quay.io")
			<-ctx.Done()
			err := r.explain(ctx, q, c.err)
			if err == nil || !strings.HasSuffix(err.Error(), c.want) {
				t.Errorf("%s: got %v, want %q", c.name, err, c.want)
			}
		})
	}
}
