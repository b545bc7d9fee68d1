package kustomization

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"
)

func TestNetworkFollowsFromThePolicy(t *testing.T) {
	const policy = "apiVersion: imagemirror/v1\nkind: Policy\nmetadata:\n  name: p\nspec:\n"
	tree(t, map[string]string{
		"sets/base/kustomization.yaml": "",
		"sets/kustomization.yaml":      "namespace: prod\n",
		"sets/web/OWNERS":              "approvers: [ann]\n",
		"sets/web/mapping_web":         "a.example/b:c d.example/e:f\n",
	})
	generate := func(spec string) []string {
		t.Helper()
		if err := os.WriteFile("sets/policy.yaml", []byte(policy+spec), 0o644); err != nil {
			t.Fatal(err)
		}
		read, found := Read("sets")
		if err := found.Err(); err != nil {
			t.Fatal(err)
		}
		changed, err := read.Write()
		if err != nil {
			t.Fatal(err)
		}
		if err := Check([]string{"sets/web"}).Err(); err != nil {
			t.Error(err)
		}
		return changed
	}
	generate("  network:\n    ports: [443, 8443]\n    cidrs: [203.0.113.0/24, \"2001:db8::/32\"]\n")
	data, err := os.ReadFile("sets/networkpolicy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var got networkingv1.NetworkPolicy
	if err := yaml.UnmarshalStrict(data, &got); err != nil {
		t.Fatal(err)
	}
	rule := got.Spec.Egress[0]
	var all []string
	for _, p := range rule.Ports {
		all = append(all, p.Port.String())
	}
	for _, to := range rule.To {
		all = append(all, to.IPBlock.CIDR)
	}
	if diff := cmp.Diff([]string{"443", "8443", "203.0.113.0/24", "2001:db8::/32"}, all); diff != "" || got.Name != "registries" || got.Namespace != "prod" || len(got.Spec.Egress) != 1 {
		t.Errorf("the policy is %s", data)
	}
	for what, edit := range map[string]func() error{
		"is missing": func() error { return os.Remove("sets/networkpolicy.yaml") },
		"this differs from the generated file": func() error {
			return os.WriteFile("sets/networkpolicy.yaml", []byte(strings.Replace(string(data), "8443", "22", 1)), 0o644)
		},
		"lines end with CRLF": func() error {
			return os.WriteFile("sets/networkpolicy.yaml", []byte(strings.ReplaceAll(string(data), "\n", "\r\n")), 0o644)
		},
	} {
		if err := edit(); err != nil {
			t.Fatal(err)
		}
		if err := Check([]string{"sets/web"}).Err(); err == nil || !strings.Contains(err.Error(), "networkpolicy.yaml") || !strings.Contains(err.Error(), what) {
			t.Errorf("got %v, want an error that says %q", err, what)
		}
	}
	generate("  network: {}\n")
	if data, _ := os.ReadFile("sets/networkpolicy.yaml"); !strings.Contains(string(data), "port: 5000") || strings.Contains(string(data), "to:") {
		t.Errorf("without ports and cidrs, the policy is\n%s", data)
	}
	if changed := generate("  cap: 64\n"); !cmp.Equal(changed, []string{"sets/networkpolicy.yaml", "sets/kustomization.yaml"}) {
		t.Errorf("without a network, %v changed", changed)
	}
	if err := os.WriteFile("sets/networkpolicy.yaml", []byte("# mine\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if changed := generate("  cap: 64\n"); len(changed) > 0 {
		t.Errorf("a file that a person wrote: %v changed", changed)
	}
}
