package status

import (
	"context"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"imagemirror/internal/apiserver"
	"imagemirror/internal/start"
)

// A PipelineRuns lists the runs of image sets on a cluster.
type PipelineRuns struct {
	client    rest.Interface
	namespace string
}

// listed is how many runs are read at once: one has up to some 20 KB, and a namespace has ten of
// each set.
const listed = 100

// OpenPipelineRuns returns the runs in a namespace.
func OpenPipelineRuns(config *rest.Config, namespace string) (*PipelineRuns, error) {
	config = rest.CopyConfig(config)
	config.UserAgent = "imagemirror-status"
	client, err := apiserver.NewClient(config, v1.SchemeGroupVersion, v1.AddToScheme)
	if err != nil {
		return nil, err
	}
	return &PipelineRuns{client, namespace}, nil
}

// Active returns the runs that have not ended.
func (p *PipelineRuns) Active(ctx context.Context) ([]Active, error) {
	var all []Active
	for next := ""; ; {
		var list v1.PipelineRunList
		err := p.client.Get().Namespace(p.namespace).Resource("pipelineruns").VersionedParams(&metav1.ListOptions{
			LabelSelector: start.SetLabel, Limit: listed, Continue: next,
		}, metav1.ParameterCodec).Do(ctx).Into(&list)
		if err != nil {
			return nil, err
		}
		for _, run := range list.Items {
			if run.IsDone() {
				continue
			}
			active := Active{Set: run.Labels[start.SetLabel], Run: run.Name}
			if run.Status.StartTime != nil {
				active.Since = run.Status.StartTime.Time
			}
			all = append(all, active)
		}
		if next = list.Continue; next == "" {
			return all, nil
		}
	}
}
