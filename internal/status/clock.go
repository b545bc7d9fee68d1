package status

import (
	"fmt"
	"html/template"
	"time"
)

// A pageTime is a time as pages show it.
type pageTime struct {
	ISO  string // for programs; "" if there is no such time
	Text string // "3 h ago" on a page that is served, since files may be read much later
	Full string
	Hour string // the time to the minute, if Text does not tell it
}

const fullTime = "2006-01-02 15:04:05 UTC"

// pageTimeOf returns a time as pages show it. Served pages show how far it is from now.
func pageTimeOf(t, now time.Time, files bool) pageTime {
	if t.IsZero() {
		return pageTime{}
	}
	t = t.UTC()
	m := pageTime{ISO: t.Format(time.RFC3339), Full: t.Format(fullTime), Text: distance(t.Sub(now)), Hour: t.Format("2 Jan 15:04 UTC")}
	switch {
	case files && t.Year() == now.Year():
		m.Text, m.Hour = t.Format("2 Jan 15:04"), ""
	case files:
		m.Text = t.Format("2 Jan 2006")
	}
	return m
}

// Or returns the element for the time, or one with the word if there is no such time. A page has
// thousands of them, for which a template takes longer. Nothing in it is from outside.
func (t pageTime) Or(word string) template.HTML {
	if t.ISO == "" {
		return template.HTML(`<span class="dim">` + word + `</span>`)
	}
	return template.HTML(`<time datetime="` + t.ISO + `" title="` + t.Full + `">` + t.Text + `</time>`)
}

// distance tells how far from now a time is that comes after d.
func distance(d time.Duration) string {
	if d > 0 {
		return "in " + roughly(d)
	}
	if d > -time.Minute {
		return "just now"
	}
	return roughly(-d) + " ago"
}

// roughly returns a duration as people say it: one number.
func roughly(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 2*day:
		return fmt.Sprintf("%d h", d/time.Hour)
	case d < 2*365*day:
		return fmt.Sprintf("%d days", d/day)
	}
	return fmt.Sprintf("%d years", d/(365*day))
}
