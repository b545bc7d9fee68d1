package progress

import (
	"bytes"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vbauerster/mpb/v8"

	"imagemirror/internal/waits"
)

// drawPlanning runs f in a synctest bubble, with a display on a screen of 60 by 24 characters.
func drawPlanning(t *testing.T, count Counter, f func(d *livePlanning, s *screen)) {
	synctest.Test(t, func(*testing.T) {
		s := &screen{}
		f(newLivePlanning(s, func() int { return 24 }, "planning", count, mpb.WithWidth(60), mpb.ForceTTY(), mpb.WithAutoRefresh()), s)
	})
}

func TestLivePlanning(t *testing.T) {
	var resolved, failed, mappings atomic.Int64
	count := func() (int64, int64, int64) { return resolved.Load(), failed.Load(), mappings.Load() }
	drawPlanning(t, count, func(d *livePlanning, s *screen) {
		pass(170 * time.Millisecond)
		expect(t, s, `
reading the tags of wildcards [                       ]   0s`)

		mappings.Store(450)
		resolved.Store(90)
		pass(time.Second)
		expect(t, s, `
planning  90/450 mappings [====>                      ]   1s`)

		failed.Store(1)
		pass(61 * time.Second)
		expect(t, s, `
planning  90/450 mappings, 1 failed [==>             ] 1m02s`)

		d.Close()
		d.Summarize(Planned{Mappings: 450, Current: 390, Copies: 59, Failed: 1, Bytes: 83 << 20})
		expect(t, s, `
Planned 450 mappings in 1m2s: 59 to copy (83.0 MiB), 390 current, 1 failed`)
	})
}

func TestLivePlanningOfAQuietRun(t *testing.T) {
	drawPlanning(t, func() (int64, int64, int64) { return 0, 0, 0 }, func(d *livePlanning, s *screen) {
		d.Close()
		d.Summarize(Planned{Mappings: 3, Current: 3})
		expect(t, s, `
Planned 3 mappings in 0s: 0 to copy, 3 current`)
	})
}

// What the registries keep waiting is named, and so is what they warn of.
func TestLivePlanningShowsWaits(t *testing.T) {
	drawPlanning(t, func() (int64, int64, int64) { return 90, 0, 450 }, func(d *livePlanning, s *screen) {
		for range 16 {
			defer d.Begin(waits.Wait{Kind: waits.Pause, Host: "quay.io", Limit: 30 * time.Second})()
		}
		answered := d.Begin(waits.Wait{Kind: waits.Answer, Host: "registry.ci.openshift.org", Limit: time.Minute})
		slog.Warn("the registry has a warning", "registry", "quay.io")
		pass(3 * time.Second)
		expect(t, s, `
time=2000-01-01T00:00:00.000Z level=WARN msg="the registry has a warning" registry=quay.io
  quay.io asked to wait, 27s left (16 requests)
  no answer from regist…ift.org, gives up in 57s (1 request)
planning  90/450 mappings [====>                      ]   3s`)

		answered()
		d.Stopping()
		pass(900 * time.Millisecond)
		expect(t, s, `
time=2000-01-01T00:00:00.000Z level=WARN msg="the registry has a warning" registry=quay.io
Stopping. Ctrl-C again quits at once.
  quay.io asked to wait, 26s left (16 requests)
planning  90/450 mappings [====>                      ]   3s`)
		d.Close()
		d.Summarize(Planned{Mappings: 450})
	})
}

func TestPlanningLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		d := newPlanningLines(logger(&out), "planning", func() (int64, int64, int64) { return 7, 2, 30 })
		answered := d.Begin(waits.Wait{Kind: waits.Answer, Host: "quay.io", Limit: time.Minute})
		pass(40 * time.Second)
		answered()
		d.Begin(waits.Wait{Kind: waits.Slot, Host: "ghcr.io"})
		pass(40 * time.Second)
		d.Stopping()
		d.Close()
		d.Summarize(Planned{Mappings: 30, Current: 20, Copies: 10, Bytes: 1000})
		want := `level=INFO msg=planning resolved=7 mappings=30 failed=2 slowest=quay.io waiting="no answer from quay.io, gives up in 30s (1 request)"
level=INFO msg=planning resolved=7 mappings=30 failed=2 slowest=quay.io
level=WARN msg=stopping
level=INFO msg=planned mappings=30 current=20 copies=10 failed=0 bytes=1000
`
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
	})
}
