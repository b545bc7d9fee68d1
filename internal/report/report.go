// Package report turns the streams that split and copy wrote into a Report, which has exactly
// one result for each mapping, and writes a Report in the formats that people (a table,
// Markdown) and systems (JSON, JUnit) read. It does no I/O but to the writers and the directory
// that it is given.
//
// What the streams contain came from outside: mapping files, registries, whoever wrote the
// stream. It is bounded and made printable where it comes in, and each format escapes it once
// more by its own rules.
//
// A new format is a method that writes it and, if it is a file, a line in Files.
package report

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"imagemirror/internal/fault"
	"imagemirror/internal/link"
	"imagemirror/internal/settings"
	"imagemirror/internal/stream"
	"imagemirror/internal/text"
)

// Planned is the status of a mapping in a dry run whose image would be copied. The others are
// stream's.
const Planned = "planned"

// A Report is the outcome of one or more runs.
type Report struct {
	Run        Run
	Summary    Summary
	Results    []*Result    // one for each mapping, by run and by ID
	Causes     []*Cause     // why mappings failed, and why the run is not good; none if all is well
	Registries []Traffic    // what was asked of each registry, by host
	Cuts       []string     // a line for each stream that was cut or could not be read
	Sets       []*Set       // that streams name, by name
	Selections []*Selection // how the tags of wildcards became mappings

	runLink link.Template
	locked  []*LockedImage // by destination; nil: the report has no images.lock
}

// A Set is what the settings of an image set tell those who follow its runs. A key that they
// leave out is the zero value.
type Set struct {
	Name     string
	Notify   []string // people to mention, as they are
	Targets  []settings.Target
	Schedule string
	Remind   time.Duration
	Stale    time.Duration
}

// A Summary counts the results.
type Summary struct {
	Mappings int  `json:"mappings"`
	Copied   int  `json:"copied"`
	Current  int  `json:"current"`
	Held     int  `json:"held,omitempty"`
	Deferred int  `json:"deferred,omitempty"`
	Overdue  int  `json:"overdue,omitempty"` // of Deferred, those that the settings do not allow: the run is not good
	Failed   int  `json:"failed"`
	Planned  *int `json:"planned,omitempty"` // set in a dry run only
	// Mappings that a cut stream announced and did not name; they are not in Mappings.
	Unknown int `json:"unknown,omitempty"`
	// Why split made no plan, so that nothing was mirrored; a line each.
	NoPlan []string `json:"noPlan,omitempty"`
	// Why the report is not good whatever its results say; a line each.
	Problems []string `json:"problems,omitempty"`
	// What was to come with images, such as their signatures; absent if there is none.
	Travelled *TravelledCounts `json:"travelled,omitempty"`
	// Images that take the place of an index of which only some platforms are published.
	Rewritten int `json:"rewritten,omitempty"`
	// What split found suspicious in the files that it read; a line each.
	Warnings []string `json:"warnings,omitempty"`
	Bytes    int64    `json:"bytes"` // blob bytes sent; in a dry run, to be sent

	// From the start of the first command to the end of the last; 0 if the streams do not have
	// both.
	DurationSeconds float64 `json:"durationSeconds"`
}

