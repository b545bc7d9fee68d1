package record

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"imagemirror/internal/digest"
	"imagemirror/internal/fault"
	"imagemirror/internal/link"
	"imagemirror/internal/report"
	"imagemirror/internal/stream"
	"imagemirror/internal/text"
)

// How long the record keeps a destination that no mapping names any more and no run has pushed.
// And, if runs do not read all files of the set, how long a destination stays in use without a run
// that names it.
const (
	goneKept   = 30 * 24 * time.Hour
	unseenKept = 7 * 24 * time.Hour
)

// An Update is what one run tells of one image set.
type Update struct {
	Report *report.Report // of this set alone: see its BySet
	Whole  bool           // the run read all files of the set
	Now    time.Time      // nothing in the run is later
}

// Apply returns the record after a run. It changes nothing in r, and returns r itself if there is
// nothing to record: the run is in it already, or was a dry run.
//
// Runs may be applied in any order. What a later run saw of a destination stays.
func (r *Record) Apply(u Update) *Record {
	run := u.run()
	dry := u.Report.Summary.Planned != nil && len(u.Report.Summary.NoPlan) == 0
	if dry || r.has(run) {
		return r
	}
	a := &application{Update: u, run: run, ends: map[string]time.Time{}, latest: true}
	runs := notAhead(r.Runs, u.Now, run.End)
	for _, other := range runs {
		a.ends[other.ID] = other.End
		a.latest = a.latest && !other.End.After(run.End)
	}
	next := &Record{
		Version: Version, Set: r.Set, Owners: r.Owners, Updated: u.Now.UTC(),
		Runs: addRun(runs, run), Destinations: a.destinations(r.Destinations),
	}
	next.Causes = a.causes(r.Causes, next.Destinations)
	next.KeepTold(r)
	next.takeSettings(r, u.Report.Sets, a.latest)
	next.takeSelections(r, u.Report, a.latest)
	if len(u.Report.Results) > 0 && a.latest {
		owners := u.Report.Results[0].Owners
		next.Owners = slices.Clone(owners[:min(len(owners), maxList)])
	}
	return next
}

// takeSettings takes over what the run's streams say of the set's settings. A run without a plan
// knows nothing of them: the settings of the record before stay.
func (r *Record) takeSettings(before *Record, sets []*report.Set, latest bool) {
	if len(sets) == 0 || !latest {
		r.Schedule, r.StaleSeconds = before.Schedule, before.StaleSeconds
		r.Notify, r.Targets, r.RemindSeconds = before.Notify, before.Targets, before.RemindSeconds
		return
	}
	s := sets[0]
	r.Schedule, r.StaleSeconds, r.RemindSeconds = s.Schedule, int64(s.Stale/time.Second), int64(s.Remind/time.Second)
	r.Notify, r.Targets = slices.Clone(s.Notify[:min(len(s.Notify), maxList)]), slices.Clone(s.Targets)
}

// notAhead returns the runs, with end as the end of those that end after now: a clock that was
// ahead once must not make what later runs see look older.
func notAhead(runs []*Run, now, end time.Time) []*Run {
	all := slices.Clone(runs)
	for i, run := range all {
		if run.End.After(now) {
			early := *run
			early.End, early.Start = end, earlier(run.Start, end)
			all[i] = &early
		}
	}
	slices.SortStableFunc(all, func(a, b *Run) int { return a.End.Compare(b.End) })
	return all
}

