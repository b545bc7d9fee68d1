package mirror

import (
	"context"
	"sync"
	"time"

	"imagemirror/internal/fault"
	"imagemirror/internal/manifest"
	"imagemirror/internal/public"
	"imagemirror/internal/reference"
	"imagemirror/internal/registry"
	"imagemirror/internal/waits"
)

// A Job is one image to bring to one destination.
type Job struct {
	ID          int
	Set         string              // jobs of different sets share neither blobs nor manifests
	Source      reference.Reference // where its manifests and blobs are
	Destination reference.Reference // without a tag, the image is pushed by its digest
	Digest      string              // what the destination gets
	Old         string              // what its tag pointed at before
	Exists      bool                // the destination's repository is known to exist
	Immutable   bool                // the tag must not move if it exists
	MountFrom   []string            // paths on the destination's registry that have this digest
	Attached    []Attachment        // manifests that travel with it
	Tags        []ExtraTag          // that the image gets besides
	Keep        *ExtraTag           // that what the tag points at gets before it moves; or nil
	There       bool                // the destination's repository has all that the digest leads to
	Public      bool                // strangers have to be able to pull it
	Only        []string            // the manifests below an index that are copied; none: all
	Completes   bool                // the destination has the index, and not all that is copied below it

	// For the result: see stream.Result.
	Platforms []string
	Rewritten string
}

// IsCurrent reports whether the destination has the image already: the job brings its attachments
// only.
func (j Job) IsCurrent() bool { return j.Old == j.Digest && !j.Completes }

// An Outcome is the result of a job.
type Outcome struct {
	Job
	Bytes   int64         // sent to the destination's registry for the first job that needed them
	Mounted int64         // that the registry had already, so that none of them was sent
	Took    time.Duration // from the first request for the job to the last
	Err     error         // nil if the destination has the digest now; see Refusal

	// Asked is set if strangers were asked for what arrived, and Refusal is what they got instead of
	// it, if anything. Err is Refusal if they are refused: the image is there all the same.
	Asked   bool
	Refusal error

	// The attachments with what became of them: Err is nil for those that the destination has. Set
	// if the image arrived.
	Travelled []Attachment

	// The additional tags with what became of them: Err is nil for those that point at the image.
	Tagged []ExtraTag
	Kept   string // tag under which Old is kept, if it is
}

// ErrInterrupted is the error of jobs that were not finished when the run was told to stop.
var ErrInterrupted = fault.New(
	fault.Fault{Kind: fault.Unfinished, Advice: "run again: what has arrived is not sent again"}, "interrupted before the image was there")

// A Transfer watches one blob go over the wire, and is told what the blob waits for.
type Transfer interface {
	waits.Watcher
	Add(n int64) // bytes that were read; negative if the blob starts again
	Done(err error)
}

// An Observer is told what happens, so that it can show it, and what requests wait for that belong
// to no transfer. Many goroutines call its methods at once, and the methods must not block.
type Observer interface {
	waits.Watcher
	// Blob begins a transfer. A blob that goes to several registries at once has their number times
	// its size.
	Blob(digest, repository string, size int64) Transfer
	// Mounted reports bytes that a registry had already, so that none of them has to be sent.
	Mounted(size int64)
	Image(Outcome)
}

// Options are what a run needs besides its jobs.
type Options struct {
	Client   *registry.Client
	Observer Observer
	Public   *public.Checker // asks whether strangers can pull; nil if no job has to be public
	Start    *HeadStart      // uploads that were opened already; may be nil
	Limit    int64           // bytes of blobs that are read per second, from all sources together; 0 is no limit
	Foreign  bool            // also copy layers that are not for redistribution
	Grace    time.Duration   // for requests under way when the run is told to stop
	Until    context.Context // jobs without an outcome fail with ErrLate when it ends; nil is never
}

// Manifests returns the manifest with a digest, and whether there is one. It is safe for concurrent
// use.
type Manifests func(digest string) (manifest.Raw, bool)

// Run carries out the jobs and returns once each has had its outcome. manifests has everything that
// the jobs' digests lead to. When ctx ends, no new request starts, and those under
// way get o.Grace to finish.
func Run(ctx context.Context, o Options, jobs []Job, manifests Manifests) {
	work, cancel := context.WithCancelCause(waits.Watch(context.WithoutCancel(ctx), o.Observer))
	defer cancel(nil)
	e := newEngine(work, cancel, o, manifests)
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(o.Grace, func() { cancel(ErrInterrupted) })
		e.stop()
	})
	defer stop()
	if ctx.Err() != nil {
		e.stop()
	}
	e.build(ctx, jobs)
	if o.Until != nil {
		defer context.AfterFunc(o.Until, e.expire)()
	}
	e.start()
	go e.watchTurns(work)
	var workers sync.WaitGroup
	for _, q := range e.queues {
		for range q.workers() {
			workers.Go(func() { e.serve(q) })
		}
	}
	workers.Wait()
	e.checks.Wait()
	e.finish()
}
