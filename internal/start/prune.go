package start

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"imagemirror/internal/settings"
)

// ownRuns selects the TaskRuns of start's own Task, by a label that Tekton sets.
const ownRuns = "tekton.dev/task=mirror-start"

// active returns why no run of a set is started, or "".
func (s *Starter) active(ctx context.Context, set *imageSet) (string, error) {
	// Without a resource version, the list is consistent: it has everything created before.
	runs, err := s.runs.List(ctx, metav1.ListOptions{LabelSelector: SetLabel + "=" + set.name})
	if err != nil {
		return "", err
	}
	for _, run := range runs.Items {
		if !run.IsDone() {
			return fmt.Sprintf("the run %s is active", run.Name), nil
		}
	}
	return s.early(set, runs.Items), nil
}

// An endedRun is a PipelineRun or a TaskRun that has ended.
type endedRun struct {
	name   string
	failed bool
	at     time.Time
}

// appendEnded appends run if it has ended.
func appendEnded(all []endedRun, run interface {
	GetName() string
	IsDone() bool
	IsFailure() bool
}, at *metav1.Time) []endedRun {
	if run.IsDone() && at != nil {
		all = append(all, endedRun{run.GetName(), run.IsFailure(), at.Time})
	}
	return all
}

// prune removes the runs of a set that its settings do not keep, with all that they own. The
// runs of start itself belong to no set, and the default settings keep them.
func (s *Starter) prune(ctx context.Context, set *imageSet) (int, error) {
	runs, err := s.runs.List(ctx, metav1.ListOptions{LabelSelector: SetLabel + "=" + set.name})
	if err != nil {
		return 0, err
	}
	var ended []endedRun
	for _, run := range runs.Items {
		ended = appendEnded(ended, &run, run.Status.CompletionTime)
	}
	removed, err := s.remove(ctx, expired(ended, set.settings.History, s.now()), s.runs.Delete)
	if err != nil {
		return removed, err
	}
	return removed, s.pruneOwn(ctx)
}

func (s *Starter) pruneOwn(ctx context.Context) error {
	runs, err := s.taskRuns.List(ctx, metav1.ListOptions{LabelSelector: ownRuns})
	if err != nil {
		return err
	}
	var ended []endedRun
	for _, run := range runs.Items {
		ended = appendEnded(ended, &run, run.Status.CompletionTime)
	}
	_, err = s.remove(ctx, expired(ended, settings.Settings{}.WithDefaults().History, s.now()), s.taskRuns.Delete)
	return err
}

// remove deletes objects by name. Another start may have deleted them already.
func (s *Starter) remove(ctx context.Context, names []string, del func(context.Context, string, metav1.DeleteOptions) error) (removed int, err error) {
	background := metav1.DeletePropagationBackground
	for _, name := range names {
		switch failed := del(ctx, name, metav1.DeleteOptions{PropagationPolicy: &background}); {
		case failed == nil:
			removed++
		case !apierrors.IsNotFound(failed):
			err = errors.Join(err, failed)
		}
	}
	return removed, err
}

// expired returns the names of the runs that are not kept: those older than keep.Age, and those
// beyond the newest keep.Runs, unless they are among the newest keep.Failed that failed.
func expired(ended []endedRun, keep settings.History, now time.Time) []string {
	slices.SortFunc(ended, func(a, b endedRun) int { return b.at.Compare(a.at) })
	var names []string
	failed := 0
	for i, run := range ended {
		lastFailed := run.failed && failed < keep.Failed
		if run.failed {
			failed++
		}
		if now.Sub(run.at) > keep.Age || i >= keep.Runs && !lastFailed {
			names = append(names, run.name)
		}
	}
	return names
}
