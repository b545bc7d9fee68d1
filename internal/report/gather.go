package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unique"

	"imagemirror/internal/stream"
	"imagemirror/internal/text"
)

// The errors of mappings that no stream has a result for.
const (
	neverRan   = "no result: %s did not run or did not finish"
	endedFirst = "no result: copy ended before it"
	runAgain   = "see why copy ended, then run it again: what has arrived is not sent twice"
)

// gathering is what the streams say, by mapping.
type gathering struct {
	mappings map[key]*entry
	sets     map[setKey]people
	ran      bool // there is a stream of results: this is no dry run
	cuts     []string
	warnings []string
	unnamed  map[announced]int // how many mappings a cut stream announced and did not name
	named    map[shardKey]int  // how many mappings the shard has, where a stream names all of them

	started, ended time.Time // of the whole
}

type key struct {
	run string
	id  int
}

type setKey struct{ run, set string }

// people are those of an image set.
type people struct{ owners, notify []string }

// shardKey is what the plan of a shard has in common with its results. Results of several shards carry all of their
// names, with commas.
type shardKey struct{ run, shard string }

type announced struct {
	shardKey
	mappings int
}

// entry is a mapping on its way to its result.
type entry struct {
	key
	Result
	inResults bool      // a stream of results names it
	settled   bool      // it has a result
	shard     string    // that it is to be copied with, where the plan was cut
	began     time.Time // the stream that the result is from
}

func newGathering() *gathering {
	return &gathering{
		mappings: map[key]*entry{},
		sets:     map[setKey]people{},
		unnamed:  map[announced]int{},
		named:    map[shardKey]int{},
	}
}

// add takes in one stream. It fails where the stream cannot belong with the ones before it, and where it is a plan
// that was cut: what a plan does not name, nobody would miss.
func (g *gathering) add(c *stream.Content) error {
	if c.Cut != nil && c.Header.Stream == stream.Plan {
		return fmt.Errorf("%w: run split again, a plan has to be whole", c.Cut)
	}
	g.ran = g.ran || c.Header.Stream == stream.Results
	g.span(c)
	g.warn(c.Header.Warnings)
	for _, s := range c.Sets {
		g.sets[setKey{c.Header.Run, s.Name}] = people{owners: names(s.Owners), notify: names(s.Notify)}
	}
	for _, m := range c.Mappings {
		if err := g.mapping(c, m); err != nil {
			return err
		}
	}
	for _, p := range c.Copies {
		g.mappings[key{c.Header.Run, p.ID}].plan(p, c.Header.Shard)
	}
	for _, r := range c.Results {
		g.mappings[key{c.Header.Run, r.ID}].settle(r, c.Header.Started)
	}
	g.cut(c)
	return nil
}

// warn takes in warnings, which a plan and its results have both.
func (g *gathering) warn(lines []string) {
	for _, l := range lines {
		l = text.Line(l, maxMessage)
		if len(g.warnings) < maxWarnings && !slices.Contains(g.warnings, l) {
			g.warnings = append(g.warnings, l)
		}
	}
}

func (g *gathering) span(c *stream.Content) {
	if t := c.Header.Started; !t.IsZero() && (g.started.IsZero() || t.Before(g.started)) {
		g.started = t
	}
	if c.End != nil && c.End.Ended.After(g.ended) {
		g.ended = c.End.Ended
	}
}

func names(list []string) []string {
	var all []string
	for _, o := range list[:min(len(list), maxOwners)] {
		all = append(all, text.Line(o, maxOwner))
	}
	return all
}

func (g *gathering) mapping(c *stream.Content, m stream.Mapping) error {
	k := key{c.Header.Run, m.ID}
	source, destination := text.Line(m.Source, maxName), text.Line(m.Destination, maxName)
	e := g.mappings[k]
	if e == nil {
		set := g.sets[setKey{c.Header.Run, m.Set}]
		e = &entry{key: k, Result: Result{
			Source:      source,
			Destination: destination,
			Set:         unique.Make(text.Line(m.Set, maxName)).Value(),
			Owners:      set.owners,
			Notify:      set.notify,
			File:        unique.Make(text.Line(m.File, maxName)).Value(),
			Line:        m.Line,
		}}
		g.mappings[k] = e
	}
	if e.Source != source || e.Destination != destination {
		return fmt.Errorf("%s: mapping %d of run %q is %s to %s here and %s to %s in another stream: the two do not belong together",
			c.Name, m.ID, c.Header.Run, source, destination, e.Source, e.Destination)
	}
	e.inResults = e.inResults || c.Header.Stream == stream.Results
	return nil
}

