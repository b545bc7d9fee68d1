package report

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unique"

	"imagemirror/internal/fault"
	"imagemirror/internal/link"
	"imagemirror/internal/secret"
	"imagemirror/internal/settings"
	"imagemirror/internal/stream"
	"imagemirror/internal/text"
)

// The errors of mappings that no stream has a result for.
const (
	neverRan   = "no result: %s did not run or did not finish"
	endedFirst = "no result: copy ended before it"
	runAgain   = "see why copy ended, then run it again: what has arrived is not sent twice"
	lookAtTag  = "compare the destination with the source, and find out who else writes results: those of copy always agree with its plan"
)

// A Builder gathers the streams of one or more runs, by mapping.
type Builder struct {
	mappings map[mappingKey]*pending
	sets     map[setKey]setFacts
	settings map[string]*Set
	executed bool              // the plans were carried out: this is no dry run
	runs     map[string]string // by run: the first of its streams
	cuts     []string
	warnings []string
	problems []string
	unnamed  map[announcement]int // mappings that a cut stream announced and did not name
	named    map[shardKey]int     // mappings of a shard, if a stream names all of them
	planned  map[shardKey]bool    // parts of plans; the settled part has no shard

	selections []*Selection
	wildcards  map[selectionKey]bool // of selections

	started, ended time.Time     // of the whole
	latest         stream.Header // of the run that started last
	traffic        trafficCounts
}

type mappingKey struct {
	run string
	id  int
}

type setKey struct{ run, set string }

// setFacts has the people of an image set, and where reports on it lead to.
type setFacts struct {
	owners, notify []string
	file, run      link.Template
}

// A shardKey is what the plan of a shard has in common with its results. Results of several
// shards carry all of their names, separated by commas.
type shardKey struct{ run, shard string }

// An announcement is the number of mappings that a header says its stream has.
type announcement struct {
	shardKey
	mappings int
}

// NewBuilder returns a Builder that has no streams.
func NewBuilder() *Builder {
	return &Builder{
		mappings: map[mappingKey]*pending{},
		sets:     map[setKey]setFacts{},
		settings: map[string]*Set{},
		runs:     map[string]string{},
		unnamed:  map[announcement]int{},
		named:    map[shardKey]int{},
		planned:  map[shardKey]bool{},

		wildcards: map[selectionKey]bool{},
	}
}

// Add takes in one stream; their order does not matter, except that the first of two equally
// good results of a mapping counts. Add fails if the stream cannot belong to the same run as
// another one, if another run has one of its mappings too, and if it is a plan that was cut:
// its missing mappings would go unnoticed.
func (b *Builder) Add(c *stream.Content) error {
	if c.Cut != nil && c.Header.Stream == stream.Plan {
		return fmt.Errorf("%w: run split again, a plan has to be whole", c.Cut)
	}
	b.executed = b.executed || c.Header.Stream == stream.Results
	b.addTimes(c)
	b.addLatest(c.Header)
	b.traffic.add(c)
	b.addWarnings(c.Header.Warnings)
	b.addSelections(c)
	for _, s := range c.Sets {
		b.sets[setKey{c.Header.Run, s.Name}] = setFacts{
			owners: boundNames(s.Owners), notify: boundNames(s.Notify),
			file: linkOf(s.FileLink, link.FileNames), run: linkOf(s.RunLink, link.RunNames),
		}
		b.addSettings(s)
	}
	for _, m := range c.Mappings {
		if err := b.addMapping(c, m); err != nil {
			return err
		}
	}
	if err := b.checkRuns(c); err != nil {
		return err
	}
	b.addOutcomes(c)
	b.addCut(c)
	return nil
}

// addOutcomes takes in the copies and the results of a stream.
func (b *Builder) addOutcomes(c *stream.Content) {
	if c.Header.Stream == stream.Plan {
		b.planned[shardKey{c.Header.Run, c.Header.Shard}] = true
	}
	for _, p := range c.Copies {
		b.mappings[mappingKey{c.Header.Run, p.ID}].addPlan(p, c.Header.Shard)
	}
	for _, r := range c.Results {
		e := b.mappings[mappingKey{c.Header.Run, r.ID}]
		if c.Header.Stream == stream.Plan {
			e.settle(r, c.Header.Started)
		} else {
			e.addResult(r, c.Header.Started)
		}
	}
}

