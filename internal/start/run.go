package start

import (
	"strconv"
	"time"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/pod"
	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"imagemirror/internal/settings"
)

// The Pipeline, and its retries of copy.
const (
	pipelineName = "mirror"
	copyRetries  = 3
)

// Times of a run's tasks. copy gets the rest.
const (
	splitTime  = 10 * time.Minute // at most
	reportTime = 10 * time.Minute // of settings.ForReport, the rest being for the start of its pod
)

var createOptions = metav1.CreateOptions{FieldManager: "imagemirror-start"}

// newRun returns the PipelineRun of a set, ready to be created.
func (s *Starter) newRun(set *imageSet) *v1.PipelineRun {
	yes := true
	return &v1.PipelineRun{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName:    objectName(set.name) + "-",
			Labels:          map[string]string{SetLabel: set.name},
			OwnerReferences: set.owners(),
		},
		Spec: v1.PipelineRunSpec{
			PipelineRef: &v1.PipelineRef{Name: pipelineName},
			Params: v1.Params{
				param("set", set.name),
				param("shards", strconv.Itoa(set.settings.Shards)),
				param("cap", strconv.Itoa(set.settings.Cap)),
				param("cap-rate", strconv.Itoa(set.settings.Rate)),
				param("retries", strconv.Itoa(set.settings.Retries)),
				param("deadline", deadline(set.settings.Timeout).String()),
				param("cluster-registry", s.registry),
			},
			Timeouts:     timeouts(set.settings.Timeout),
			TaskRunSpecs: shares(set.settings.Timeout),
			TaskRunTemplate: v1.PipelineTaskRunTemplate{
				ServiceAccountName: objectName(set.name),
				PodTemplate: &pod.PodTemplate{SecurityContext: &corev1.PodSecurityContext{
					RunAsNonRoot:   &yes,
					SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
				}},
			},
			Workspaces: workspaces(set),
		},
	}
}

func param(name, value string) v1.Param {
	return v1.Param{Name: name, Value: *v1.NewStructuredValues(value)}
}

// workspaces returns the workspaces of a run. Those that may be missing are optional, so that
// its pods start and split can report what is missing.
func workspaces(set *imageSet) []v1.WorkspaceBinding {
	yes := true
	files := &corev1.ProjectedVolumeSource{}
	for _, m := range set.configMaps {
		files.Sources = append(files.Sources, corev1.VolumeProjection{ConfigMap: &corev1.ConfigMapProjection{
			LocalObjectReference: corev1.LocalObjectReference{Name: m.Name},
		}})
	}
	files.Sources = append(files.Sources, mount(set.bounds)...)
	return []v1.WorkspaceBinding{
		{Name: "mappings", Projected: files},
		{Name: "credentials", Secret: &corev1.SecretVolumeSource{SecretName: "push-" + set.name, Optional: &yes}},
		{Name: "pull-credentials", Secret: &corev1.SecretVolumeSource{SecretName: "pull-" + set.name, Optional: &yes}},
		{Name: "registries", ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: "registries"}, Optional: &yes,
		}},
	}
}

// timeouts reserves a part of a run's time for report: once the time of the whole run is over,
// Tekton runs nothing of it any more.
func timeouts(whole time.Duration) *v1.TimeoutFields {
	return &v1.TimeoutFields{
		Pipeline: &metav1.Duration{Duration: whole},
		Tasks:    &metav1.Duration{Duration: whole - settings.ForReport},
		Finally:  &metav1.Duration{Duration: settings.ForReport},
	}
}

// splitShare returns the time of split.
func splitShare(whole time.Duration) time.Duration {
	return min(splitTime, (whole-settings.ForReport)/4)
}

// deadline returns the time that the registries get to answer split. The rest of its time is for
// the start of its pod and for writing the plan.
func deadline(whole time.Duration) time.Duration {
	return (splitShare(whole) * 4 / 5).Truncate(time.Second)
}

// shares divides a run's time among its tasks, so that copy with all its retries ends in time.
func shares(whole time.Duration) []v1.PipelineTaskRunSpec {
	tasks, split := whole-settings.ForReport, splitShare(whole)
	copies := (tasks - split) / (1 + copyRetries)
	share := func(task string, d time.Duration) v1.PipelineTaskRunSpec {
		return v1.PipelineTaskRunSpec{PipelineTaskName: task, Timeout: &metav1.Duration{Duration: d.Truncate(time.Second)}}
	}
	return []v1.PipelineTaskRunSpec{share("split", split), share("copy", copies), share("report", reportTime)}
}
