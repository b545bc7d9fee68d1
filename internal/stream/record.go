// Package stream reads and writes the JSON Lines that pass between split, copy and report: a
// plan, or results.
//
// A stream is a header, records, and an end record that counts them, so that a cut is
// detected even at the end of a line. Each line is an object with one key, which is the kind
// of the record. Reading is strict: it refuses other versions, unknown keys, records out of
// order, and records about unknown mappings. docs/reference/streams.md describes the format.
package stream

import (
	"time"

	"imagemirror/internal/fault"
	"imagemirror/internal/manifest"
)

// Version is the version of the format, and the only one that Read accepts.
const Version = 3

// Kinds of streams.
const (
	Plan    = "plan"    // of split: mappings, results, copies and manifests
	Results = "results" // of copy: mappings and results
)

// Statuses of a Result.
const (
	Copied   = "copied"   // the destination has the digest now, and had not before
	Current  = "current"  // the destination had the digest already, and nothing was written
	Held     = "held"     // the destination is not moved, since somebody holds it; this is no failure
	Deferred = "deferred" // a later run copies the image, as the set's settings demand; this is no failure
	Failed   = "failed"   // the destination is unchanged, but for an Error of a kind that is Published
)

// A record is one line. Exactly one field is set.
type record struct {
	Header    *Header       `json:"header,omitempty"`
	Set       *Set          `json:"set,omitempty"`
	Selection *Selection    `json:"selection,omitempty"`
	Mapping   *Mapping      `json:"mapping,omitempty"`
	Manifest  *manifest.Raw `json:"manifest,omitempty"`
	Copy      *Copy         `json:"copy,omitempty"`
	Result    *Result       `json:"result,omitempty"`
	End       *End          `json:"end,omitempty"`
}

// A Header is the first record.
type Header struct {
	Version  int       `json:"version"`
	Stream   string    `json:"stream"`          // Plan or Results
	Run      string    `json:"run"`             // equal in all streams of one split
	Shard    string    `json:"shard,omitempty"` // name of the shard, if the plan was cut
	Mappings int       `json:"mappings"`        // number of mapping records
	Started  time.Time `json:"started"`         // when split started
	Cap      Cap       `json:"cap,omitzero"`    // of a plan: the cap that its copy keeps to

	// Warnings about the files, as "file:line: message". If a plan is cut, its settled part
	// has them.
	Warnings []string `json:"warnings,omitempty"`
}

// A Cap bounds what is asked of one registry, by all shards of a run or by one of them. A
// field that is 0 sets no bound.
type Cap struct {
	InFlight int     `json:"inFlight,omitempty"` // requests in flight
	Rate     float64 `json:"rate,omitempty"`     // requests per second

	Bandwidth int64 `json:"bandwidth,omitempty"` // bytes of blobs per second, from all registries together
}

// A Set is an image set that has mappings. Sets come before the mappings.
type Set struct {
	Name   string   `json:"name"`
	Owners []string `json:"owners,omitempty"` // the approvers of its OWNERS file
	Notify []string `json:"notify,omitempty"` // whom else to mention when an image fails

	// Templates of the addresses of a line of its mapping files, and of a run: see internal/link.
	FileLink string `json:"fileLink,omitempty"`
	RunLink  string `json:"runLink,omitempty"`

	// When runs start, where notifications are sent, how often they remind, and when a
	// destination is stale.
	Schedule      string   `json:"schedule,omitempty"`
	Targets       []Target `json:"targets,omitempty"`
	RemindSeconds int64    `json:"remindSeconds,omitempty"`
	StaleSeconds  int64    `json:"staleSeconds,omitempty"`
}

// A Target is where notifications are sent: a target of the set's settings.
type Target struct {
	Kind string `json:"kind"` // slack, webhook or email
	Name string `json:"name"`
}