// AddUnreadable notes a stream of results that cannot be read. Mappings that no other stream
// has a result for have failed.
func (b *Builder) AddUnreadable(err error) {
	b.cuts = append(b.cuts, text.Line(secret.Hide(err.Error()), maxMessage))
}

// AddProblem notes why the report cannot be good, whatever the results say.
func (b *Builder) AddProblem(why string) {
	if len(b.problems) < maxReasons {
		b.problems = append(b.problems, text.Line(why, maxMessage))
	}
}

// MarkExecuted notes that the plans were carried out, so that mappings without a result have
// failed even if there is no stream of results. Without it, plans alone are a dry run.
func (b *Builder) MarkExecuted() { b.executed = true }

// addWarnings takes in warnings, which a plan and its results both have.
func (b *Builder) addWarnings(lines []string) {
	for _, l := range lines {
		l = text.Line(l, maxMessage)
		if len(b.warnings) < maxWarnings && !slices.Contains(b.warnings, l) {
			b.warnings = append(b.warnings, l)
		}
	}
}

func (b *Builder) addTimes(c *stream.Content) {
	if t := c.Header.Started; !t.IsZero() && (b.started.IsZero() || t.Before(b.started)) {
		b.started = t
	}
	if c.End != nil && c.End.Ended.After(b.ended) {
		b.ended = c.End.Ended
	}
}

// addSettings notes what a stream says of a set's settings, as far as settings can say it.
func (b *Builder) addSettings(s stream.Set) {
	set := &Set{Name: text.Line(s.Name, maxName), Notify: boundNames(s.Notify)}
	for _, t := range s.Targets[:min(len(s.Targets), settings.MaxTargets)] {
		if t := settings.Target(t); settings.IsTarget(t) {
			set.Targets = append(set.Targets, t)
		}
	}
	if settings.CheckSchedule(s.Schedule) == nil {
		set.Schedule = s.Schedule
	}
	span := func(seconds int64) time.Duration {
		return time.Duration(min(max(seconds, 0), maxSeconds)) * time.Second
	}
	set.Remind, set.Stale = span(s.RemindSeconds), span(s.StaleSeconds)
	b.settings[set.Name] = set
}

func boundNames(list []string) []string {
	var all []string
	for _, o := range list[:min(len(list), maxOwners)] {
		all = append(all, text.Line(o, maxOwner))
	}
	return all
}

func (b *Builder) addMapping(c *stream.Content, m stream.Mapping) error {
	k := mappingKey{c.Header.Run, m.ID}
	source, destination := text.Line(m.Source, maxName), text.Line(m.Destination, maxName)
	e := b.mappings[k]
	if e == nil {
		set := b.sets[setKey{c.Header.Run, m.Set}]
		e = &pending{mappingKey: k, Result: Result{
			Source:      source,
			Destination: destination,
			Set:         unique.Make(text.Line(m.Set, maxName)).Value(),
			Owners:      set.owners,
			Notify:      set.notify,
			File:        unique.Make(text.Line(m.File, maxName)).Value(),
			Line:        m.Line,
		}}
		e.URL = set.file.Expand(map[string]string{
			"set": e.Set, "file": e.File, "name": path.Base(e.File), "line": strconv.Itoa(e.Line),
		})
		b.mappings[k] = e
	}
	if e.Source != source || e.Destination != destination {
		return fmt.Errorf("%s: mapping %d of run %q is %s to %s here and %s to %s in another stream: the two do not belong together",
			c.Name, m.ID, c.Header.Run, source, destination, e.Source, e.Destination)
	}
	if c.Header.Stream == stream.Results {
		e.inResults, e.resultsOf = true, c.Header.Shard
	} else {
		e.inPlan = true
	}
	return nil
}

// checkRuns fails if the stream has a mapping that another run has, too: a report has one
// result for each. Runs of different mappings add up.
func (b *Builder) checkRuns(c *stream.Content) error {
	run := c.Header.Run
	b.runs[run] = cmp.Or(b.runs[run], c.Name)
	if len(b.runs) == 1 {
		return nil
	}
	type pair struct{ source, destination string }
	others := map[pair]string{}
	for k, e := range b.mappings {
		if k.run != run {
			others[pair{e.Source, e.Destination}] = k.run
		}
	}
	for _, m := range c.Mappings {
		e := b.mappings[mappingKey{run, m.ID}]
		if other, twice := others[pair{e.Source, e.Destination}]; twice {
			return fmt.Errorf("%s is of another run than %s, and both have %s to %s: give the streams of one run",
				c.Name, b.runs[other], e.Source, e.Destination)
		}
	}
	return nil
}

