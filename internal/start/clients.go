package start

import (
	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/gentype"
	"k8s.io/client-go/rest"

	"imagemirror/internal/apiserver"
)

// clients has a client for each kind of object that a start reads or writes.
type clients struct {
	configMaps *gentype.ClientWithList[*corev1.ConfigMap, *corev1.ConfigMapList]
	leases     *gentype.ClientWithList[*coordinationv1.Lease, *coordinationv1.LeaseList]
	runs       *gentype.ClientWithList[*v1.PipelineRun, *v1.PipelineRunList]
	taskRuns   *gentype.ClientWithList[*v1.TaskRun, *v1.TaskRunList]
}

func newClients(config *rest.Config, namespace string) (clients, error) {
	var c clients
	core, err := apiserver.NewClient(config, corev1.SchemeGroupVersion, corev1.AddToScheme)
	if err != nil {
		return c, err
	}
	coordination, err := apiserver.NewClient(config, coordinationv1.SchemeGroupVersion, coordinationv1.AddToScheme)
	if err != nil {
		return c, err
	}
	tekton, err := apiserver.NewClient(config, v1.SchemeGroupVersion, v1.AddToScheme)
	if err != nil {
		return c, err
	}
	c.configMaps = clientOf[corev1.ConfigMap, corev1.ConfigMapList](core, "configmaps", namespace)
	c.leases = clientOf[coordinationv1.Lease, coordinationv1.LeaseList](coordination, "leases", namespace)
	c.runs = clientOf[v1.PipelineRun, v1.PipelineRunList](tekton, "pipelineruns", namespace)
	c.taskRuns = clientOf[v1.TaskRun, v1.TaskRunList](tekton, "taskruns", namespace)
	return c, nil
}

func clientOf[T, L any, PT interface {
	*T
	runtime.Object
	metav1.Object
}, PL interface {
	*L
	runtime.Object
}](client rest.Interface, resource, namespace string) *gentype.ClientWithList[PT, PL] {
	return gentype.NewClientWithList[PT, PL](resource, client, metav1.ParameterCodec, namespace,
		func() PT { return new(T) }, func() PL { return new(L) })
}
