// Package start begins runs of image sets on a cluster: one of each set at a time, whoever asks and however often. It is what a
// set's CronJob and an EventListener run.
//
// All it knows of a set stands in the set's ConfigMaps, which it finds by their label; it reads no secret.
package start

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"imagemirror/internal/settings"
)

// SetLabel is the label with the set's name on all that belongs to a set: its ConfigMaps, its runs.
const SetLabel = "imagemirror/set"

// A Starter starts runs in one namespace.
type Starter struct {
	clients
	namespace string
	self      string // how the Lease names this process
	now       func() time.Time
	registry  string // the cluster's own, whose host the runs are told
}

// New makes a Starter that others know by the name self. registry is the host of the cluster's own registry, or empty: see the
// Pipeline's parameter cluster-registry.
func New(config *rest.Config, namespace, self, registry string) (*Starter, error) {
	config = rest.CopyConfig(config)
	config.UserAgent, config.Timeout = "imagemirror-start", requestTimeout
	clients, err := newClients(config, namespace)
	if err != nil {
		return nil, err
	}
	return &Starter{clients: clients, namespace: namespace, self: self, now: time.Now, registry: registry}, nil
}

// Outcome is what was done for a set.
type Outcome struct {
	Run     string // the run that was started, or empty
	Skipped string // why none was
	Pruned  int    // runs of the set that were removed
	// Settings is what is wrong with the set's settings, a line each. The run is started with what is right of them: it
	// refuses the set, and its report tells the owners.
	Settings error
}

// Start starts a run of a set, unless one is active, and removes old ones. An error that is an *Unfit is the set's fault.
func (s *Starter) Start(ctx context.Context, name string) (Outcome, error) {
	var o Outcome
	if err := settings.CheckName(name); err != nil {
		return o, &Unfit{fmt.Errorf("the image set %.100q: %w", name, err)}
	}
	set, err := s.load(ctx, name)
	if err != nil {
		return o, err
	}
	o.Settings = set.mistakes
	if err := s.guarded(ctx, set, &o); err != nil {
		return o, fmt.Errorf("starting a run of the image set %s: %w", name, err)
	}
	if o.Pruned, err = s.prune(ctx, set); err != nil {
		return o, fmt.Errorf("removing old runs of the image set %s: %w", name, err)
	}
	return o, nil
}

// guarded starts a run while no other start of the set can.
func (s *Starter) guarded(ctx context.Context, set *set, o *Outcome) (err error) {
	held, err := s.await(ctx, set)
	if err != nil {
		return err
	}
	unclear := false
	defer func() {
		// Where nobody knows whether there is a run now, others are kept away for as long as a request can be on its way.
		if !unclear {
			s.release(context.WithoutCancel(ctx), held)
		}
	}()
	ctx, cancel := context.WithTimeoutCause(ctx, holdAtMost, fmt.Errorf("the API server took more than %s", holdAtMost))
	defer cancel()
	active, err := s.active(ctx, set.name)
	if err != nil || active != "" {
		o.Skipped = active
		return err
	}
	run, err := s.runs.Create(ctx, s.newRun(set), createOptions)
	if err != nil {
		unclear = !errors.As(err, new(apierrors.APIStatus))
		return err
	}
	o.Run = run.Name
	return nil
}

// Unfit is an error of an image set, or of its name.
type Unfit struct{ error }

func (u *Unfit) Unwrap() error { return u.error }
