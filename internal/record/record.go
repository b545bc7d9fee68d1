// Package record keeps what outlives the runs of an image set: which digest each destination
// has and had, since when it fails and why, whether it is held, and the last runs. report updates
// it after a run; rollback and release update it when people move tags back and end holds. Pages,
// metrics and notifications are made from it.
package record

import (
	"cmp"
	"math"
	"time"

	"imagemirror/internal/report"
	"imagemirror/internal/settings"
	"imagemirror/internal/text"
)

// Version is the newest version of a record that this program reads and writes.
const Version = 1

// Bounds on a record. What is older than the newest that fit is dropped.
const (
	MaxRuns         = 200    // of a set
	MaxMoves        = 20     // of a destination
	MaxDestinations = 50_000 // of a set
	MaxCauses       = 500    // of a set
	MaxGone         = 5000   // destinations of a set that no mapping names, if runs have pushed them
	maxRegistries   = 100    // of a run
)

// Bounds on texts, in characters. Names are as long as a report's.
const (
	maxName  = 1000
	maxShort = 500 // messages and advice, which the report of the run has in full
	maxID    = 300
	maxURL   = 2000
	maxList  = 50 // owners
)

// A Record is all that is kept about one image set.
type Record struct {
	Version      int            `json:"version"`
	Set          string         `json:"set"`
	Owners       []string       `json:"owners,omitempty"`
	Schedule     string         `json:"schedule,omitempty"` // five cron fields, if runs are scheduled
	Updated      time.Time      `json:"updated"`
	Runs         []*Run         `json:"runs,omitempty"`         // oldest first
	Destinations []*Destination `json:"destinations,omitempty"` // by name
	Causes       []*Cause       `json:"causes,omitempty"`       // of what fails now, by key
	Selections   []*Selection   `json:"selections,omitempty"`   // of wildcards, in the order of the mappings

	// StaleSeconds is the age at which a destination that was not good since is stale; 0: none is.
	StaleSeconds int64 `json:"staleSeconds,omitempty"`
	// Recovered are causes that are over. They stay until all who were told of them have heard
	// that.
	Recovered     []*Cause      `json:"recovered,omitempty"`
	Notifications Notifications `json:"notifications,omitzero"`

	// What the settings of the last run that had a plan say of notifications.
	Notify        []string          `json:"notify,omitempty"` // people to mention
	Targets       []settings.Target `json:"targets,omitempty"`
	RemindSeconds int64             `json:"remindSeconds,omitempty"` // 0: the default
}

// Notifications count what was sent about the set, in all its runs.
type Notifications struct {
	Delivered int64     `json:"delivered,omitempty"`
	Failed    int64     `json:"failed,omitempty"`    // after all attempts
	LastFail  time.Time `json:"lastFail,omitzero"`   // when the last one failed
	LastError string    `json:"lastError,omitempty"` // why; empty once one was delivered again
}

// A Run is what one run of the set did. Bytes counts the blob bytes that were sent.
type Run struct {
	ID         string     `json:"id"`
	URL        string     `json:"url,omitempty"`     // of a page about the run, by the operator's policy
	Trigger    string     `json:"trigger,omitempty"` // cron, manual or event
	Program    string     `json:"program,omitempty"` // version of the program
	Start      time.Time  `json:"start"`
	End        time.Time  `json:"end"`
	Verdict    Verdict    `json:"verdict"`
	Reason     string     `json:"reason,omitempty"` // the verdict in one line, if it is not Good
	Mappings   int        `json:"mappings"`
	Copied     int        `json:"copied"`
	Current    int        `json:"current"`
	Held       int        `json:"held,omitempty"`
	Deferred   int        `json:"deferred,omitempty"`
	Failed     int        `json:"failed"`
	Unknown    int        `json:"unknown,omitempty"` // mappings that a cut stream did not name
	Bytes      int64      `json:"bytes"`
	Registries []*Traffic `json:"registries,omitempty"` // by host
}

// A Verdict says how a run ended.
type Verdict string

// The verdicts.
const (
	Good   Verdict = "good"   // every mapping is copied or current
	Failed Verdict = "failed" // a mapping failed or has no result
	NoPlan Verdict = "noPlan" // nothing was mirrored: split made no plan
)

// Traffic counts what a run asked of one host.
type Traffic struct {
	Host      string `json:"host"`
	Requests  int64  `json:"requests"`
	Retries   int64  `json:"retries,omitempty"`
	Throttled int64  `json:"throttled,omitempty"` // answers that asked to slow down
	Bytes     int64  `json:"bytes,omitempty"`     // of bodies, read and sent
}