// A Mapping is one pair of a source and a destination. A line with three destinations is
// three mappings, and a wildcard is one for each tag that it matches. Mappings come before
// records that refer to them.
type Mapping struct {
	ID          int    `json:"id"` // unique in a run
	Source      string `json:"source"`
	Destination string `json:"destination"` // without a tag if the image is pushed by its digest
	Set         string `json:"set,omitempty"`
	File        string `json:"file"` // path of the mapping file, as given
	Line        int    `json:"line"` // from 1
}

// A Copy is an image that has to be copied for a mapping. The stream has its manifest and all
// manifests below it, unless Only leaves some out, or IsCurrent: then only attachments are copied.
type Copy struct {
	ID        int      `json:"id"`                  // of the Mapping
	Digest    string   `json:"digest"`              // of the source
	Old       string   `json:"old,omitempty"`       // digest of the destination's tag, if it exists
	Bytes     int64    `json:"bytes"`               // of blobs that no earlier copy brings to the registry
	Immutable bool     `json:"immutable,omitempty"` // the destination's tag must not move if it exists
	MountFrom []string `json:"mountFrom,omitempty"` // repositories on the registry that have the image
	There     bool     `json:"there,omitempty"`     // the repository has the whole image: only its tag moves
	Public    bool     `json:"public,omitempty"`    // strangers have to be able to pull it

	// What travels with the image. The stream has their manifests too.
	Attached []Attachment `json:"attached,omitempty"`

	Tags []ExtraTag `json:"tags,omitempty"` // that the image gets besides, in the same repository
	Keep *ExtraTag  `json:"keep,omitempty"` // that what the destination's tag points at gets before it moves

	// Set if the settings ask for some platforms only, and the image has others.
	Platforms []string `json:"platforms,omitempty"` // that they ask for
	Rewritten string   `json:"rewritten,omitempty"` // digest of the source's index, if Digest is not
	Only      []string `json:"only,omitempty"`      // the manifests below an index that are copied; none: all
	Completes bool     `json:"completes,omitempty"` // Old is the digest, and others of them were copied before
}

// IsCurrent reports whether the destination has the image already, so that the copy brings only
// what is new of the attachments.
func (c Copy) IsCurrent() bool { return c.Old == c.Digest && !c.Completes }

// Tree returns the manifests that the copy brings, each once and parents before children. It leaves
// out what the archive does not have.
func (c Copy) Tree(a *manifest.Archive) []manifest.Ref {
	if len(c.Only) == 0 || c.IsCurrent() {
		return a.Tree(c.roots()...)
	}
	var tree []manifest.Ref
	seen := map[manifest.Ref]bool{}
	add := func(refs ...manifest.Ref) {
		for _, ref := range refs {
			if !seen[ref] {
				seen[ref] = true
				tree = append(tree, ref)
			}
		}
	}
	for _, digest := range append([]string{c.Digest}, c.Only...) {
		if ref, _, ok := a.Find(digest); ok {
			add(ref)
		}
	}
	add(a.Tree(c.roots()[1:]...)...)
	return tree
}

// roots returns the digests of the image, unless it stays, and of what travels with it.
func (c Copy) roots() (roots []string) {
	if !c.IsCurrent() {
		roots = append(roots, c.Digest)
	}
	for _, a := range c.Attached {
		if a.Error == nil {
			roots = append(roots, a.Digest)
		}
	}
	return roots
}

// An Attachment is a manifest that travels with an image: a referrer, such as a signature, or a
// manifest under a tag that cosign derives from the image's digest.
type Attachment struct {
	Kind     string `json:"kind"` // artifact type, or signature, attestation or sbom for cosign's tags
	Digest   string `json:"digest,omitempty"`
	Tag      string `json:"tag,omitempty"`     // that it gets at the destination; without, it is pushed by its digest
	Subject  string `json:"subject,omitempty"` // digest of the manifest that it refers to
	Required bool   `json:"required,omitempty"`
	Error    *Error `json:"error,omitempty"` // why it cannot be copied, if that is known already
}

