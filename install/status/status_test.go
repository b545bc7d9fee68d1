// Package status has no code. Its test compares what kustomize makes of the status pages with what
// they need.
package status

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"imagemirror/internal/cli/status"
)

// objects are those that the directory installs, one of each kind.
type objects struct {
	deployment appsv1.Deployment
	service    corev1.Service
	role       rbacv1.Role
	binding    rbacv1.RoleBinding
	account    corev1.ServiceAccount
	policy     networkingv1.NetworkPolicy
}

func build(t *testing.T) *objects {
	t.Helper()
	all, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), ".")
	if err != nil {
		t.Fatal(err)
	}
	o := &objects{}
	kinds := map[string]any{
		"Deployment": &o.deployment, "Service": &o.service, "Role": &o.role, "RoleBinding": &o.binding,
		"ServiceAccount": &o.account, "NetworkPolicy": &o.policy,
	}
	for _, r := range all.Resources() {
		if kinds[r.GetKind()] == nil || r.GetNamespace() != "image-mirror" || r.GetName() != "mirror-status" {
			t.Fatalf("there is a %s %s in the namespace %s", r.GetKind(), r.GetName(), r.GetNamespace())
		}
		if err := yaml.UnmarshalStrict([]byte(r.MustYaml()), kinds[r.GetKind()]); err != nil {
			t.Fatal(err)
		}
		delete(kinds, r.GetKind())
	}
	if len(kinds) > 0 {
		t.Fatalf("missing are %v", kinds)
	}
	return o
}

func TestRightsAreToReadRecordsAndRuns(t *testing.T) {
	o := build(t)
	want := []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "list"}},
		{APIGroups: []string{"tekton.dev"}, Resources: []string{"pipelineruns"}, Verbs: []string{"get", "list"}},
	}
	if diff := cmp.Diff(want, o.role.Rules); diff != "" {
		t.Errorf("rights (-want +got):\n%s", diff)
	}
	account := o.deployment.Spec.Template.Spec.ServiceAccountName
	if o.binding.RoleRef.Name != o.role.Name || len(o.binding.Subjects) != 1 || o.binding.Subjects[0].Name != account || account != o.account.Name {
		t.Errorf("the role is bound to %v, and the pod runs as %s", o.binding.Subjects, account)
	}
}

// The pod is one that a restricted namespace admits, and has no volume and no secret.
func TestPodIsRestricted(t *testing.T) {
	pod := build(t).deployment.Spec.Template.Spec
	c := pod.Containers[0]
	s := c.SecurityContext
	if !*pod.SecurityContext.RunAsNonRoot || pod.SecurityContext.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault ||
		!*s.ReadOnlyRootFilesystem || *s.AllowPrivilegeEscalation || len(s.Capabilities.Add) > 0 || !cmp.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
		t.Errorf("the pod has %+v, its container %+v", pod.SecurityContext, s)
	}
	if len(pod.Volumes) > 0 || len(c.Env)+len(c.EnvFrom) > 0 || len(pod.Containers) != 1 || pod.HostNetwork {
		t.Errorf("the pod has more than it needs: %+v", pod)
	}
	if c.Resources.Limits.Memory().IsZero() || c.Image != "ko://imagemirror/cmd/status" {
		t.Errorf("the container %s has the limits %v", c.Image, c.Resources.Limits)
	}
}

// One port leads from the Service to the server, and the network policy has it open.
func TestPortsFit(t *testing.T) {
	o := build(t)
	c, pod := o.deployment.Spec.Template.Spec.Containers[0], o.deployment.Spec.Template.Labels
	flags := status.Command()
	if err := flags.Flags.Parse(c.Args); err != nil || flags.Flags.Lookup("listen").Value.String() != ":8080" {
		t.Errorf("the arguments %q: %v", c.Args, err)
	}
	for name, selector := range map[string]map[string]string{
		"Service": o.service.Spec.Selector, "Deployment": o.deployment.Spec.Selector.MatchLabels, "NetworkPolicy": o.policy.Spec.PodSelector.MatchLabels,
	} {
		for key, value := range selector {
			if pod[key] != value {
				t.Errorf("the %s selects %v, and the pod has the labels %v", name, selector, pod)
			}
		}
	}
	port, open := o.service.Spec.Ports[0], o.policy.Spec.Ingress[0].Ports
	if c.Ports[0].ContainerPort != 8080 || port.TargetPort.StrVal != c.Ports[0].Name || len(open) != 1 || open[0].Port.IntValue() != 8080 {
		t.Errorf("the container has the ports %v, the Service %v, the policy %v", c.Ports, port, open)
	}
	// The ServiceMonitor finds the Service by its label, and scrapes the port of that name.
	if port.Name != "http" || o.service.Labels["app.kubernetes.io/name"] != "mirror-status" {
		t.Errorf("the Service has the port %s and the labels %v", port.Name, o.service.Labels)
	}
}
