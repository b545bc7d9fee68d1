package progress

import (
	"bytes"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vbauerster/mpb/v8"
)

func TestLivePlanning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var resolved, mappings atomic.Int64
		s := &screen{}
		d := newLivePlanning(s, func() (int64, int64) { return resolved.Load(), mappings.Load() },
			mpb.WithWidth(60), mpb.ForceTTY(), mpb.WithAutoRefresh())
		pass(170 * time.Millisecond)
		expect(t, s, `
reading the tags of wildcards [                       ]   0s`)

		mappings.Store(450)
		resolved.Store(90)
		pass(time.Second)
		expect(t, s, `
planning  90/450 mappings [====>                      ]   1s`)

		d.Close(Planned{Mappings: 450, Current: 390, Copies: 59, Failed: 1, Bytes: 83 << 20})
		expect(t, s, `
Planned 450 mappings in 1.2s: 59 to copy (83.0 MiB), 390 current, 1 failed`)
	})
}

func TestLivePlanningOfAQuietRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &screen{}
		d := newLivePlanning(s, func() (int64, int64) { return 0, 0 }, mpb.WithWidth(60), mpb.ForceTTY(), mpb.WithAutoRefresh())
		d.Close(Planned{Mappings: 3, Current: 3})
		expect(t, s, `
Planned 3 mappings in 0s: 0 to copy, 3 current`)
	})
}

func TestPlanningLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		d := newPlanningLines(logger(&out), func() (int64, int64) { return 7, 30 })
		time.Sleep(25 * time.Second) // of the bubble's time
		d.Close(Planned{Mappings: 30, Current: 20, Copies: 10, Bytes: 1000})
		want := `level=INFO msg=planning
level=INFO msg=planning resolved=7 mappings=30
level=INFO msg=planning resolved=7 mappings=30
level=INFO msg=planned mappings=30 current=20 copies=10 failed=0 bytes=1000
`
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
	})
}
