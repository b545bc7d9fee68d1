//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	yamls "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"imagemirror/internal/apiserver"
)

// An api is a client of the cluster for what tests do all the time. Starting kubectl for each
// request would take a fifth of the machine.
type api struct {
	client *dynamic.DynamicClient
	core   rest.Interface // for logs
}

func newAPI(kubeconfig string) (*api, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS = -1 // no limit
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	core, err := apiserver.NewClient(config, corev1.SchemeGroupVersion, corev1.AddToScheme)
	return &api{client, core}, err
}

// mapper knows the kinds of objects that tests work with. The library that asks the API server for
// them would compile all of Kubernetes' types.
var mapper = func() *meta.DefaultRESTMapper {
	known := meta.NewDefaultRESTMapper(nil)
	add := func(scope meta.RESTScope, group, version string, kinds ...string) {
		for _, kind := range kinds {
			known.Add(schema.GroupVersionKind{Group: group, Version: version, Kind: kind}, scope)
		}
	}
	add(meta.RESTScopeNamespace, "", "v1", "ConfigMap", "PersistentVolumeClaim", "Pod", "Secret", "ServiceAccount")
	add(meta.RESTScopeNamespace, "batch", "v1", "CronJob")
	add(meta.RESTScopeNamespace, "networking.k8s.io", "v1", "NetworkPolicy")
	add(meta.RESTScopeNamespace, "rbac.authorization.k8s.io", "v1", "Role", "RoleBinding")
	add(meta.RESTScopeNamespace, "tekton.dev", "v1", "Pipeline", "PipelineRun", "Task", "TaskRun")
	add(meta.RESTScopeNamespace, "triggers.tekton.dev", "v1beta1", "EventListener", "TriggerBinding", "TriggerTemplate")
	add(meta.RESTScopeRoot, "", "v1", "Namespace")
	add(meta.RESTScopeRoot, "admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
	add(meta.RESTScopeRoot, "authentication.k8s.io", "v1", "TokenReview")
	add(meta.RESTScopeRoot, "authorization.k8s.io", "v1", "SubjectAccessReview")
	add(meta.RESTScopeRoot, "rbac.authorization.k8s.io", "v1", "ClusterRole", "ClusterRoleBinding")
	return known
}()

// in returns a client for objects of an object's kind: in a namespace, or in the cluster if the
// kind is not namespaced.
func (a *api) in(namespace string, object *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	kind := object.GroupVersionKind()
	mapping, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return nil, err
	}
	resources := a.client.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameRoot {
		return resources, nil
	}
	if own := object.GetNamespace(); own != "" {
		namespace = own
	}
	return resources.Namespace(namespace), nil
}

// create creates an object, and returns it as the API server has it.
func (a *api) create(ctx context.Context, namespace string, object any) (*unstructured.Unstructured, error) {
	made := &unstructured.Unstructured{}
	content, err := json.Marshal(object)
	if err == nil {
		err = made.UnmarshalJSON(content)
	}
	if err != nil {
		return nil, err
	}
	resources, err := a.in(namespace, made)
	if err != nil {
		return nil, err
	}
	strict := metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict}
	return insist(ctx, func() (*unstructured.Unstructured, error) { return resources.Create(ctx, made, strict) })
}

// insist asks again if the API server, or a webhook that it calls, is too busy to answer.
func insist[T any](ctx context.Context, ask func() (T, error)) (answer T, err error) {
	err = apiserver.Insist(ctx, func() (err error) {
		answer, err = ask()
		return err
	})
	return answer, err
}

// apply applies YAML documents in their order. It applies them on the server's side, because a
// large ConfigMap does not fit into the annotation of a client-side apply.
func (s *space) apply(documents ...string) {
	s.t.Helper()
	all := strings.Join(documents, "\n---\n")
	decoder := yamls.NewYAMLOrJSONDecoder(strings.NewReader(all), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			s.t.Fatal(err)
		}
		if len(object.Object) == 0 { // only comments
			continue
		}
		resources, err := s.in(s.name, object)
		if err == nil {
			err = s.patch(resources, object)
		}
		if err != nil {
			s.t.Fatalf("applying %s %s: %v", object.GetKind(), object.GetName(), err)
		}
	}
}

// patch applies an object under kubectl's name, because kubectl applies some of the same
// objects. It refuses unknown fields.
func (s *space) patch(resources dynamic.ResourceInterface, object *unstructured.Unstructured) error {
	content, err := object.MarshalJSON()
	if err != nil {
		return err
	}
	options := metav1.PatchOptions{
		FieldManager: "kubectl", FieldValidation: metav1.FieldValidationStrict,
	}
	return apiserver.Insist(s.t.Context(), func() error {
		_, err := resources.Patch(s.t.Context(), object.GetName(), types.ApplyPatchType, content, options)
		return err
	})
}

