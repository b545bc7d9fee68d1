package start

import (
	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/gentype"
	"k8s.io/client-go/rest"

	"imagemirror/internal/apiserver"
)

// clients are those for the four kinds of objects that a start works with. The clientsets of client-go and Tekton, which are for all
// kinds, made the program 17 MB larger.
type clients struct {
	configMaps *gentype.ClientWithList[*corev1.ConfigMap, *corev1.ConfigMapList]
	leases     *gentype.ClientWithList[*coordinationv1.Lease, *coordinationv1.LeaseList]
	runs       *gentype.ClientWithList[*v1.PipelineRun, *v1.PipelineRunList]
	taskRuns   *gentype.ClientWithList[*v1.TaskRun, *v1.TaskRunList]
}

func newClients(config *rest.Config, namespace string) (clients, error) {
	var c clients
	core, err := groupOf(config, corev1.SchemeGroupVersion, corev1.AddToScheme)
	if err != nil {
		return c, err
	}
	coordination, err := groupOf(config, coordinationv1.SchemeGroupVersion, coordinationv1.AddToScheme)
	if err != nil {
		return c, err
	}
	tekton, err := groupOf(config, v1.SchemeGroupVersion, v1.AddToScheme)
	if err != nil {
		return c, err
	}
	c.configMaps = clientOf[corev1.ConfigMap, corev1.ConfigMapList](core, "configmaps", namespace)
	c.leases = clientOf[coordinationv1.Lease, coordinationv1.LeaseList](coordination, "leases", namespace)
	c.runs = clientOf[v1.PipelineRun, v1.PipelineRunList](tekton, "pipelineruns", namespace)
	c.taskRuns = clientOf[v1.TaskRun, v1.TaskRunList](tekton, "taskruns", namespace)
	return c, nil
}

// group is an API group: its objects are asked for as its scheme says.
type group struct {
	client rest.Interface
	scheme *runtime.Scheme
}

func groupOf(config *rest.Config, version schema.GroupVersion, add func(*runtime.Scheme) error) (group, error) {
	scheme := runtime.NewScheme()
	if err := add(scheme); err != nil {
		return group{}, err
	}
	client, err := apiserver.Client(config, version, scheme)
	return group{client, scheme}, err
}

func clientOf[T, L any, PT interface {
	*T
	runtime.Object
	metav1.Object
}, PL interface {
	*L
	runtime.Object
}](g group, resource, namespace string) *gentype.ClientWithList[PT, PL] {
	return gentype.NewClientWithList[PT, PL](resource, g.client, runtime.NewParameterCodec(g.scheme), namespace,
		func() PT { return new(T) }, func() PL { return new(L) })
}