// A Travelled counts the attachments of one kind that an image came with.
type Travelled struct {
	Kind   string `json:"kind"`
	Copied int    `json:"copied"`
	Failed int    `json:"failed,omitempty"`
	Error  *Error `json:"error,omitempty"` // of the first that failed

	Digests []string `json:"digests,omitempty"` // of the first that were copied, MaxNamed for an image
}

// MaxNamed bounds the attachments of an image whose digests are told. All are counted.
const MaxNamed = 10

// A Result is the outcome of a mapping. Every mapping gets exactly one.
type Result struct {
	ID      int       `json:"id"` // of the Mapping
	Status  string    `json:"status"`
	Digest  string    `json:"digest,omitempty"` // of the source, if it was resolved
	Old     string    `json:"old,omitempty"`    // digest of the destination's tag before, if it existed
	Bytes   int64     `json:"bytes,omitempty"`  // blob bytes sent to the destination for this mapping
	Seconds float64   `json:"seconds,omitempty"`
	Time    time.Time `json:"time,omitzero"`   // when it was known
	Error   *Error    `json:"error,omitempty"` // set if Status is Failed
	Note    string    `json:"note,omitempty"`  // why, in one line; set if Status is Held or Deferred

	Allowed  bool `json:"allowed,omitempty"`  // of a deferred image: the set's settings allow that
	Recorded bool `json:"recorded,omitempty"` // no registry was asked: the record of earlier runs tells

	// What came with an image that was copied, or later for one that is current, by kind.
	Travelled []Travelled `json:"travelled,omitempty"`

	Tags []ExtraTag `json:"tags,omitempty"` // additional tags of an image that was copied
	Kept string     `json:"kept,omitempty"` // tag under which Old is kept

	// What strangers get; nil if nobody asked.
	Public *Public `json:"public,omitempty"`

	// As in a Copy.
	Platforms []string `json:"platforms,omitempty"`
	Rewritten string   `json:"rewritten,omitempty"`
}

// A Public says whether strangers can pull an image. If they are refused, the mapping fails with
// the kind fault.Private.
type Public struct {
	Answer string `json:"answer"`          // Yes, No or Unknown
	Error  *Error `json:"error,omitempty"` // why it is not known
}

// What strangers get.
const (
	Yes     = "yes"     // the image
	No      = "no"      // a refusal
	Unknown = "unknown" // no answer that decides it, so that the next run asks again
)

// An Error tells people why a mapping failed. Parts of it come from outside: escape it for
// the output.
type Error struct {
	Kind    fault.Kind `json:"kind"`
	Side    string     `json:"side,omitempty"`   // "source" or "destination", if one is at fault
	Host    string     `json:"host,omitempty"`   // at fault: a registry, or what it leads to
	Status  int        `json:"status,omitempty"` // the HTTP status that caused it, if any
	Message string     `json:"message"`          // one line
	Advice  string     `json:"advice,omitempty"` // what to do, one line
}

// An End is the last record.
type End struct {
	Records     int       `json:"records"` // number of records between header and end
	Ended       time.Time `json:"ended"`
	Interrupted bool      `json:"interrupted,omitempty"` // copy was interrupted: another attempt may copy more

	// What the command asked of registries. If split cut a plan, its settled part has that.
	Registries []Traffic `json:"registries,omitempty"`
	// In results: the same of the split that made the plan, if the plan that copy read has it.
	PlanRegistries []Traffic `json:"planRegistries,omitempty"`
}

// Traffic is what was asked of one registry, and of the hosts that it leads to.
type Traffic struct {
	Host      string `json:"host"`
	Requests  int64  `json:"requests"`            // sent, with retries and redirects
	Retries   int64  `json:"retries,omitempty"`   // attempts after the first of a request
	Throttled int64  `json:"throttled,omitempty"` // answers that ask for fewer requests
	Bytes     int64  `json:"bytes,omitempty"`     // of bodies, both read and sent
}
