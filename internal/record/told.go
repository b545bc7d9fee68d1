package record

import (
	"slices"
	"strings"
)

// maxRecovered bounds the causes that are over and that somebody still has to be told about.
const maxRecovered = 100

// KeepTold takes over from the record before what people were told about the causes of r. A cause
// that they were told of and that is over becomes one of r.Recovered, until they are told that.
func (r *Record) KeepTold(before *Record) {
	r.Notifications = before.Notifications
	r.Recovered = nil
	now := map[string]*Cause{}
	for _, c := range r.Causes {
		now[c.Key] = c
	}
	for _, old := range slices.Concat(before.Causes, before.Recovered) {
		c := now[old.Key]
		switch {
		case c != nil && old.Told.After(c.Told):
			c.First, c.Told, c.Tried, c.Owed = old.First, old.Told, old.Tried, old.Owed
		case c != nil:
			c.Tried = max(c.Tried, old.Tried)
		case !old.Told.IsZero():
			over := *old
			if slices.Contains(before.Causes, old) {
				over.Tried, over.Owed = 0, nil // all are to be told
			}
			r.Recovered = append(r.Recovered, &over)
		}
	}
	slices.SortFunc(r.Recovered, func(a, b *Cause) int { return strings.Compare(a.Key, b.Key) })
	r.Recovered = r.Recovered[:min(len(r.Recovered), maxRecovered)]
}
