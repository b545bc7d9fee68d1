package report

import (
	"cmp"
	"fmt"
	"slices"
	"time"
	"unique"

	"imagemirror/internal/fault"
	"imagemirror/internal/reference"
	"imagemirror/internal/secret"
	"imagemirror/internal/stream"
	"imagemirror/internal/text"
)

// A pending is a mapping on its way to its result.
type pending struct {
	mappingKey
	Result
	agreement
	inResults bool      // a stream of results names it
	settled   bool      // it has a result
	shard     string    // that was to copy it, if the plan was cut into shards
	started   time.Time // of the stream that the result is from
}

// addPlan notes what is to be done, for a dry run and for a mapping that fails before its image
// is known.
func (e *pending) addPlan(c stream.Copy, shard string) {
	e.shard = unique.Make(text.Line(shard, maxName)).Value()
	if !e.settled {
		e.Bytes = c.Bytes
	}
	if !e.settled {
		e.Travelled, e.Tags, e.Kept = planned(c), extraTagsOf(c.Tags), keptBy(c)
		e.takePart(c.Platforms, c.Rewritten)
		e.Completes = c.Completes
	}
	e.plan("", c.Digest)
	e.Digest = cmp.Or(e.Digest, text.Line(c.Digest, maxName))
	e.Old = cmp.Or(e.Old, text.Line(c.Old, maxName))
}

// settle takes the result of a mapping that needs no copy. No result of copy replaces it.
func (e *pending) settle(r stream.Result, started time.Time) {
	e.plan(r.Status, r.Digest)
	e.take(r, started)
}

// addResult takes a result of copy, unless the mapping has a better one.
func (e *pending) addResult(r stream.Result, started time.Time) {
	e.hear(r)
	if !e.decided() && (!e.settled || e.outdoneBy(r, started)) {
		e.take(r, started)
	}
}

func (e *pending) take(r stream.Result, started time.Time) {
	e.settled, e.started = true, started
	e.Status, e.Bytes, e.Seconds = r.Status, r.Bytes, min(r.Seconds, maxSeconds)
	e.Digest = cmp.Or(text.Line(r.Digest, maxName), e.Digest)
	e.Old = cmp.Or(text.Line(r.Old, maxName), e.Old)
	e.Time, e.Travelled, e.Public = boundTime(r.Time), travelled(r.Travelled), publicOf(r.Public)
	e.Tags, e.Kept = extraTagsOf(r.Tags), text.Line(secret.Hide(r.Kept), maxName)
	e.Error, e.Side, e.Host, e.Kind, e.HTTPStatus, e.Advice = "", "", "", "", 0, ""
	e.Allowed, e.Recorded = r.Allowed, r.Recorded
	e.Note = text.Line(secret.Hide(r.Note), maxMessage)
	e.takePart(r.Platforms, r.Rewritten)
	if r.Status == stream.Failed {
		e.Kind = fault.Parse(string(r.Error.Kind))
		e.Host = text.Line(secret.Hide(r.Error.Host), maxHost)
		e.Error = text.Line(secret.Hide(r.Error.Message), maxMessage)
		if s := reference.Side(r.Error.Side); s == reference.Source || s == reference.Destination {
			e.Side = r.Error.Side
		}
		e.HTTPStatus = r.Error.Status
		e.Advice = text.Line(secret.Hide(r.Error.Advice), maxMessage)
	}
}

// outdoneBy chooses between two results of a mapping, which a shard that was tried twice
// leaves. Copied is better than current, and current better than failed, whichever was first:
// what the first attempt copied stays copied when the second finds it there. Of two failures
// the later counts. Of two copies the one that sent the bytes counts: the other found them.
func (e *pending) outdoneBy(r stream.Result, started time.Time) bool {
	rank := []string{stream.Failed, stream.Deferred, stream.Held, stream.Current, stream.Copied}
	switch d := slices.Index(rank, r.Status) - slices.Index(rank, e.Status); {
	case d != 0:
		return d > 0
	case r.Status == stream.Copied:
		return r.Bytes > e.Bytes
	}
	return started.After(e.started)
}

// conclude gives the mapping its result, if no stream did.
func (e *pending) conclude(executed bool) {
	switch {
	case e.settled:
		return
	case !executed:
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
	e.Status, e.Bytes, e.Advice, e.Kind, e.Travelled = stream.Failed, 0, runAgain, fault.Unfinished, nil
	e.Tags, e.Kept = nil, ""
}