// run returns the run with its counts and verdict.
func (u *Update) run() *Run {
	of, s := u.Report.Run, u.Report.Summary
	run := &Run{
		ID: text.Line(of.ID, maxID), URL: keptURL(of.URL), Trigger: text.Line(of.Trigger, maxID), Program: text.Line(of.Version, maxID),
		End:      earlier(of.End.UTC(), u.Now.UTC()),
		Mappings: s.Mappings, Copied: s.Copied, Current: s.Current, Held: s.Held, Deferred: s.Deferred, Failed: s.Failed, Unknown: s.Unknown, Bytes: s.Bytes,
		Verdict: Good,
	}
	run.Start = earlier(of.Start.UTC(), run.End)
	run.ID = cmp.Or(run.ID, run.End.Format(time.RFC3339Nano)) // destinations name their last run
	if err := u.Report.Err(); err != nil {
		run.Verdict, run.Reason = Failed, text.Line(err.Error(), maxShort)
	}
	if len(s.NoPlan) > 0 {
		run.Verdict = NoPlan
	}
	for _, t := range u.Report.Registries[:min(len(u.Report.Registries), maxRegistries)] {
		run.Registries = append(run.Registries, &Traffic{text.Line(t.Host, maxID), t.Requests, t.Retries, t.Throttled, t.Bytes})
	}
	return run
}

// earlier returns the earlier of two times. A time that is not known is not earlier.
func earlier(t, bound time.Time) time.Time {
	if t.IsZero() || t.After(bound) {
		return bound
	}
	return t
}

// has reports whether the run is recorded, or is older than all runs that there is room for.
func (r *Record) has(run *Run) bool {
	if len(r.Runs) >= MaxRuns && run.End.Before(r.Runs[0].End) {
		return true
	}
	return slices.ContainsFunc(r.Runs, func(other *Run) bool { return other.ID == run.ID })
}

func addRun(runs []*Run, run *Run) []*Run {
	at, _ := slices.BinarySearchFunc(runs, run, func(a, b *Run) int {
		if a.End.After(b.End) {
			return 1
		}
		return -1
	})
	next := slices.Insert(slices.Clone(runs), at, run)
	return next[max(0, len(next)-MaxRuns):]
}

// An application is an Update on its way into a record.
type application struct {
	Update
	run    *Run
	ends   map[string]time.Time // of recorded runs, by ID
	latest bool                 // no recorded run ended later
}

// destinations returns the destinations after the run, by name.
func (a *application) destinations(old []*Destination) []*Destination {
	known := make(map[string]*Destination, len(old))
	old = slices.Clone(old)
	for i, d := range old {
		old[i] = d.notAhead(a.Now, a.run.End)
		known[d.Name] = old[i]
	}
	next := make(map[string]*Destination, len(old))
	files, unlisted := map[string]bool{}, map[string]bool{}
	for _, m := range a.Report.Results {
		name := m.Name()
		if name == "" {
			continue
		}
		files[baseOf(m.File)] = true
		unlisted[name] = unlisted[name] || m.IsUnlisted()
		// Of two results of a name, the one that failed counts: both are images pushed by digest.
		if first := next[name]; first == nil || m.Status == stream.Failed {
			next[name] = a.destination(known[name], name, m)
		}
	}
	for _, d := range old {
		if next[d.Name] == nil && unlisted[report.RepositoryOf(d.Name)] {
			next[d.Name] = d // its wildcard may still match it
		} else if next[d.Name] == nil {
			if d = a.unnamed(d, files[baseOf(d.File)]); d != nil {
				next[d.Name] = d
			}
		}
	}
	return capDestinations(slices.Collect(maps.Values(next)))
}

// capDestinations returns the destinations by name. If there are too many, it drops first those
// that are gone, the latest first: they are pruned last.
func capDestinations(all []*Destination) []*Destination {
	byName := func(a, b *Destination) int { return strings.Compare(a.Name, b.Name) }
	inUse := 0
	for _, d := range all {
		if d.Gone.IsZero() {
			inUse++
		}
	}
	if most := min(MaxDestinations, inUse+MaxGone); len(all) > most {
		slices.SortFunc(all, func(a, b *Destination) int { return cmp.Or(a.Gone.Compare(b.Gone), byName(a, b)) })
		all = all[:most]
	}
	slices.SortFunc(all, byName)
	return all
}