// plan notes what is to be done, for a dry run and for a mapping that fails before its image is known.
func (e *entry) plan(c stream.Copy, shard string) {
	e.shard = unique.Make(text.Line(shard, maxName)).Value()
	if !e.settled {
		e.Bytes = c.Bytes
	}
	e.Digest = cmp.Or(e.Digest, text.Line(c.Digest, maxName))
	e.Old = cmp.Or(e.Old, text.Line(c.Old, maxName))
}

// settle takes a result, unless the mapping has a better one.
func (e *entry) settle(r stream.Result, began time.Time) {
	if e.settled && !e.outdoneBy(r, began) {
		return
	}
	e.settled, e.began = true, began
	e.Status, e.Bytes, e.Seconds = r.Status, r.Bytes, min(r.Seconds, maxSeconds)
	e.Digest = cmp.Or(text.Line(r.Digest, maxName), e.Digest)
	e.Old = cmp.Or(text.Line(r.Old, maxName), e.Old)
	e.Error, e.Side, e.HTTPStatus, e.Advice = "", "", 0, ""
	if r.Status == stream.Failed {
		e.Error = text.Line(r.Error.Message, maxMessage)
		e.Side = text.Line(r.Error.Side, maxName)
		e.HTTPStatus = r.Error.Status
		e.Advice = text.Line(r.Error.Advice, maxMessage)
	}
}

// outdoneBy decides between two results of a mapping, which a shard that was tried twice leaves: copied is better
// than current, and current better than failed, whichever was first. So what the first attempt copied stays
// copied when the second finds it there. Of two failures the later counts, and of two copies the one that
// sent the bytes: the other found them.
func (e *entry) outdoneBy(r stream.Result, began time.Time) bool {
	rank := []string{stream.Failed, stream.Current, stream.Copied}
	switch d := slices.Index(rank, r.Status) - slices.Index(rank, e.Status); {
	case d != 0:
		return d > 0
	case r.Status == stream.Copied:
		return r.Bytes > e.Bytes
	}
	return began.After(e.began)
}

// cut notes what a stream that was cut leaves unsaid, and what another says in its place.
func (g *gathering) cut(c *stream.Content) {
	k := announced{shardKey{c.Header.Run, c.Header.Shard}, c.Header.Mappings}
	missing := k.mappings - len(c.Mappings)
	switch {
	case missing > 0:
		if n, again := g.unnamed[k]; !again || missing < n {
			g.unnamed[k] = missing
		}
	// The plan of what is settled has no shard's name, as a plan in a pipe, and none of the work.
	case c.Header.Stream == stream.Results || len(c.Copies) > 0:
		g.named[k.shardKey] = k.mappings
	}
	if c.Cut == nil {
		return
	}
	line := c.Cut.Error()
	if missing > 0 {
		line += fmt.Sprintf(", before it named %d of its %s", missing, count(c.Header.Mappings, "mapping"))
	}
	g.cuts = append(g.cuts, text.Line(line, maxMessage))
}

// judge gives every mapping its result.
func (g *gathering) judge() *Report {
	r := &Report{Cuts: g.cuts}
	entries := make([]*entry, 0, len(g.mappings))
	for _, e := range g.mappings {
		e.judge(g.ran)
		if e.Status != stream.Failed {
			e.Notify = nil
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b *entry) int {
		return cmp.Or(cmp.Compare(a.run, b.run), cmp.Compare(a.id, b.id))
	})
	for _, e := range entries {
		r.Results = append(r.Results, &e.Result)
	}
	_, total := r.tallies()
	r.Summary = Summary{
		Mappings: total.mappings,
		Copied:   total.copied,
		Current:  total.current,
		Failed:   total.failed,
		Bytes:    total.bytes,
	}
	if !g.ran {
		r.Summary.Planned = &total.planned
	}
	r.Summary.Warnings = g.warnings
	r.Summary.Unknown = g.unknown()
	if !g.started.IsZero() && g.ended.After(g.started) {
		r.Summary.DurationSeconds = math.Round(g.ended.Sub(g.started).Seconds()*1000) / 1000
	}
	return r
}

// unknown is how many mappings no stream names.
func (g *gathering) unknown() int {
	total := 0
	for a, missing := range g.unnamed {
		elsewhere := 0
		for shard := range strings.SplitSeq(a.shard, ",") {
			elsewhere += g.named[shardKey{a.run, shard}]
		}
		if g.named[a.shardKey] != a.mappings && elsewhere != a.mappings {
			total += missing
		}
	}
	return total
}

func (e *entry) judge(ran bool) {
	switch {
	case e.settled:
		return
	case !ran:
		e.Status = Planned
		return
	case e.inResults:
		e.Error = endedFirst
	default:
		by := "copy"
		if e.shard != "" {
			by = "shard " + e.shard
		}
		e.Error = fmt.Sprintf(neverRan, by)
	}
	e.Status, e.Bytes, e.Advice = stream.Failed, 0, runAgain
}
