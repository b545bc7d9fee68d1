//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The first command of docs/how-to/install.md says that this cluster's Tekton is ready, and what to
// set in others.
func TestTektonIsChecked(t *testing.T) {
	document, err := os.ReadFile("../../docs/how-to/install.md")
	if err != nil {
		t.Fatal(err)
	}
	_, command, _ := strings.Cut(string(document), "\n\n    ")
	command, _, _ = strings.Cut(command, "\n\n")
	s := newSpace(t)
	const (
		contexts = "set-security-context"
		readOnly = "set-security-context-read-only-root-filesystem"
		refusal  = "No pod of Tekton will start in a restricted namespace: set "
	)
	cases := []struct {
		name  string
		flags map[string]string // of a ConfigMap of the test; nil: Tekton's own
		says  string
	}{
		{"this cluster", nil, "Tekton is ready for restricted namespaces."},
		{"one is false", map[string]string{contexts: "true", readOnly: "false"},
			refusal + readOnly + ` to "true" in this ConfigMap.`},
		{"neither is there", map[string]string{"other": "x"},
			refusal + contexts + " " + readOnly + ` to "true" in this ConfigMap.`},
	}
	for _, c := range cases {
		run := command
		if c.flags != nil {
			s.kubectl("delete", "configmap", "feature-flags", "--ignore-not-found")
			s.configMap("feature-flags", c.flags)
			run = strings.ReplaceAll(command, "tekton-pipelines", s.name)
		}
		out, err := output(exec.CommandContext(t.Context(), "sh", "-c", run))
		if err != nil || string(out) != c.says+"\n" {
			t.Errorf("%s: it prints %q (%v), want %q", c.name, out, err, c.says)
		}
	}
}
