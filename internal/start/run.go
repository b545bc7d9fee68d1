package start

import (
	"strconv"
	"strings"
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
			Labels:          map[string]string{SetLabel: set.name, TriggerLabel: s.Trigger},
			OwnerReferences: set.owners(),
		},
		Spec: v1.PipelineRunSpec{
			PipelineRef: &v1.PipelineRef{Name: pipelineName},
			Params: v1.Params{
				param("set", set.name),
				param("trigger", s.Trigger),
				param("shards", strconv.Itoa(set.settings.Shards)),
				param("cap", strconv.Itoa(set.settings.Cap)),
				param("cap-rate", strconv.Itoa(set.settings.Rate)),
				param("bandwidth", bandwidth(set.settings.Bandwidth)),
				param("retries", strconv.Itoa(set.settings.Retries)),
				param("deadline", answered(splitShare(set.settings.Timeout))),
				param("copy-deadline", answered(copyShare(set.settings.Timeout))),
				param("cluster-registry", s.ClusterRegistry),
				param("notify-hosts", strings.Join(set.bounds.Notify, ",")),
				param("status-url", s.StatusURL),
				param("record", recordStore),
			},
			Timeouts:     timeouts(set.settings.Timeout),
			TaskRunSpecs: tasks(set),
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

// bandwidth returns a limit in bytes per second as a parameter, which is empty for none.
func bandwidth(bytes int64) string {
	if bytes == 0 {
		return ""
	}
	return strconv.FormatInt(bytes, 10)
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
		{Name: "notifications", Secret: &corev1.SecretVolumeSource{SecretName: "notify-" + set.name, Optional: &yes}},
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

// copyShare returns the time of each attempt of copy, so that all of them end in time.
func copyShare(whole time.Duration) time.Duration {
	return ((whole - settings.ForReport - splitShare(whole)) / (1 + copyRetries)).Truncate(time.Second)
}

// answered returns the part of a task's time that its registries get. The rest is for the start of
// its pod and for writing what came of it.
func answered(share time.Duration) string { return (share * 4 / 5).Truncate(time.Second).String() }

// recordStore is where report keeps the record of a set.
const recordStore = "configmaps"

// tasks returns what is particular to each task: its share of the time, and for report the service
// account that may change the set's record.
func tasks(set *imageSet) []v1.PipelineTaskRunSpec {
	all := shares(set.settings.Timeout)
	for i := range all {
		if all[i].PipelineTaskName == "report" {
			all[i].ServiceAccountName = "report-" + set.name
		}
	}
	return all
}

// shares divides a run's time among its tasks.
func shares(whole time.Duration) []v1.PipelineTaskRunSpec {
	share := func(task string, d time.Duration) v1.PipelineTaskRunSpec {
		return v1.PipelineTaskRunSpec{PipelineTaskName: task, Timeout: &metav1.Duration{Duration: d.Truncate(time.Second)}}
	}
	return []v1.PipelineTaskRunSpec{share("split", splitShare(whole)), share("copy", copyShare(whole)), share("report", reportTime)}
}
