package mirror

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"imagemirror/internal/registry"
)

// errAllDone ends the requests that are under way once every job has its outcome: nobody needs
// them.
var errAllDone = errors.New("every image has its outcome")

// errNeverStarted is the error of a job that the engine forgot.
var errNeverStarted = errors.New("the image was never started: this is a bug, please report it")

// An engine is one run.
type engine struct {
	Options
	manifests Manifests
	work      context.Context // for requests; outlives the run's own by the grace period
	cancel    context.CancelCauseFunc

	mu      sync.Mutex
	stopped bool
	left    int // jobs without an outcome
	busy    int // workers that carry out a task
	jobs    []*jobState
	repos   map[string]*repo                     // destination repositories, by name
	lists   map[string]map[string]*referrersList // by HOST/PATH of a repository, and subject
	blobs   map[blobID]*blob
	order   []*blob                 // in the order of the jobs that need them
	queues  map[string]*uploadQueue // by destination registry
	turns   map[*turn]bool          // under way
	checks  sync.WaitGroup          // under way, of whether strangers can pull
	slow    *slowLane

	bandwidth *rate.Limiter // of all transfers, or nil
}

func newEngine(work context.Context, cancel context.CancelCauseFunc, o Options, manifests Manifests) *engine {
	return &engine{
		Options: o, manifests: manifests, work: work, cancel: cancel,
		repos: map[string]*repo{}, lists: map[string]map[string]*referrersList{}, blobs: map[blobID]*blob{}, queues: map[string]*uploadQueue{},
		turns: map[*turn]bool{}, slow: newSlowLane(o.Client.Concurrency()),
		bandwidth: newBandwidth(o.Limit),
	}
}

// A jobState is a job on its way to its outcome.
type jobState struct {
	Outcome
	manifest *wantedManifest // nil if the builder refused the job
	attached []attached
	began    time.Time
	ended    bool

	published bool // the image has arrived, and strangers are asked for it
}

// beginLocked starts the job's clock, unless it runs already.
func (j *jobState) beginLocked() {
	if j.began.IsZero() {
		j.began = time.Now()
	}
}

// endLocked gives a job its outcome, once. The last one ends the run.
func (e *engine) endLocked(j *jobState, err error) {
	if j.ended {
		return
	}
	var sources *registry.SourcesError
	if errors.As(err, &sources) {
		err = sources.Of(j.Source.Name())
	}
	j.ended, j.Err = true, err
	if err == nil || j.published {
		j.Travelled = j.travelledLocked()
	}
	if j.manifest != nil {
		j.manifest.dropLocked()
	}
	if !j.began.IsZero() {
		j.Took = time.Since(j.began)
	}
	e.left--
	e.Observer.Image(j.Outcome)
	if e.left == 0 {
		e.wakeAllLocked()
		e.cancel(errAllDone)
	}
}

// reasonLocked returns err, or ErrInterrupted if err came of the run's end.
func (e *engine) reasonLocked(err error) error {
	if errors.Is(err, ErrInterrupted) || e.stopped && e.work.Err() != nil {
		return ErrInterrupted
	}
	return err
}

// stop keeps new work from starting.
func (e *engine) stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stopped = true
	e.wakeAllLocked()
}

func (e *engine) isStopped() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.stopped
}

// finish ends the jobs that have no outcome yet. There are some only if the run was stopped.
func (e *engine) finish() {
	e.mu.Lock()
	defer e.mu.Unlock()
	err := ErrInterrupted
	if !e.stopped {
		err = errNeverStarted
	}
	for _, j := range e.jobs {
		e.giveUpLocked(j, err)
	}
}