// A Result is the outcome of one mapping. Each of its texts is one printable line.
type Result struct {
	Source      string     `json:"source"`
	Destination string     `json:"destination"`
	Status      string     `json:"status"`
	Digest      string     `json:"digest"`             // of the image, if it is known
	Error       string     `json:"error"`              // why it failed
	Note        string     `json:"note,omitempty"`     // why it is held or deferred
	Allowed     bool       `json:"allowed,omitempty"`  // of a deferred image: the set's settings allow that
	Recorded    bool       `json:"recorded,omitempty"` // no registry was asked: the record of earlier runs tells
	Bytes       int64      `json:"bytes"`              // blob bytes sent for it; in a dry run, to be sent
	Old         string     `json:"old,omitempty"`
	Seconds     float64    `json:"seconds,omitempty"`
	Side        string     `json:"side,omitempty"`       // "source" or "destination", if one of them is at fault
	HTTPStatus  int        `json:"httpStatus,omitempty"` // of the response that decided it
	Host        string     `json:"host,omitempty"`       // at fault: a registry, or what it leads to
	Kind        fault.Kind `json:"kind,omitempty"`       // of failure
	Cause       string     `json:"cause,omitempty"`      // key of the Cause that it failed for
	Advice      string     `json:"advice,omitempty"`     // what to do
	Time        time.Time  `json:"time,omitzero"`        // when the outcome was known
	Set         string     `json:"set,omitempty"`
	Owners      []string   `json:"owners,omitempty"`
	Notify      []string   `json:"notify,omitempty"` // whom to tell that it failed
	File        string     `json:"file"`             // the mapping file, named as split was given it
	Line        int        `json:"line"`
	URL         string     `json:"url,omitempty"` // of that line, by the operator's policy

	// What came with the image; in a dry run, what would come. By kind.
	Travelled []Travelled `json:"travelled,omitempty"`

	Tags []Tagged `json:"tags,omitempty"` // additional tags; in a dry run, those that it would get
	Kept string   `json:"kept,omitempty"` // tag under which Old is kept; in a dry run, would be

	// What strangers get; absent if nobody asked.
	Public *Public `json:"public,omitempty"`

	// Of an image of which some platforms are published: which, and the digest of the source's
	// index if the destination gets another.
	Platforms []string `json:"platforms,omitempty"`
	Rewritten string   `json:"rewritten,omitempty"`
	Completes bool     `json:"-"` // in a dry run: the tag stays, and platforms are copied
}

// NoPlan returns the report of a run that split made no plan for.
func NoPlan(reasons ...string) *Report {
	r := NewBuilder().Report()
	for _, reason := range reasons[:min(len(reasons), maxReasons)] {
		r.Summary.NoPlan = append(r.Summary.NoPlan, text.Line(reason, maxMessage))
	}
	if n := len(reasons) - maxReasons; n > 0 {
		r.Summary.NoPlan = append(r.Summary.NoPlan, fmt.Sprintf("and %d more", n))
	}
	r.findCauses(time.Now().UTC())
	return r
}

// Err returns the verdict: nil if no mapping failed and each has a result.
func (r *Report) Err() error {
	s := r.Summary
	switch {
	case len(s.NoPlan) == 1:
		return fmt.Errorf("nothing was mirrored: %s", s.NoPlan[0])
	case len(s.NoPlan) > 1:
		return fmt.Errorf("nothing was mirrored: %s; and %d more", s.NoPlan[0], len(s.NoPlan)-1)
	case s.Failed > 0 && s.Unknown > 0:
		return fmt.Errorf("%d of %s failed, and %d more are unknown", s.Failed, text.Count(s.Mappings, "mapping"), s.Unknown)
	case s.Failed > 0:
		return fmt.Errorf("%d of %s failed", s.Failed, text.Count(s.Mappings, "mapping"))
	case s.Unknown > 0:
		return fmt.Errorf("%s unknown: copy was cut before it named all of its work", text.Count(s.Unknown, "mapping"))
	case len(s.Problems) == 0 && s.Overdue > 0:
		return fmt.Errorf("%d of %s deferred, which the settings do not allow", s.Overdue, text.Count(s.Mappings, "mapping"))
	case len(s.Problems) == 1:
		return errors.New(s.Problems[0])
	case len(s.Problems) > 1:
		return fmt.Errorf("%s; and %d more", s.Problems[0], len(s.Problems)-1)
	}
	return nil
}

// warn adds a warning to those of split.
func (r *Report) warn(line string) {
	if len(r.Summary.Warnings) < maxWarnings {
		r.Summary.Warnings = append(r.Summary.Warnings, line)
	}
}

// findCauses groups the failures, and names the cause of a verdict that they do not explain. ended
// is when the run ended.
func (r *Report) findCauses(ended time.Time) {
	r.Causes = causes(r.withStatus(stream.Failed), ended)
	if c := r.Summary.ofRun(ended, r.Err()); c != nil {
		r.Causes = append(r.Causes, c)
	}
}