// A Destination is one tag that the set publishes. A destination that no mapping of the set names
// any more has Gone set. If runs of the set have pushed it, it is kept until it is pruned, since
// only the record tells that it may be; otherwise, it is dropped after a while.
type Destination struct {
	Name         string    `json:"name"`   // as in the mapping file: host/repository:tag
	Source       string    `json:"source"` // as in the mapping file, with the tag that matched
	File         string    `json:"file,omitempty"`
	Line         int       `json:"line,omitempty"`
	URL          string    `json:"url,omitempty"`    // of that line, by the operator's policy
	Digest       string    `json:"digest,omitempty"` // that it has, as far as is known
	Since        time.Time `json:"since,omitzero"`   // when it got that digest, or when that was first seen
	LastGood     time.Time `json:"lastGood,omitzero"`
	Public       time.Time `json:"public,omitzero"`  // when strangers were last known to get that digest
	Checked      time.Time `json:"checked,omitzero"` // when registries said so; zero if LastGood is that time
	FailingSince time.Time `json:"failingSince,omitzero"`
	Cause        string    `json:"cause,omitempty"`     // the key of why it fails
	Error        string    `json:"error,omitempty"`     // the message of its own failure
	Run          string    `json:"run,omitempty"`       // the last run that had a result for it
	Fresh        string    `json:"fresh,omitempty"`     // the digest that it does not get yet, since that is too new
	FreshSince   time.Time `json:"freshSince,omitzero"` // when that was first seen
	Gone         time.Time `json:"gone,omitzero"`
	Hold         *Hold     `json:"hold,omitempty"`
	Moves        []*Move   `json:"moves,omitempty"` // oldest first

	// The published platforms of an image, if not all are published, and the digest of the
	// source's index if it differs from Digest.
	Platforms []string               `json:"platforms,omitempty"`
	Rewritten string                 `json:"rewritten,omitempty"`
	Referrers []report.ReferrerCount `json:"referrers,omitempty"` // that came with the image, by kind
}

// A Move is a change of the digest that a destination has.
type Move struct {
	Digest string    `json:"digest"`
	When   time.Time `json:"when"`
	Run    string    `json:"run,omitempty"`
	Wrote  bool      `json:"wrote,omitempty"` // the run pushed it, and did not only see it
	Tags   []string  `json:"tags,omitempty"`  // additional tags that the run gave to the image
	Kept   string    `json:"kept,omitempty"`  // the tag under which the run kept the image before
}

// A Cause is why destinations of the set fail: what several failures have in common.
type Cause struct {
	Key     string    `json:"key"`            // stable, the same in every set that it strikes
	Kind    string    `json:"kind"`           // of report.Cause
	Side    string    `json:"side,omitempty"` // source or destination
	Host    string    `json:"host,omitempty"` // at fault: a registry, a CDN or a token service
	Message string    `json:"message"`
	Advice  string    `json:"advice,omitempty"`
	Count   int       `json:"count"` // destinations that fail for it
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	Told    time.Time `json:"told,omitzero"`   // when somebody was last notified of it
	Tried   int       `json:"tried,omitempty"` // runs that began to notify somebody since, and did not end
	Owed    []string  `json:"owed,omitempty"`  // targets that did not get what others were told
}

// CompareUrgency orders causes: those of a whole run first, then those of the most destinations.
func CompareUrgency(a, b *Cause) int { return cmp.Compare(b.weight(), a.weight()) }

func (c *Cause) weight() int {
	if c.Count == 0 {
		return math.MaxInt
	}
	return c.Count
}

// New returns the record of a set that no run has been recorded of.
func New(set string) *Record { return &Record{Version: Version, Set: text.Line(set, maxName)} }

// Healthy reports whether no destination of the set fails and its last run was good.
func (r *Record) Healthy() bool {
	last := r.LastRun()
	return len(r.Causes) == 0 && (last == nil || last.Verdict == Good)
}

// LastRun returns the newest run, or nil.
func (r *Record) LastRun() *Run {
	if len(r.Runs) == 0 {
		return nil
	}
	return r.Runs[len(r.Runs)-1]
}

// LastGood returns the newest run that was good, or nil.
func (r *Record) LastGood() *Run {
	for i := len(r.Runs) - 1; i >= 0; i-- {
		if r.Runs[i].Verdict == Good {
			return r.Runs[i]
		}
	}
	return nil
}
