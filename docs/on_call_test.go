package docs

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"imagemirror/internal/fault"
)

const onCall = "how-to/on-call.md"

// Whoever is called finds each alert under its name, and what to do for each kind of cause.
func TestRunbookHasAlertsAndCauses(t *testing.T) {
	text := read(t, onCall)
	rules := read(t, filepath.Join(root, "install", "monitoring", "rules.yaml"))
	alerts := regexp.MustCompile(`(?m)^ +- alert: (\w+)$`).FindAllStringSubmatch(rules, -1)
	if len(alerts) == 0 {
		t.Fatal("install/monitoring has no alert")
	}
	for _, alert := range alerts {
		if !strings.Contains(text, "\n### "+alert[1]+"\n") {
			t.Errorf("%s has no section %s", onCall, alert[1])
		}
	}
	_, causes, _ := strings.Cut(text, "\n## Causes\n")
	var described []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| [^|]+ \\| [^|]+ \\|$").FindAllStringSubmatch(causes, -1) {
		described = append(described, row[1])
	}
	var kinds []string
	for _, k := range fault.Kinds() {
		kinds = append(kinds, string(k))
	}
	if !slices.Equal(described, kinds) {
		t.Errorf("%s has the kinds %v, want %v", onCall, described, kinds)
	}
}

// kubectl accepts the runbook's commands, as far as it can without a cluster. test/e2e runs them on
// one.
func TestRunbookCommandsAreAccepted(t *testing.T) {
	if _, err := exec.LookPath("kubectl"); err != nil {
		t.Skip("there is no kubectl")
	}
	command := regexp.MustCompile(`kubectl [^|]*[^|) ]`)
	for _, s := range steps(t, onCall) {
		call := command.FindString(s.command)
		if call == "" {
			continue
		}
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			nowhere := strings.Replace(call, "kubectl", "kubectl --kubeconfig=/dev/null --server=http://127.0.0.1:1", 1)
			cmd := exec.CommandContext(t.Context(), "bash", "-c", nowhere)
			cmd.Env = append(cmd.Environ(), "RUN=mirror-knative-abcde")
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "The connection to the server 127.0.0.1:1 was refused") {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}
