package start

import (
	"context"
	"fmt"
	"slices"
	"time"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"imagemirror/internal/policy"
	"imagemirror/internal/settings"
	"imagemirror/internal/text"
)

// policy reads the operator's policy for all sets of the namespace.
func (s *Starter) policy(ctx context.Context) (*policy.Policy, error) {
	m, err := s.configMaps.Get(ctx, policy.ConfigMap, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return &policy.Policy{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("getting the ConfigMap %s: %w", policy.ConfigMap, err)
	}
	return policyOf(*m)
}

// policyOf reads a policy from its ConfigMap. Without data it bounds nothing. With a mistake in it
// no set is fit to run: the rest could allow more than the operator wants.
func policyOf(m corev1.ConfigMap) (*policy.Policy, error) {
	keys := fileNames(m)
	switch {
	case len(keys) == 0:
		return &policy.Policy{}, nil
	case !slices.Contains(keys, policy.File):
		return nil, &Unfit{fmt.Errorf("the ConfigMap %s has %.100q and no %s: rename the key", m.Name, keys[0], policy.File)}
	}
	p, found := policy.Parse("image-sets/"+policy.File, []byte(fileContent(m, policy.File)))
	if err := found.Err(); err != nil {
		return nil, &Unfit{err}
	}
	return p, nil
}

// early returns why it is too early for another run of a set by the policy, or "". Runs that
// failed count, too.
func (s *Starter) early(set *imageSet, runs []v1.PipelineRun) string {
	interval := set.bounds.Interval
	// The pods of a CronJob start late, and not equally late.
	least := interval.Value - min(interval.Value/10, 5*time.Minute)
	for _, run := range runs {
		if age := s.now().Sub(run.CreationTimestamp.Time); age < least {
			return fmt.Sprintf("the run %s was created %s ago, and %s:%d allows one every %s",
				run.Name, text.Duration(age.Truncate(time.Second)), set.bounds.File, interval.Line, text.Duration(interval.Value))
		}
	}
	return ""
}

// mount returns the policy and the files that it names, as files among those of the set, which
// split finds there. A file of the set with such a name would be hidden by it.
func mount(b policy.Bounds) []corev1.VolumeProjection {
	if b.File == "" {
		return nil
	}
	yes := true
	items := []corev1.KeyToPath{{Key: policy.File, Path: policy.File}}
	for _, name := range settings.Files(b.Verify) {
		items = append(items, corev1.KeyToPath{Key: name, Path: name})
	}
	return []corev1.VolumeProjection{{ConfigMap: &corev1.ConfigMapProjection{
		LocalObjectReference: corev1.LocalObjectReference{Name: policy.ConfigMap},
		Items:                items,
		Optional:             &yes,
	}}}
}
