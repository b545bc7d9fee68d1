package record

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestKeepTold(t *testing.T) {
	at := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	cause := func(key string, change ...func(*Cause)) *Cause {
		c := &Cause{Key: key, Kind: "credentials", First: at}
		for _, f := range change {
			f(c)
		}
		return c
	}
	told := func(c *Cause) { c.Told, c.Owed = at.Add(time.Minute), []string{"mail"} }
	later := func(c *Cause) { c.First = at.Add(time.Hour) }
	for _, c := range []struct {
		name                      string
		causes, recovered         []*Cause // before
		now                       []*Cause
		wantCauses, wantRecovered []*Cause
	}{
		{name: "a cause goes on", causes: []*Cause{cause("a", told)}, now: []*Cause{cause("a", later)}, wantCauses: []*Cause{cause("a", told)}},
		{name: "a new cause", now: []*Cause{cause("a")}, wantCauses: []*Cause{cause("a")}},
		{name: "a cause is over", causes: []*Cause{cause("b", told), cause("a", told)},
			wantRecovered: []*Cause{cause("a", told, func(c *Cause) { c.Owed = nil }), cause("b", told, func(c *Cause) { c.Owed = nil })}},
		{name: "a cause is over that nobody was told of", causes: []*Cause{cause("a")}},
		{name: "nobody was told yet that it is over", recovered: []*Cause{cause("a", told)}, wantRecovered: []*Cause{cause("a", told)}},
		{name: "it comes back before anybody was told that it was over", recovered: []*Cause{cause("a", told)}, now: []*Cause{cause("a", later)},
			wantCauses: []*Cause{cause("a", told)}},
		{name: "reports that were ended while they told", causes: []*Cause{cause("a", func(c *Cause) { c.Tried = 2 })}, now: []*Cause{cause("a")},
			wantCauses: []*Cause{cause("a", func(c *Cause) { c.Tried = 2 })}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &Record{Causes: c.now}
			r.KeepTold(&Record{Causes: c.causes, Recovered: c.recovered, Notifications: Notifications{Delivered: 3}})
			if diff := cmp.Diff(&Record{Causes: c.wantCauses, Recovered: c.wantRecovered, Notifications: Notifications{Delivered: 3}}, r); diff != "" {
				t.Errorf("the record (-want +got):\n%s", diff)
			}
		})
	}
}
