// Package window tells when a time of day begins and ends in a time zone, such as the hours in
// which a link is idle.
package window

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // images of this program have no zones
)

// A Window is a part of each day. The zero value is always.
type Window struct {
	text     string
	from, to int // minutes after midnight; to is before from if the window ends on the next day
	zone     *time.Location
}

// maxText bounds the text of a window, in bytes.
const maxText = 100

// Parse reads a window in the form HH:MM-HH:MM ZONE, such as 22:00-06:00 Europe/Prague. Without a
// zone (of the IANA database) it is UTC.
func Parse(text string) (Window, error) {
	hours, zone, _ := strings.Cut(text, " ")
	from, to, ok := strings.Cut(hours, "-")
	start, err1 := time.Parse("15:04", from)
	end, err2 := time.Parse("15:04", to)
	if !ok || len(text) > maxText || err1 != nil || err2 != nil {
		return Window{}, fmt.Errorf("%.*q is not a part of the day: write HH:MM-HH:MM and a time zone, such as 22:00-06:00 Europe/Prague", maxText, text)
	}
	w := Window{text, start.Hour()*60 + start.Minute(), end.Hour()*60 + end.Minute(), time.UTC}
	if w.from == w.to {
		return Window{}, errors.New("the window begins and ends at one time: leave it out for the whole day")
	}
	if zone = strings.TrimSpace(zone); zone != "" {
		if w.zone, err1 = time.LoadLocation(zone); err1 != nil || zone == "Local" {
			return Window{}, fmt.Errorf("%.*q is not a time zone: write one such as Europe/Prague or UTC", maxText, zone)
		}
	}
	return w, nil
}

// String returns the text that the window was read from.
func (w Window) String() string { return w.text }

// IsZero reports whether the window is always.
func (w Window) IsZero() bool { return w.zone == nil }

// Equal reports whether both were read from the same text.
func (w Window) Equal(other Window) bool { return w.text == other.text }

// Contains reports whether a time is in the window, by the clocks of its zone.
func (w Window) Contains(t time.Time) bool {
	if w.IsZero() {
		return true
	}
	t = t.In(w.zone)
	minute := t.Hour()*60 + t.Minute()
	if w.from < w.to {
		return w.from <= minute && minute < w.to
	}
	return w.from <= minute || minute < w.to
}

// maxDays is how far Next looks: a window may be in an hour that a clock skips on one day.
const maxDays = 3

// Next returns when the window begins next, after a time that is not in it. It checks each
// minute, since clocks skip hours and repeat others.
func (w Window) Next(t time.Time) time.Time {
	if w.Contains(t) {
		return t
	}
	begins := t.Truncate(time.Minute)
	for range maxDays * 24 * 60 {
		if begins = begins.Add(time.Minute); w.Contains(begins) {
			break
		}
	}
	return begins.In(w.zone)
}