// make creates an object in the namespace.
func (s *space) make(object any) {
	s.t.Helper()
	if _, err := s.create(s.t.Context(), s.name, object); err != nil {
		s.t.Fatal(err)
	}
}

func (s *space) marshal(object any) string {
	s.t.Helper()
	content, err := yaml.Marshal(object)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(content)
}

// objects returns a client for a resource, whose name is a plural, in the namespace.
func (s *space) objects(resource string) dynamic.ResourceInterface {
	s.t.Helper()
	full, err := mapper.ResourceFor(schema.GroupVersionResource{Resource: resource})
	if err != nil {
		s.t.Fatal(err)
	}
	return s.client.Resource(full).Namespace(s.name)
}

// get reads an object of the namespace.
func (s *space) get(into any, resource, name string) {
	s.t.Helper()
	s.decode(s.find(resource, name), into)
}

// find returns an object of the namespace.
func (s *space) find(resource, name string) *unstructured.Unstructured {
	s.t.Helper()
	objects := s.objects(resource)
	object, err := insist(s.t.Context(), func() (*unstructured.Unstructured, error) {
		return objects.Get(s.t.Context(), name, metav1.GetOptions{})
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return object
}

// list reads the objects of the namespace that match a label selector.
func (s *space) list(into any, resource, labels string) {
	s.t.Helper()
	from := s.objects(resource)
	objects, err := insist(s.t.Context(), func() (*unstructured.UnstructuredList, error) {
		return from.List(s.t.Context(), metav1.ListOptions{LabelSelector: labels})
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.decode(objects, into)
}

// names returns the names of the objects that match a label selector.
func (s *space) names(resource, labels string) []string {
	s.t.Helper()
	list := &metav1.PartialObjectMetadataList{}
	s.list(list, resource, labels)
	var names []string
	for _, object := range list.Items {
		names = append(names, object.Name)
	}
	return names
}

func (s *space) decode(from json.Marshaler, into any) {
	s.t.Helper()
	content, err := from.MarshalJSON()
	if err == nil {
		err = json.Unmarshal(content, into)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// delete deletes an object of the namespace, and waits until it is gone. Another may have its
// name by then.
func (s *space) delete(resource, name string) {
	s.t.Helper()
	object := s.find(resource, name)
	if err := s.objects(resource).Delete(s.t.Context(), name, metav1.DeleteOptions{}); err != nil {
		s.t.Fatal(err)
	}
	s.until("the end of "+name, func() bool {
		now, err := s.objects(resource).Get(s.t.Context(), name, metav1.GetOptions{})
		return apierrors.IsNotFound(err) || err == nil && now.GetUID() != object.GetUID()
	})
}

// logs returns the log of a pod's step.
func (s *space) logs(pod, step string) string {
	s.t.Helper()
	log, err := insist(s.t.Context(), func() ([]byte, error) {
		return s.core.Get().Namespace(s.name).Resource("pods").Name(pod).SubResource("log").
			Param("container", "step-"+step).DoRaw(s.t.Context())
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return string(log)
}

// may reports whether a service account may do something to a resource, such as "get pods" or
// "update leases.coordination.k8s.io", or to one object, such as "get pods NAME".
func (s *space) may(account, what string) bool {
	s.t.Helper()
	verb, resource, _ := strings.Cut(what, " ")
	resource, name, _ := strings.Cut(resource, " ")
	resource, group, _ := strings.Cut(resource, ".")
	resource, subresource, _ := strings.Cut(resource, "/")
	answer, err := s.create(s.t.Context(), s.name, &authorizationv1.SubjectAccessReview{
		TypeMeta: metav1.TypeMeta{
			APIVersion: authorizationv1.SchemeGroupVersion.String(), Kind: "SubjectAccessReview",
		},
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User: "system:serviceaccount:" + s.name + ":" + account,
			Groups: []string{
				"system:serviceaccounts", "system:serviceaccounts:" + s.name, "system:authenticated",
			},
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: s.name, Verb: verb,
				Group: group, Resource: resource, Subresource: subresource, Name: name,
			},
		},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	review := &authorizationv1.SubjectAccessReview{}
	s.decode(answer, review)
	return review.Status.Allowed
}

// checkMay checks what a service account may do, and what it may not do.
func (s *space) checkMay(account string, may, mayNot []string) {
	s.t.Helper()
	for _, what := range may {
		if !s.may(account, what) {
			s.t.Errorf("the service account %s may not %s", account, what)
		}
	}
	for _, what := range mayNot {
		if s.may(account, what) {
			s.t.Errorf("the service account %s may %s", account, what)
		}
	}
}
