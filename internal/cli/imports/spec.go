package imports

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"imagemirror/internal/finding"
	"imagemirror/internal/foreign"
	"imagemirror/internal/settings"
)

// spec returns the settings of the set, below spec. minute is when in an hour its runs start, if
// the files leave that open.
func (s *entryGroup) spec(minute int) string {
	lines := scheduleOf(s.options, minute) + destinationsOf(s.entries)
	for _, o := range optional {
		lines += o.text(s.options)
	}
	rules := ""
	for _, e := range s.entries {
		if selection := s.selects[e.Source]; selection != nil {
			rules += selectRule(e.Source.String(), selection)
			delete(s.selects, e.Source) // another destination has the same rule
		}
	}
	if rules != "" {
		lines += "  select:\n" + rules
	}
	return lines
}

// An option is a key of settings that stands for a part of the options of an entry.
type option struct {
	key   string
	text  func(foreign.Options) string // lines of settings, or ""
	clear func(*foreign.Options)
}

var optional = []option{
	{"platforms", platforms, func(o *foreign.Options) { o.Platforms, o.Flatten = "", false }},
	{"keep", func(o foreign.Options) string { return settingLine("keep", o.Keep) }, func(o *foreign.Options) { o.Keep = "" }},
	{"referrers", referrers, func(o *foreign.Options) { o.Referrers, o.Types = "", "" }},
	{"reserve", reserve, func(o *foreign.Options) { o.Reserve = 0 }},
}

func settingLine(key, value string) string {
	if value == "" {
		return ""
	}
	return "  " + key + ": " + quoted(value) + "\n"
}

func platforms(o foreign.Options) string {
	if o.Platforms == "" {
		return ""
	}
	only := list(strings.Split(o.Platforms, ","))
	if o.Flatten {
		return "  platforms: {only: " + only + ", form: flatten}\n"
	}
	return "  platforms: " + only + "\n"
}

func referrers(o foreign.Options) string {
	if o.Referrers == "" {
		return ""
	}
	text := "copy: " + o.Referrers
	if o.Types != "" {
		text += ", types: " + list(strings.Split(o.Types, ","))
	}
	return "  referrers: {" + text + "}\n"
}

func reserve(o foreign.Options) string {
	if o.Reserve == 0 {
		return ""
	}
	return "  reserve: " + strconv.Itoa(o.Reserve) + "\n  allowDeferred: true\n" // regsync waits, and does not fail
}

// selectRule returns the rule of what is selected of a source.
func selectRule(source string, s *foreign.TagFilter) string {
	text := "    - source: " + quoted(source) + "\n"
	text += expressionList("include", s.Include) + expressionList("exclude", s.Exclude)
	if s.Semver != "" {
		text += "      semver: " + quoted(s.Semver) + "\n"
	}
	if s.Prereleases {
		text += "      prereleases: true\n"
	}
	return text
}

func expressionList(key string, all []string) string {
	if len(all) == 0 {
		return ""
	}
	return "      " + key + ": " + list(all) + "\n"
}

func list(texts []string) string {
	quotes := make([]string, len(texts))
	for i, s := range texts {
		quotes[i] = quoted(s)
	}
	return "[" + strings.Join(quotes, ", ") + "]"
}

// plainRE matches names that YAML reads as strings without quotes.
var plainRE = regexp.MustCompile(`^[a-z][A-Za-z0-9._:/-]*[./][A-Za-z0-9._/-]+$`)

// quoted returns a printable text as a YAML scalar.
func quoted(s string) string {
	if plainRE.MatchString(s) {
		return s
	}
	if strings.ContainsAny(s, `\"`) {
		return "'" + strings.ReplaceAll(s, "'", "''") + "'"
	}
	return `"` + s + `"`
}

// maxDestinations bounds the prefixes that settings are limited to.
const maxDestinations = 20

// destinationsOf returns the prefixes of all destinations: HOST/ORGANIZATION, or only the hosts if
// there are many.
func destinationsOf(entries []*importedEntry) string {
	var organizations, hosts []string
	for _, e := range entries {
		d := e.destination
		first, _, _ := strings.Cut(d.Repository, "/")
		organizations = append(organizations, d.Registry+"/"+first)
		hosts = append(hosts, d.Registry)
	}
	for _, prefixes := range [][]string{organizations, hosts} {
		slices.Sort(prefixes)
		if prefixes = slices.Compact(prefixes); len(prefixes) <= maxDestinations {
			return "  destinations: " + list(prefixes) + "\n"
		}
	}
	return ""
}

// scheduleOf returns when runs start: by the schedule, by the cron expression for the interval, or
// every hour.
func scheduleOf(o foreign.Options, minute int) string {
	schedule := o.Schedule
	if schedule == "" {
		schedule, _ = every(o.Interval, minute)
	}
	return settingLine("schedule", schedule)
}

// every returns the schedule of runs at an interval, and whether it is exact. Cron counts from the
// beginning of an hour and of a day.
func every(interval time.Duration, minute int) (schedule string, exact bool) {
	const hour, day = time.Hour, 24 * time.Hour
	switch {
	case interval > 0 && interval < hour && hour%interval == 0 && interval%time.Minute == 0:
		step := int(interval / time.Minute)
		return fmt.Sprintf("%d/%d * * * *", minute%step, step), true
	case interval > 0 && interval < hour:
		return fmt.Sprintf("%d/%d * * * *", minute%15, 15), false
	case interval > hour && interval < day && day%interval == 0 && interval%hour == 0:
		return fmt.Sprintf("%d */%d * * *", minute, int(interval/hour)), true
	case interval == day:
		return fmt.Sprintf("%d %d * * *", minute, minute%24), true
	case interval > hour:
		return fmt.Sprintf("%d %d * * *", minute, minute%24), false
	}
	return fmt.Sprintf("%d * * * *", minute), interval == 0 || interval == hour
}

// dropRefused leaves out what settings refuse, and warns of it: an option, or an entry whose
// selection is refused.
func dropRefused(entries []foreign.Entry, found *finding.List) (all []foreign.Entry) {
	refused := map[string]error{}
	refusal := func(lines string) error {
		err, known := refused[lines]
		if !known {
			err = try(lines)
			refused[lines] = err
		}
		return err
	}
	for _, e := range entries {
		for _, o := range optional {
			text := o.text(e.Options)
			if text == "" {
				continue
			}
			if err := refusal(text); err != nil {
				found.Warn(foreign.Unsaid, e.File, e.Line, "spec.%s: left out, since settings refuse it: %w", o.key, err)
				o.clear(&e.Options)
			}
		}
		if _, exact := every(e.Options.Interval, 0); !exact {
			found.Warn(foreign.Unsaid, e.File, e.Line, "interval: a schedule cannot start runs every %s: spec.schedule has the closest", e.Options.Interval)
		}
		if e.Select != nil {
			if err := refusal("  select:\n" + selectRule(e.Source.String(), e.Select)); err != nil {
				found.Warn(foreign.Unsaid, e.File, e.Line, "spec.select: the entry is left out, since settings refuse its selection: %w", err)
				continue
			}
		}
		all = append(all, e)
	}
	return all
}

// try returns the first reason why settings refuse lines below spec, or nil.
func try(lines string) error {
	_, found := settings.Parse("", []byte("apiVersion: "+settings.APIVersion+"\nkind: "+settings.Kind+"\nmetadata: {name: x}\nspec:\n"+lines))
	for _, f := range found.All() {
		if !f.Warning {
			return f.Err
		}
	}
	return nil
}
