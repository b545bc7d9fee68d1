package policy

import (
	"cmp"
	"fmt"
	"time"

	"imagemirror/internal/finding"
	"imagemirror/internal/mapping"
	"imagemirror/internal/reference"
	"imagemirror/internal/settings"
	"imagemirror/internal/text"
)

// ask is the advice for whoever needs more than a policy allows.
const ask = "or ask the owners of the policy"

// Check refuses settings that ask for more than the bounds; file is their label in findings.
func (b *Bounds) Check(file string, s settings.Settings, found *finding.List) {
	b.checkPrefixes(file, "source", b.Sources, s.Sources, found)
	b.checkPrefixes(file, "destination", b.Destinations, s.Destinations, found)
	at := func(key, value string, line int, allowed string) {
		found.Refuse(finding.Input, file, s.Lines[key], "spec.%s is %s, and %s:%d allows %s: correct it, %s", key, value, b.File, line, allowed, ask)
	}
	number := func(key string, value int, most Limit[int]) {
		if most.exceeded(value) {
			at(key, fmt.Sprint(value), most.Line, fmt.Sprintf("%d at most", most.Value))
		}
	}
	number("shards", s.Shards, b.Shards)
	number("cap", s.Cap, b.Cap)
	number("rate", s.Rate, b.Rate)
	number("retries", s.Retries, b.Retries)
	if b.Timeout.exceeded(s.Timeout) {
		at("timeout", text.Duration(s.Timeout), b.Timeout.Line, text.Duration(b.Timeout.Value)+" at most")
	}
	b.checkPublic(file, s, found)
	if s.Schedule == "" || b.Interval.Line == 0 {
		return
	}
	if gap := settings.ShortestGap(s.Schedule); gap < b.Interval.Value {
		at("schedule", fmt.Sprintf("%q, which starts a run %s after another", s.Schedule, text.Duration(gap)), b.Interval.Line,
			"one every "+text.Duration(b.Interval.Value))
	}
}

// checkPrefixes refuses prefixes that a policy allows only in part, or not at all.
func (b *Bounds) checkPrefixes(file, word string, allowed, asked settings.Prefixes, found *finding.List) {
	for _, prefix := range asked {
		if !allowed.Allow(prefix.Name) {
			found.Refuse(finding.Input, file, prefix.Line, "%s %s is more than %s:%d allows (%s): correct it, %s",
				word, prefix.Name, b.File, allowed[0].Line, allowed, ask)
		}
	}
}

// exceeded reports whether a value is above the limit.
func (l Limit[T]) exceeded(value T) bool { return l.Line > 0 && value > l.Value }

// Source returns why the bounds do not allow the source of a mapping, or nil.
func (b *Bounds) Source(m *mapping.Mapping) error {
	return b.outside("source", m.Source, b.Sources)
}

// Destination returns why the bounds do not allow the destination of a mapping, or nil.
func (b *Bounds) Destination(m *mapping.Mapping) error {
	return b.outside("destination", m.Destination, b.Destinations)
}

func (b *Bounds) outside(word string, image reference.Reference, allowed settings.Prefixes) error {
	if allowed.Allow(image.Name()) {
		return nil
	}
	return fmt.Errorf("%s %s is outside of what %s:%d allows (%s): correct it, %s", word, image, b.File, allowed[0].Line, allowed, ask)
}

// Lower returns settings that ask for no more than the bounds. The settings have their defaults.
func (b *Bounds) Lower(s settings.Settings) settings.Settings {
	s.Shards = b.Shards.lower(s.Shards)
	s.Cap = b.Cap.lower(s.Cap)
	s.Retries = b.Retries.lower(s.Retries)
	s.Timeout = b.Timeout.lower(s.Timeout)
	// No rate is no limit.
	s.Rate = b.Rate.lower(cmp.Or(s.Rate, b.Rate.Value))
	// The interval counts from the newest run, which must not be deleted before.
	s.History.Age = max(s.History.Age, b.Interval.Value+time.Hour)
	return s
}

func (l Limit[T]) lower(value T) T {
	if l.exceeded(value) {
		return l.Value
	}
	return value
}
