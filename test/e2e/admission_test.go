//go:build e2e

package e2e

import (
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"imagemirror/internal/apiserver"
)

// A pod of a set's run may create ConfigMaps, and the admission policy lets it create those of its
// own run only.
func TestPodsCreateOnlyStateOfTheirRun(t *testing.T) {
	s := newSpace(t)
	// The API server takes a moment to enforce a new policy.
	s.until("the policy", func() bool {
		return s.createAs("mirror-a", "", &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "x"}}) != nil
	})
	for _, c := range []struct {
		name    string
		account string
		pod     string
		object  corev1.ConfigMap
		says    string // of the refusal; none if it is empty
	}{
		{"state of a run of start", "mirror-a", "", stateOf("mirror-a-x7k2p", "mirror-a-x7k2p-plan"), ""},
		{"state of a run by hand", "mirror-a", "mirror-run-abcde-split-pod", stateOf("mirror-run-abcde", "mirror-run-abcde-plan"), ""},
		{"state of a copy", "mirror-a", "byhand-copy-12-pod-retry1", stateOf("byhand", "byhand-results-s0-2"), ""},
		{"another set's run", "mirror-a", "mirror-a-x7k2p-split-pod", stateOf("mirror-b-x7k2p", "mirror-b-x7k2p-plan"), "may not keep state of the run mirror-b-x7k2p"},
		{"a run of a set with a longer name", "mirror-a", "mirror-a-x7k2p-split-pod", stateOf("mirror-a-b-x7k2p", "mirror-a-b-x7k2p-plan"), "may not keep state"},
		{"a part of its own pod's name", "mirror-a", "mirror-a-x7k2p-split-pod", stateOf("mirror", "mirror-b-x7k2p-plan"), "may not keep state"},
		{"another run's name", "mirror-a", "", stateOf("mirror-a-x7k2p", "mirror-b-x7k2p-plan"), "begins with that of the run"},
		{"what all sets share", "mirror-a", "", stateOf("mirror-a-x7k2p", "registries-2"), "begins with that of the run"},
		{"files of a set", "mirror-a", "", labeled(stateOf("mirror-a-x7k2p", "mirror-a-x7k2p-x"), "imagemirror/set", "b"), "is for the files of image sets"},
		{"another label", "mirror-a", "", labeled(stateOf("mirror-a-x7k2p", "mirror-a-x7k2p-y"), "imagemirror/run", "mirror-b-x7k2p"), "its label imagemirror/run names it"},
		{"no owner", "mirror-a", "", corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "set-2-b", Labels: map[string]string{"imagemirror/set": "b"}}}, "is owned by its PipelineRun alone"},
		{"two owners", "mirror-a", "", ownedBy(stateOf("mirror-a-x7k2p", "mirror-a-x7k2p-z"), "mirror-b-x7k2p"), "is owned by its PipelineRun alone"},
		{"another account of the namespace", "mirror-start", "", stateOf("mirror-b-x7k2p", "mirror-b-x7k2p-plan"), "may not keep state"},
		{"state by report", "report-a", "", stateOf("mirror-a-x7k2p", "mirror-a-x7k2p-report.json"), ""},
		{"state of another set by report", "report-a", "", stateOf("mirror-b-x7k2p", "mirror-b-x7k2p-report.json"), "may not keep state"},
		{"a record", "report-a", "", recordOf("a", "record-a"), ""},
		{"a part of a record", "report-a-b", "", recordOf("a-b", "record.b7-a-b"), ""},
		{"a record that was kept aside", "report-a", "", recordOf("a", "record.broken-a"), ""},
		{"the record of the set by its other pods", "mirror-a", "", recordOf("a", "record-a"), "service account mirror-a may not write the record record-a"},
		{"a record by a pod of a run by hand", "mirror-a", "record-split-pod", labeled(stateOf("record", "record-b"), "imagemirror/run", "record"), "may not write the record record-b"},
		{"another set's record", "report-a", "", recordOf("b", "record-b"), "service account report-a may not write the record record-b"},
		{"the record of a set with a longer name", "report-a", "", recordOf("a", "record-a-a"), "may not write the record"},
		{"a part that no record has", "report-a", "", recordOf("a", "record.c0-a"), "may not write the record"},
		{"a record with another set's label", "report-a", "", recordOf("b", "record-a"), "names its set"},
		{"state with the label of a record", "mirror-a", "", labeled(stateOf("mirror-a-x7k2p", "mirror-a-x7k2p-r"), "imagemirror/record", "b"), "names its set"},
		{"a record by start", "mirror-start", "", recordOf("start", "record-start"), "may not write the record"},
	} {
		err := s.createAs(c.account, c.pod, &c.object)
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: the error is %v, want %q", c.name, err, c.says)
		}
	}
}

// createAs tries to create a ConfigMap as a service account, with the token of a pod unless that is
// empty. The account has every right here, so that only the policy can refuse.
func (s *space) createAs(account, pod string, m *corev1.ConfigMap) error {
	s.t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv(kubeconfigVar))
	if err != nil {
		s.t.Fatal(err)
	}
	config.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:" + s.name + ":" + account, Groups: []string{"system:masters"}}
	if pod != "" {
		config.Impersonate.Extra = map[string][]string{"authentication.kubernetes.io/pod-name": {pod}}
	}
	client, err := apiserver.NewClient(config, corev1.SchemeGroupVersion, corev1.AddToScheme)
	if err != nil {
		s.t.Fatal(err)
	}
	dry := &metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
	return client.Post().Namespace(s.name).Resource("configmaps").VersionedParams(dry, metav1.ParameterCodec).Body(m).Do(s.t.Context()).Error()
}

func stateOf(run, name string) corev1.ConfigMap {
	m := corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"imagemirror/run": run}}}
	return ownedBy(m, run)
}

func recordOf(set, name string) corev1.ConfigMap {
	return corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"imagemirror/record": set}}}
}

func ownedBy(m corev1.ConfigMap, run string) corev1.ConfigMap {
	m.OwnerReferences = append(m.OwnerReferences, metav1.OwnerReference{APIVersion: "tekton.dev/v1", Kind: "PipelineRun", Name: run, UID: "0"})
	return m
}

func labeled(m corev1.ConfigMap, key, value string) corev1.ConfigMap {
	m.Labels[key] = value
	return m
}
