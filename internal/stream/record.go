// Package stream reads and writes the JSON Lines that pass between split, copy and report: a plan, or results.
//
// A stream is a header, the records, and an end that counts them, so that a stream that was cut is seen, also one
// cut at a line's end. Each line is an object with one key, which says what the record is. Reading is strict:
// another version, an unknown key, a record out of order or a record about an unknown mapping is refused.
// docs/reference/streams.md describes the format for people who read it with other tools.
package stream

import (
	"time"

	"imagemirror/internal/manifest"
)

// Version is the version of the format, and the only one that Read accepts.
const Version = 2

// What a stream carries.
const (
	Plan    = "plan"    // split's: mappings, results of what is settled, and for the rest copies and manifests
	Results = "results" // copy's: mappings and results
)

// The statuses of a Result.
const (
	Copied  = "copied"  // the destination now has the digest, and had not before
	Current = "current" // the destination had the digest already: nothing was written
	Failed  = "failed"  // the destination is as it was
)

// record is one line: exactly one field is set.
type record struct {
	Header   *Header       `json:"header,omitempty"`
	Set      *Set          `json:"set,omitempty"`
	Mapping  *Mapping      `json:"mapping,omitempty"`
	Manifest *manifest.Raw `json:"manifest,omitempty"`
	Copy     *Copy         `json:"copy,omitempty"`
	Result   *Result       `json:"result,omitempty"`
	End      *End          `json:"end,omitempty"`
}

// Header is the first record.
type Header struct {
	Version  int       `json:"version"`
	Stream   string    `json:"stream"`          // Plan or Results
	Run      string    `json:"run"`             // the same in every stream that came from one split
	Shard    string    `json:"shard,omitempty"` // name of the shard, where the plan was cut into shards
	Mappings int       `json:"mappings"`        // how many mapping records follow
	Started  time.Time `json:"started"`         // when split began
	Cap      Cap       `json:"cap,omitzero"`    // of a plan: what its copy has to keep to

	// What is odd about the files that were read, as "file:line: message". Of a plan that is cut, its settled part has them.
	Warnings []string `json:"warnings,omitempty"`
}

// A Cap bounds what is asked of one registry, by all shards of a run or by one of them. A field that
// is 0 sets no bound.
type Cap struct {
	InFlight int     `json:"inFlight,omitempty"` // requests at once
	Rate     float64 `json:"rate,omitempty"`     // requests a second
}

// Set is an image set that mappings belong to. Sets come before the mappings.
type Set struct {
	Name   string   `json:"name"`
	Owners []string `json:"owners,omitempty"` // the approvers of its OWNERS file
	Notify []string `json:"notify,omitempty"` // whom to tell when an image of it fails, besides
}

// Mapping is one source-destination pair: a line with three destinations is three mappings, and a source with
// wildcards one for each tag that matched. Mappings come before everything that refers to them.
type Mapping struct {
	ID          int    `json:"id"` // unique in a run
	Source      string `json:"source"`
	Destination string `json:"destination"` // a name alone where the image is pushed by its digest
	Set         string `json:"set,omitempty"`
	File        string `json:"file"` // path of the mapping file as it was given
	Line        int    `json:"line"` // from 1
}

// Copy says that a mapping's image has to move. Every manifest that its digest leads to is in the stream.
type Copy struct {
	ID        int      `json:"id"`                  // the Mapping's
	Digest    string   `json:"digest"`              // what the source resolved to
	Old       string   `json:"old,omitempty"`       // what the destination's tag is at now, where it exists
	Bytes     int64    `json:"bytes"`               // blobs that no copy before this one brings to the destination registry
	Immutable bool     `json:"immutable,omitempty"` // the destination's tag is not to move if it is there by then
	MountFrom []string `json:"mountFrom,omitempty"` // repositories on the destination registry that have this digest
}

// Result says what became of a mapping. Every mapping ends in one.
type Result struct {
	ID      int     `json:"id"` // the Mapping's
	Status  string  `json:"status"`
	Digest  string  `json:"digest,omitempty"` // of the image, where the source was resolved
	Old     string  `json:"old,omitempty"`    // what the destination's tag was at before, where it existed
	Bytes   int64   `json:"bytes,omitempty"`  // blob bytes sent to the destination for this mapping
	Seconds float64 `json:"seconds,omitempty"`
	Error   *Error  `json:"error,omitempty"` // set where Status is Failed
}

// Error is why a mapping failed, for people. It is text from outside: escape it where it is shown.
type Error struct {
	Side    string `json:"side,omitempty"`   // "source" or "destination", where one of them is at fault
	Status  int    `json:"status,omitempty"` // the HTTP status that decided it
	Message string `json:"message"`          // one line
	Advice  string `json:"advice,omitempty"` // what to do, one line
}

// End is the last record.
type End struct {
	Records     int       `json:"records"` // how many lines stand between header and end
	Ended       time.Time `json:"ended"`
	Interrupted bool      `json:"interrupted,omitempty"` // copy was told to stop, and more could come of another attempt
}