// baseOf returns the name of a mapping file without its directory, which differs between runs
// that were started in different directories.
func baseOf(file string) string { return file[strings.LastIndexByte(file, '/')+1:] }

// notAhead returns a destination whose times after now are end instead, as those of runs are:
// otherwise it would not be stale before then.
func (d *Destination) notAhead(now, end time.Time) *Destination {
	ahead := func(t time.Time) bool { return t.After(now) }
	past := *d
	times := []*time.Time{&past.Since, &past.LastGood, &past.Public, &past.Checked, &past.FailingSince, &past.FreshSince, &past.Gone}
	moved := slices.ContainsFunc(d.Moves, func(m *Move) bool { return ahead(m.When) })
	if !moved && !slices.ContainsFunc(times, func(t *time.Time) bool { return ahead(*t) }) {
		return d
	}
	for _, t := range times {
		if ahead(*t) {
			*t = end
		}
	}
	past.Moves = nil
	for _, m := range d.Moves {
		move := *m
		if ahead(m.When) {
			move.When = end
		}
		past.Moves = append(past.Moves, &move)
	}
	return &past
}

// destination returns a destination after the run's result for it. old is nil if it is new.
func (a *application) destination(old *Destination, name string, m *report.Result) *Destination {
	d := &Destination{Name: name}
	if old != nil {
		if a.ends[old.Run].After(a.run.End) {
			return old // a later run saw it
		}
		*d = *old
	}
	d.Source, d.File, d.Line, d.Run, d.Gone = m.Source, m.File, max(m.Line, 0), a.run.ID, time.Time{}
	d.URL = keptURL(m.URL)
	d.Hold = a.hold(d.Hold, m)
	if !d.Since.After(a.run.Start) {
		d.move(m.Old, a.run.Start, a.run.ID) // by somebody else, if it was not there before
	}
	switch {
	case m.Status == stream.Deferred: // nothing else is known of it
		return d
	case m.Status == stream.Copied || m.Status == stream.Current || m.Kind.Published():
		d.has(m, a.run)
		if m.Status != stream.Failed || m.Digest != m.Old {
			d.takePart(old, m)
		}
	}
	d.asked(m, a.run)
	if m.Status == stream.Failed {
		d.fails(m, a.run)
		return d
	}
	if !m.Recorded {
		d.Checked = time.Time{}
	} else if d.Checked.IsZero() {
		d.Checked = d.LastGood
	}
	d.LastGood, d.FailingSince, d.Error, d.Cause = a.run.End, time.Time{}, "", ""
	d.Fresh, d.FreshSince = "", time.Time{}
	return d
}

// fails notes why the destination fails.
func (d *Destination) fails(m *report.Result, run *Run) {
	d.Error, d.Cause = text.Line(m.Error, maxShort), text.Line(m.Cause, maxID)
	if d.FailingSince.IsZero() {
		d.FailingSince = run.End
	}
	if m.Kind == fault.TooNew && d.Fresh != m.Digest && digest.Valid(m.Digest) {
		d.Fresh, d.FreshSince = m.Digest, run.End
	}
}

// has notes that the destination has the digest of a result, and what came with the image.
func (d *Destination) has(m *report.Result, run *Run) {
	d.move(m.Digest, run.End, run.ID)
	if m.Status == stream.Copied || m.Status == stream.Failed && m.Digest != m.Old {
		d.wrote(m)
	}
	d.Referrers = m.ReferrersAfter(d.Referrers)
}

// asked notes what strangers get of the destination, if they were asked for it.
func (d *Destination) asked(m *report.Result, run *Run) {
	switch {
	case m.Kind.Published():
		d.Public = time.Time{}
	case m.Public != nil && m.Public.Answer == stream.Yes:
		d.Public = run.End
	}
}

// isURL reports whether an address is one that records keep, for pages to lead to.
func isURL(s string) bool { return len(s) <= maxURL && text.IsPrintable(s) && link.IsWeb(s) }

