// Package apiserver finds the cluster that a command speaks to, and makes clients for it.
package apiserver

import (
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"imagemirror/internal/secret"
)

// Find returns how to reach the API server, and the namespace to work in. In a pod,
// these are the cluster's own and the pod's; elsewhere, those of the kubeconfig's
// current context. A given namespace comes first.
func Find(namespace string) (*rest.Config, string, error) {
	loaded := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(clientcmd.NewDefaultClientConfigLoadingRules(), &clientcmd.ConfigOverrides{})
	config, err := loaded.ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		err = errors.New("not running in a pod, and no kubeconfig found: set KUBECONFIG")
	}
	if err != nil {
		return nil, "", fmt.Errorf("finding the API server: %w", err)
	}
	secret.Add("", config.BearerToken)
	secret.Add(config.Username, config.Password)
	if namespace == "" {
		if namespace, _, err = loaded.Namespace(); err != nil {
			return nil, "", fmt.Errorf("MIRROR_NAMESPACE is not set: %w", err)
		}
	}
	return config, namespace, nil
}

// NewClient returns a client for the objects of one version of an API group, which
// addToScheme knows. A clientset for all groups makes a program 12 MB larger, and one
// with Tekton's 17 MB.
func NewClient(config *rest.Config, version schema.GroupVersion, addToScheme func(*runtime.Scheme) error) (rest.Interface, error) {
	scheme := runtime.NewScheme()
	if err := addToScheme(scheme); err != nil {
		return nil, err
	}
	config = rest.CopyConfig(config)
	config.GroupVersion, config.APIPath = &version, "/apis"
	if version.Group == "" {
		config.APIPath = "/api"
	}
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	return rest.RESTClientFor(config)
}
