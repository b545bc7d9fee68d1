// Package apiserver finds the cluster that a command is to speak to, and speaks to it.
package apiserver

import (
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Find returns how the API server is reached, and the namespace to work in, which is the given one unless that is empty. In a pod they are
// the cluster's own and the pod's, elsewhere those of the kubeconfig's current context.
func Find(namespace string) (*rest.Config, string, error) {
	loaded := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(clientcmd.NewDefaultClientConfigLoadingRules(), &clientcmd.ConfigOverrides{})
	config, err := loaded.ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		err = errors.New("this is no pod with a service account's token, and no kubeconfig is here: name one in KUBECONFIG")
	}
	if err != nil {
		return nil, "", fmt.Errorf("finding the API server: %w", err)
	}
	if namespace == "" {
		if namespace, _, err = loaded.Namespace(); err != nil {
			return nil, "", fmt.Errorf("MIRROR_NAMESPACE is not set: %w", err)
		}
	}
	return config, namespace, nil
}

// Client makes a client for the objects of one version of an API group, which addToScheme knows. One for all groups, as a clientset
// has them, makes a program 12 MB larger, and one with Tekton's 17 MB.
func Client(config *rest.Config, version schema.GroupVersion, addToScheme func(*runtime.Scheme) error) (rest.Interface, error) {
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