// addCut notes which mappings a cut stream does not name, and which shards another stream names
// all of.
func (b *Builder) addCut(c *stream.Content) {
	a := announcement{shardKey{c.Header.Run, c.Header.Shard}, c.Header.Mappings}
	missing := a.mappings - len(c.Mappings)
	switch {
	case missing > 0:
		if n, again := b.unnamed[a]; !again || missing < n {
			b.unnamed[a] = missing
		}
	// The plan of settled mappings has no shard's name, like a plan in a pipe, and none of the
	// work.
	case c.Header.Stream == stream.Results || len(c.Copies) > 0:
		b.named[a.shardKey] = a.mappings
	}
	if c.Cut == nil {
		return
	}
	line := c.Cut.Error()
	if missing > 0 {
		line += fmt.Sprintf(", before it named %d of its %s", missing, text.Count(c.Header.Mappings, "mapping"))
	}
	b.cuts = append(b.cuts, text.Line(line, maxMessage))
}

// Report returns the report, in which every mapping has its result.
func (b *Builder) Report() *Report {
	r := &Report{Run: b.run(), Results: b.results(), Cuts: b.cuts, Registries: b.traffic.total(), Selections: b.selections}
	for _, set := range b.sets {
		r.runLink = max(r.runLink, set.run) // in most runs all sets have one policy
	}
	for _, name := range slices.Sorted(maps.Keys(b.settings)) {
		r.Sets = append(r.Sets, b.settings[name])
	}
	_, total := r.countBySet()
	r.Summary = Summary{
		Mappings: total.mappings,
		Copied:   total.copied,
		Current:  total.current,
		Held:     total.held,
		Deferred: total.deferred,
		Overdue:  total.overdue,
		Failed:   total.failed,
		Bytes:    total.bytes,
		Warnings: b.warnings,
		Problems: b.problems,
		Unknown:  b.unknown(),
	}
	r.countTravelled()
	r.warnOfTags()
	r.warnOfUnknown()
	r.countRewritten()
	if !b.executed {
		r.Summary.Planned = &total.planned
	}
	if !b.started.IsZero() && b.ended.After(b.started) {
		r.Summary.DurationSeconds = math.Round(b.ended.Sub(b.started).Seconds()*1000) / 1000
	}
	r.findCauses(cmp.Or(boundTime(b.ended), boundTime(b.started)))
	return r
}

func (b *Builder) results() []*Result {
	entries := slices.SortedFunc(maps.Values(b.mappings), func(a, b *pending) int {
		return cmp.Or(cmp.Compare(a.run, b.run), cmp.Compare(a.id, b.id))
	})
	var results []*Result
	for _, e := range entries {
		e.conclude(b.executed)
		if why := e.disagreement(b.isPlanned(e.run, e.resultsOf)); why != "" && e.Status != stream.Failed {
			e.Status, e.Error, e.Bytes, e.Advice, e.Kind = stream.Failed, why, 0, lookAtTag, fault.Disagreement
		}
		if e.Status == stream.Failed && e.planned != nil {
			e.Digest = e.planned.digest
		}
		if e.Status != stream.Failed {
			e.Notify = nil
		}
		results = append(results, &e.Result)
	}
	return results
}

// isPlanned reports whether the report has all of the plan that results of shards are about.
func (b *Builder) isPlanned(run, shards string) bool {
	all := b.planned[shardKey{run, ""}]
	for shard := range strings.SplitSeq(shards, ",") {
		all = all && b.planned[shardKey{run, shard}]
	}
	return all
}

// unknown returns how many mappings no stream names.
func (b *Builder) unknown() int {
	total := 0
	for a, missing := range b.unnamed {
		elsewhere := 0
		for shard := range strings.SplitSeq(a.shard, ",") {
			elsewhere += b.named[shardKey{a.run, shard}]
		}
		if b.named[a.shardKey] != a.mappings && elsewhere != a.mappings {
			total += missing
		}
	}
	return total
}
