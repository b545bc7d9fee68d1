package plan

import (
	"context"
	"time"

	"imagemirror/internal/public"
)

// publicEvery is how often a current image is checked. Nobody but a registry's owners makes a
// repository private again, so that a day is soon enough.
const publicEvery = 24 * time.Hour

// checkPublic asks whether strangers can pull the current targets that have to be public, unless
// the record tells. Targets that are copied are checked after their copy.
func (r *resolver) checkPublic(ctx context.Context, targets []*target) {
	due := map[string][]*target{} // by registry
	for _, t := range targets {
		if t.settled && t.err == nil && t.old != "" && t.checksPublic() {
			due[t.to.Registry()] = append(due[t.to.Registry()], t)
		}
	}
	if len(due) == 0 {
		return
	}
	checker := public.New(r.Client)
	each(due, r.Client.Concurrency(), func(t *target) {
		err := context.Cause(ctx)
		if err == nil {
			err = checker.Check(ctx, t.destination, t.old, false)
		}
		t.answer = public.Answer(err)
		if public.IsPrivate(err) {
			t.err = err
			r.Progress.failed.Add(1)
		}
	})
}

// checksPublic reports whether strangers are asked for the image: after it was copied, or if what
// they get of a current one is not known.
func (t *target) checksPublic() bool { return t.public && (t.digest != t.old || !t.wasPublic()) }

// wasPublic reports whether strangers could pull the image not long ago, by the record.
func (t *target) wasPublic() bool {
	if t.recorded == nil || t.recorded.Digest != t.old {
		return false
	}
	since := time.Since(t.recorded.Public)
	return since >= 0 && since < publicEvery
}