// keptURL returns an address if records keep it, and otherwise "".
func keptURL(s string) string {
	if isURL(s) {
		return s
	}
	return ""
}

// move notes the digest that the destination has, if it is known. What is known of the image before
// is not true of this one. It does not change d.Moves in place, which another record shares.
func (d *Destination) move(to string, when time.Time, run string) {
	if to == d.Digest || !digest.Valid(to) {
		return
	}
	d.Digest, d.Since, d.Public, d.Referrers = to, when, time.Time{}, nil
	d.setPart(nil, "")
	d.Moves = append(slices.Clone(d.Moves), &Move{Digest: to, When: when, Run: run})
	d.Moves = d.Moves[max(0, len(d.Moves)-MaxMoves):]
}

// unnamed returns a destination that the run has no result for, or nil if it is no longer kept.
// fileRead tells whether the run read the mapping file that named it.
func (a *application) unnamed(old *Destination, fileRead bool) *Destination {
	s := a.Report.Summary
	switch {
	case !a.latest || len(s.NoPlan)+len(s.Problems)+s.Unknown+len(a.Report.Cuts) > 0:
		return old // nothing is known of it
	case !old.Gone.IsZero() && a.Now.Sub(old.Gone) > goneKept && !old.Pushed():
		return nil
	case !old.Gone.IsZero() || !a.Whole && !fileRead && a.Now.Sub(a.ends[old.Run]) < unseenKept:
		return old
	}
	d := *old
	d.Gone, d.FailingSince, d.Error, d.Cause = a.run.End, time.Time{}, "", ""
	return &d
}

// causes returns the causes of failing destinations after the run or, if no mapping failed,
// those of a run that is not good. A cause that goes on keeps its first time.
func (a *application) causes(old []*Cause, destinations []*Destination) []*Cause {
	next, ofRun := map[string]*Cause{}, map[string]bool{}
	for _, c := range a.Report.Causes {
		if len(c.Results) == 0 && !a.latest {
			continue // a later run was good
		}
		now := a.cause(c)
		next[now.Key], ofRun[now.Key] = now, len(c.Results) == 0
	}
	for _, c := range old {
		now := next[c.Key]
		if now != nil && a.latest {
			now.First = earlier(c.First, now.First)
			continue
		}
		kept := *c
		if now != nil {
			kept.First = earlier(now.First, c.First)
		}
		next[c.Key], ofRun[c.Key] = &kept, c.Count == 0 && !a.latest
	}
	return counted(next, ofRun, destinations)
}

// counted returns the causes that destinations fail for, and those of a run itself, by key.
func counted(causes map[string]*Cause, ofRun map[string]bool, destinations []*Destination) []*Cause {
	for _, c := range causes {
		c.Count = 0
	}
	for _, d := range destinations {
		if c := causes[d.Cause]; c != nil && d.Cause != "" {
			c.Count++
		}
	}
	var all []*Cause
	for key, c := range causes {
		if c.Count > 0 || ofRun[key] {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b *Cause) int { return cmp.Or(CompareUrgency(a, b), strings.Compare(a.Key, b.Key)) })
	all = all[:min(len(all), MaxCauses)]
	slices.SortFunc(all, func(a, b *Cause) int { return strings.Compare(a.Key, b.Key) })
	return all
}

// cause returns a cause of the report as the record has it.
func (a *application) cause(c *report.Cause) *Cause {
	last := earlier(c.Last.UTC(), a.run.End)
	return &Cause{
		Key: text.Line(c.Key, maxID), Kind: string(c.Kind), Side: text.Line(c.Side, maxID), Host: text.Line(c.Host, maxID),
		Message: text.Line(c.Message, maxShort), Advice: text.Line(c.Advice, maxShort),
		First: earlier(c.First.UTC(), last), Last: last,
	}
}
