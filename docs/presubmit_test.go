package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// workflow is what matters of a GitHub workflow.
type workflow struct {
	On          map[string]any    `yaml:"on"`
	Permissions map[string]string `yaml:"permissions"`
	Jobs        map[string]struct {
		Permissions map[string]string `yaml:"permissions"`
		Steps       []struct {
			Uses string         `yaml:"uses"`
			With map[string]any `yaml:"with"`
			Run  string         `yaml:"run"`
		} `yaml:"steps"`
	} `yaml:"jobs"`
}

// The workflow that teams copy runs what a pull request has written with the least rights: it reads the repository, sees no secret,
// and uses nothing that may become something else.
func TestWorkflowHasTheLeastRights(t *testing.T) {
	text := read(t, filepath.Join("how-to", "presubmit.github.yaml"))
	var w workflow
	if err := yaml.Unmarshal([]byte(text), &w); err != nil {
		t.Fatal(err)
	}
	if _, found := w.On["pull_request"]; !found || len(w.On) != 1 {
		t.Errorf("it runs on %v, want pull_request alone", w.On)
	}
	if len(w.Permissions) != 1 || w.Permissions["contents"] != "read" {
		t.Errorf("its rights are %v, want to read the contents", w.Permissions)
	}
	if strings.Contains(text, "secrets") && regexp.MustCompile(`\$\{\{[^}]*secrets`).MatchString(text) {
		t.Error("it takes a secret")
	}
	pinned := regexp.MustCompile(`^[a-z-]+/[a-z-]+@[0-9a-f]{40}$`)
	for name, job := range w.Jobs {
		if job.Permissions != nil {
			t.Errorf("the job %s has rights of its own", name)
		}
		for _, step := range job.Steps {
			if step.Uses != "" && (!pinned.MatchString(step.Uses) || step.With["persist-credentials"] != false) {
				t.Errorf("the job %s uses %s with %v, want a digest, and no credentials left behind", name, step.Uses, step.With)
			}
			if strings.Contains(step.Run, "${{") {
				t.Errorf("the job %s puts what others write into a shell: %s", name, step.Run)
			}
		}
	}
}

// Its commands are split's: run as they stand, where no registry is needed, they pass the sets of this repository.
func TestWorkflowChecksTheSets(t *testing.T) {
	split := filepath.Join(t.TempDir(), "split")
	if out, err := goCommand(t, "build", "-o", split, "imagemirror/cmd/split").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var w workflow
	if err := yaml.Unmarshal([]byte(read(t, filepath.Join("how-to", "presubmit.github.yaml"))), &w); err != nil {
		t.Fatal(err)
	}
	for _, job := range w.Jobs {
		for _, step := range job.Steps {
			_, args, found := strings.Cut(step.Run, `"$SPLIT" `)
			if step.Run == "" {
				continue
			}
			if !found {
				t.Fatalf("%s does not run split", step.Run)
			}
			flags := slices.DeleteFunc(strings.Fields(args), func(arg string) bool { return arg == "-online" })
			cmd := exec.CommandContext(t.Context(), split, flags...)
			cmd.Dir, cmd.Env = root, os.Environ()
			if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "msg=checked sets=8") {
				t.Errorf("split %s: %v: %s", args, err, out)
			}
		}
	}
}
