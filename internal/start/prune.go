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

// ownRuns are the runs of this very program's Task, which Tekton labels so.
const ownRuns = "tekton.dev/task=mirror-start"

// active is why no run of a set is to be started, or empty.
func (s *Starter) active(ctx context.Context, set string) (string, error) {
	// Without a resource version, the list has all that was created before.
	runs, err := s.runs.List(ctx, metav1.ListOptions{LabelSelector: SetLabel + "=" + set})
	if err != nil {
		return "", err
	}
	for _, run := range runs.Items {
		if !run.IsDone() {
			return fmt.Sprintf("the run %s is active", run.Name), nil
		}
	}
	return "", nil
}

// finished is a run that has ended.
type finished struct {
	name   string
	failed bool
	at     time.Time
}

// appendEnded appends a PipelineRun or a TaskRun that has ended.
func appendEnded(all []finished, run interface {
	GetName() string
	IsDone() bool
	IsFailure() bool
}, at *metav1.Time) []finished {
	if run.IsDone() && at != nil {
		all = append(all, finished{run.GetName(), run.IsFailure(), at.Time})
	}
	return all
}

// prune removes runs of a set that its settings do not keep, with all that they own. Runs of start itself are none of a set's,
// and are kept as the defaults say.
func (s *Starter) prune(ctx context.Context, set *set) (int, error) {
	runs, err := s.runs.List(ctx, metav1.ListOptions{LabelSelector: SetLabel + "=" + set.name})
	if err != nil {
		return 0, err
	}
	var ended []finished
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
	var ended []finished
	for _, run := range runs.Items {
		ended = appendEnded(ended, &run, run.Status.CompletionTime)
	}
	_, err = s.remove(ctx, expired(ended, settings.Settings{}.WithDefaults().History, s.now()), s.taskRuns.Delete)
	return err
}

// remove deletes what is named; another start may have done so before.
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

// expired are the names of the finished runs that are not kept: all that are older than the age, and of the others those beyond
// the newest runs, unless they are among the newest that failed.
func expired(ended []finished, keep settings.History, now time.Time) []string {
	slices.SortFunc(ended, func(a, b finished) int { return b.at.Compare(a.at) })
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
