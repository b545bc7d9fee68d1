// Package start starts runs of image sets on a cluster: one run of each set at a time, whoever
// asks and however often. A set's CronJob and an EventListener run it.
//
// All it knows of a set is in the set's ConfigMaps, whose names follow from the set's. It reads no
// secret.
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

// SetLabel is the label with the set's name on every object of a set: its ConfigMaps, its runs.
const SetLabel = "imagemirror/set"

// TriggerLabel is the label of a run with what started it: one of report.Triggers.
const TriggerLabel = "imagemirror/trigger"

// Env is the part of the environment that is about the runs to start.
type Env struct {
	ClusterRegistry string `split_words:"true" desc:"value of the parameter cluster-registry of the runs"`
	StatusURL       string `envconfig:"STATUS_URL" desc:"value of the parameter status-url of the runs: address of the status pages"`
	Trigger         string `default:"manual" desc:"what starts the runs, for their reports: cron, event or manual"`
}

// A Starter starts runs in one namespace.
type Starter struct {
	clients
	namespace string
	self      string // this process, as holder of a Lease
	now       func() time.Time
	Env
}

// New returns a Starter. self is its name as the holder of a Lease.
func New(config *rest.Config, namespace, self string, place Env) (*Starter, error) {
	config = rest.CopyConfig(config)
	config.UserAgent, config.Timeout = "imagemirror-start", requestTimeout
	clients, err := newClients(config, namespace)
	if err != nil {
		return nil, err
	}
	return &Starter{clients: clients, namespace: namespace, self: self, now: time.Now, Env: place}, nil
}

// An Action is what Start did for a set.
type Action struct {
	Run     string // the run that was started, or ""
	Skipped string // why no run was started, or ""
	Pruned  int    // runs of the set that were removed
	// Mistakes has a line for each mistake in the set's settings. The run is started all the
	// same, with the other settings: it refuses the set, and its report tells the owners.
	Mistakes error
}

// Start starts a run of a set, unless one is active or the operator's policy finds it too early,
// and removes old ones. An error that is an *Unfit is the fault of the set or of the policy.
func (s *Starter) Start(ctx context.Context, name string) (Action, error) {
	var did Action
	if err := settings.CheckName(name); err != nil {
		return did, &Unfit{fmt.Errorf("the image set %.100q: %w", name, err)}
	}
	set, err := s.load(ctx, name)
	if err != nil {
		return did, err
	}
	did.Mistakes = set.mistakes
	if err := s.startUnderLease(ctx, set, &did); err != nil {
		return did, fmt.Errorf("starting a run of the image set %s: %w", name, err)
	}
	if did.Pruned, err = s.prune(ctx, set); err != nil {
		return did, fmt.Errorf("removing old runs of the image set %s: %w", name, err)
	}
	return did, nil
}

// startUnderLease starts a run while no other start of the set can.
func (s *Starter) startUnderLease(ctx context.Context, set *imageSet, did *Action) (err error) {
	held, err := s.await(ctx, set)
	if err != nil {
		return err
	}
	unclear := false
	defer func() {
		// If it is not known whether the run was created, the Lease keeps others away for as
		// long as the request can still be on its way.
		if !unclear {
			s.release(context.WithoutCancel(ctx), held)
		}
	}()
	ctx, cancel := context.WithTimeoutCause(ctx, maxHold, fmt.Errorf("the API server took more than %s", maxHold))
	defer cancel()
	active, err := s.active(ctx, set)
	if err != nil || active != "" {
		did.Skipped = active
		return err
	}
	run, err := s.runs.Create(ctx, s.newRun(set), createOptions)
	if err != nil {
		unclear = !errors.As(err, new(apierrors.APIStatus))
		return err
	}
	did.Run = run.Name
	return nil
}

// An Unfit is an error of an image set, of its name, or of the policy for all sets.
type Unfit struct{ error }

func (u *Unfit) Unwrap() error { return u.error }
