// Package mirror is the copy engine: it brings images to their destinations with as few requests and bytes as the
// protocol allows. All images of a run are one graph of blobs and manifests, so that none waits for another:
//
//   - A blob that is wanted on a registry is uploaded there once, and mounted into every other repository that
//     wants it. A blob wanted on several registries is read once, and goes to all of them.
//   - A manifest is pushed when all that it leads to is in its repository, and the tag with the last push, so that a
//     tag is never at something incomplete.
//   - Large blobs start first.
//
// One image's failure stops no other. Every job ends in one outcome.
package mirror

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"imagemirror/internal/reference"
	"imagemirror/internal/registry"
	"imagemirror/internal/stream"
)

// Job is one image to bring to one destination.
type Job struct {
	ID          int
	Source      reference.Reference // where its manifests and blobs are
	Destination reference.Reference // without a tag the image is pushed by its digest
	Digest      string              // what the destination gets
	Old         string              // what its tag was at before
	Exists      bool                // whether the destination's repository is known to exist
	Immutable   bool                // the tag is not to move if it is there
	MountFrom   []string            // paths on the destination's registry that have this digest
}

// Outcome is what became of a job.
type Outcome struct {
	Job
	Bytes   int64         // sent to the destination's registry for this job, before any other job needed them
	Mounted int64         // bytes that the registry had, and put in place without sending
	Took    time.Duration // from the first request for the job to the last
	Err     error         // nil where the destination has the digest now
}

// ErrInterrupted is the error of the jobs that were not finished when the run was told to stop.
var ErrInterrupted = stream.WithAdvice("interrupted before the image was there", "run again: what has arrived is not sent again")

// errOver ends the requests that are under way when every job has its outcome: nobody needs them.
var errOver = errors.New("every image has its outcome")

// Transfer watches one blob go over the wire.
type Transfer interface {
	Add(n int64) // bytes that were read; negative where the blob starts again
	Done(err error)
}

// Observer is told what happens, for people to see. Its methods are called by many goroutines at once, and must not
// wait.
type Observer interface {
	// Blob begins a transfer. A blob that goes to several registries at once counts once for each of them.
	Blob(digest, repository string, size int64) Transfer
	// Mounted tells of bytes that some registry had already, so that none of them has to be sent to it.
	Mounted(size int64)
	Image(Outcome)
}

// Options are what a run needs besides its jobs.
type Options struct {
	Client   *registry.Client
	Observer Observer
	Foreign  bool          // copies layers that are not for redistribution, too
	Grace    time.Duration // what requests under way get to finish when the run is told to stop
}

// Run carries out the jobs and returns when each has had its outcome. manifests holds, by digest, all that the jobs'
// digests lead to. When ctx ends no new request starts, and those under way get o.Grace to finish.
func Run(ctx context.Context, o Options, jobs []Job, manifests map[string]registry.Manifest) {
	work, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	e := &engine{Options: o, work: work, cancel: cancel, repos: map[string]*repo{}, blobs: map[content]*blob{}, lanes: map[string]*lane{}}
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(o.Grace, func() { cancel(ErrInterrupted) })
		e.stop()
	})
	defer stop()
	e.build(ctx, jobs, manifests)
	e.start()
	var workers sync.WaitGroup
	for _, l := range e.lanes {
		// Twice as many as requests in flight: while one waits for the source, another uses its place.
		for range 2 * o.Client.Concurrency() {
			workers.Go(func() { e.serve(l) })
		}
	}
	workers.Wait()
	e.finish()
}

// engine is one run. mu guards the graph; no request is made under it.
type engine struct {
	Options
	work   context.Context // for requests; outlives the run's own by the grace period
	cancel context.CancelCauseFunc

	mu      sync.Mutex
	stopped bool
	left    int // jobs without an outcome
	busy    int // workers that do a task
	jobs    []*job
	repos   map[string]*repo // destinations, by name
	blobs   map[content]*blob
	order   []*blob          // in the order of the jobs that need them
	lanes   map[string]*lane // by destination registry
}

// job is a Job on its way.
type job struct {
	Outcome
	node  *node // nil where it could not be made
	began time.Time
	over  bool
}

func (e *engine) begin(j *job) {
	if j.began.IsZero() {
		j.began = time.Now()
	}
}

// end gives a job its outcome, once.
func (e *engine) end(j *job, err error) {
	if j.over {
		return
	}
	var sources *registry.SourcesError
	if errors.As(err, &sources) {
		err = sources.Of(j.Source.Name())
	}
	j.over, j.Err = true, err
	if j.node != nil {
		j.node.drop()
	}
	if !j.began.IsZero() {
		j.Took = time.Since(j.began)
	}
	e.left--
	e.Observer.Image(j.Outcome)
	if e.left == 0 {
		e.wakeAll()
		e.cancel(errOver)
	}
}

// stop keeps new work from starting.
func (e *engine) stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stopped = true
	e.wakeAll()
}

// finish ends the jobs that were not: all of them where the run was stopped, and none otherwise.
func (e *engine) finish() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, j := range e.jobs {
		err := ErrInterrupted
		if !e.stopped {
			err = fmt.Errorf("the image was never started: this is a mistake of the program")
		}
		e.end(j, err)
	}
}