// Headline sums the report up in a few words.
func (r *Report) Headline() string {
	s := r.Summary
	all, later := text.Count(s.Mappings, "mapping"), len(r.later())
	switch err := r.Err(); {
	case err != nil && r.planned() > 0:
		return "Dry run: " + err.Error()
	case err != nil:
		return err.Error()
	case s.Mappings == 0:
		return "Nothing to mirror"
	case r.planned() > 0:
		return fmt.Sprintf("Dry run: %d of %s to copy (%s), %s", r.planned(), all, r.changes(), text.Size(s.Bytes)+s.waiting())
	case s.Copied == 0 && s.Held+s.Deferred == 0:
		return fmt.Sprintf("%s%s up to date%s", r.nothing(), all, withReferrers(later))
	case s.Copied == 0:
		return fmt.Sprintf("%s%d of %s up to date%s%s", r.nothing(), s.Current, all, withReferrers(later), s.waiting())
	}
	return fmt.Sprintf("%d of %s copied, %s%s%s", s.Copied, all, text.Size(s.Bytes), withReferrers(later), s.waiting())
}

// nothing returns words for a run that had nothing to copy, unless referrers were copied.
func (r *Report) nothing() string {
	if len(r.later()) > 0 {
		return ""
	}
	return "Nothing to copy: "
}

// waiting returns how many mappings are held and deferred, as a phrase to append.
func (s Summary) waiting() string {
	words := ""
	if s.Held > 0 {
		words += fmt.Sprintf(", %d held", s.Held)
	}
	if s.Deferred > 0 {
		words += fmt.Sprintf(", %d deferred", s.Deferred)
	}
	return words
}

// changes returns how many of the images to copy get a new tag, and how many move one.
func (r *Report) changes() string {
	tags, moved, stay, completed := 0, 0, 0, 0
	for _, m := range r.withStatus(Planned) {
		switch {
		case m.Completes:
			completed++
		case m.stays():
			stay++
		case m.Old != "":
			moved++
		default:
			tags++
		}
	}
	return fmt.Sprintf("%d new, %d moved", tags, moved) + withReferrers(stay) + withPlatforms(completed)
}

// dryRun reports whether nothing was to be copied: all streams are plans.
func (r *Report) dryRun() bool { return r.Summary.Planned != nil }

// planned returns how many images a dry run found to copy.
func (r *Report) planned() int {
	if !r.dryRun() {
		return 0
	}
	return *r.Summary.Planned
}

// withStatus returns the results that have the status.
func (r *Report) withStatus(status string) []*Result {
	var some []*Result
	for _, m := range r.Results {
		if m.Status == status {
			some = append(some, m)
		}
	}
	return some
}

// position returns the mapping's file and line.
func (r *Result) position() string { return fmt.Sprintf("%s:%d", r.File, r.Line) }

// noSet stands for the name of the set of mappings that belong to none.
const noSet = "(no set)"

// setCounts has the results of one image set in numbers.
type setCounts struct {
	set                                                        string
	mappings, copied, current, held, deferred, planned, failed int
	overdue                                                    int
	bytes                                                      int64
}

func (c *setCounts) add(r *Result) {
	c.mappings++
	switch r.Status {
	case stream.Copied:
		c.copied++
	case stream.Current:
		c.current++
	case stream.Held:
		c.held++
	case stream.Deferred:
		c.deferred++
		if !r.Allowed {
			c.overdue++
		}
	case Planned:
		c.planned++
	case stream.Failed:
		c.failed++
	}
	c.bytes = sum(c.bytes, r.Bytes)
}

// countBySet returns the counts of each set, and those of all together. Sets in which something
// failed come first, those with most failures before others; otherwise the order is that of the
// results.
func (r *Report) countBySet() (sets []*setCounts, total *setCounts) {
	total = &setCounts{set: "total"}
	bySet := map[string]*setCounts{}
	for _, m := range r.Results {
		c := bySet[m.Set]
		if c == nil {
			c = &setCounts{set: cmp.Or(m.Set, noSet)}
			bySet[m.Set] = c
			sets = append(sets, c)
		}
		c.add(m)
		total.add(m)
	}
	slices.SortStableFunc(sets, func(a, b *setCounts) int { return cmp.Compare(b.failed, a.failed) })
	return sets, total
}

// sumOf returns the counts of several sets together.
func sumOf(sets []*setCounts, name string) *setCounts {
	all := &setCounts{set: name}
	for _, c := range sets {
		all.mappings, all.copied, all.current = all.mappings+c.mappings, all.copied+c.copied, all.current+c.current
		all.held, all.deferred, all.planned = all.held+c.held, all.deferred+c.deferred, all.planned+c.planned
		all.failed, all.bytes = all.failed+c.failed, sum(all.bytes, c.bytes)
	}
	return all
}
