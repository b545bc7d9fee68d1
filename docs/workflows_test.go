package docs

import (
	goversion "go/version"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// workflow holds what the tests look at in a GitHub workflow.
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

// presubmit is the workflow that teams copy.
var presubmit = filepath.Join("how-to", "presubmit.github.yaml")

// workflows returns the workflows of this repository, and the one that teams copy, by file.
func workflows(t *testing.T) map[string]workflow {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, ".github", "workflows", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("found the workflows %v, %v", files, err)
	}
	all := map[string]workflow{}
	for _, file := range append(files, presubmit) {
		var w workflow
		if err := yaml.Unmarshal([]byte(read(t, file)), &w); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[file] = w
	}
	return all
}

// release is the workflow that publishes. It runs for tags only, so no pull request decides what it
// does.
var release = filepath.Join(root, ".github", "workflows", "release.yaml")

// Workflows run what a pull request contains, so they read the repository, see no secret, and use
// only actions whose content cannot change.
func TestWorkflowsHaveTheLeastRights(t *testing.T) {
	pinned := regexp.MustCompile(`^(actions|sigstore)/[a-z-]+@[0-9a-f]{40}$`)
	for file, w := range workflows(t) {
		if len(w.Permissions) != 1 || w.Permissions["contents"] != "read" {
			t.Errorf("%s has the permissions %v, want contents: read", file, w.Permissions)
		}
		if regexp.MustCompile(`\$\{\{[^}]*secrets`).MatchString(read(t, file)) {
			t.Errorf("%s reads a secret", file)
		}
		for name, job := range w.Jobs {
			if job.Permissions != nil && file != release {
				t.Errorf("%s: job %s has permissions of its own", file, name)
			}
			for _, step := range job.Steps {
				if step.Uses != "" && !pinned.MatchString(step.Uses) {
					t.Errorf("%s: job %s uses %s, want a commit", file, name, step.Uses)
				}
				if strings.HasPrefix(step.Uses, "actions/checkout@") && step.With["persist-credentials"] != false {
					t.Errorf("%s: job %s leaves credentials in the checkout", file, name)
				}
				if strings.Contains(step.Run, "${{") {
					t.Errorf("%s: job %s expands an expression in a shell: %s", file, name, step.Run)
				}
			}
		}
	}
}

// The release is signed by the workflow's own identity, and nothing but a tag makes one.
func TestReleaseRunsForTagsOnly(t *testing.T) {
	w := workflows(t)[release]
	want := map[string]any{"push": map[string]any{"tags": []any{"v*"}}}
	if diff := cmp.Diff(want, w.On); diff != "" {
		t.Errorf("the release runs on (-want +got):\n%s", diff)
	}
	rights := map[string]string{"contents": "write", "packages": "write", "id-token": "write", "attestations": "write"}
	if diff := cmp.Diff(rights, w.Jobs["release"].Permissions); diff != "" || len(w.Jobs) != 1 {
		t.Errorf("%d jobs, with the permissions (-want +got):\n%s", len(w.Jobs), diff)
	}
}

// A check that a filter skips, or that does not run in a merge queue, stays pending forever when it
// is required.
func TestWorkflowsWorkAsRequiredChecks(t *testing.T) {
	for file, w := range workflows(t) {
		if file == release {
			continue
		}
		_, scheduled := w.On["schedule"] // it looks at the world, not at a change
		for _, event := range []string{"pull_request", "merge_group"} {
			if filter, found := w.On[event]; !scheduled && (!found || filter != nil) {
				t.Errorf("%s runs on %v, want %s without a filter", file, w.On, event)
			}
		}
		if _, found := w.On["pull_request_target"]; found {
			t.Errorf("%s runs on pull_request_target, which gives secrets to forks", file)
		}
	}
}

// The commands of the workflow that teams copy pass the sets of this repository. Flag -online is
// left out, since it needs registries.
func TestPresubmitWorkflowChecksTheSets(t *testing.T) {
	for _, job := range workflows(t)[presubmit].Jobs {
		for _, step := range job.Steps {
			_, args, found := strings.Cut(step.Run, `"$SPLIT" `)
			if step.Run == "" {
				continue
			}
			if !found {
				t.Fatalf("%s does not run split", step.Run)
			}
			flags := slices.DeleteFunc(strings.Fields(args), func(arg string) bool { return arg == "-online" })
			cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "split"), flags...)
			cmd.Dir, cmd.Env = root, os.Environ()
			if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "msg=checked sets=8") {
				t.Errorf("split %s: %v: %s", args, err, out)
			}
		}
	}
}

// Dependabot looks only at the directories that its configuration names.
func TestDependabotUpdatesEveryModule(t *testing.T) {
	file := filepath.Join(root, ".github", "dependabot.yml")
	var config struct {
		Updates []struct {
			Ecosystem   string `yaml:"package-ecosystem"`
			Directories []string
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, file)), &config); err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, update := range config.Updates {
		if update.Ecosystem == "gomod" {
			listed = append(listed, update.Directories...)
		}
	}
	slices.Sort(listed)
	if diff := cmp.Diff(modules(t), listed); diff != "" {
		t.Errorf("directories with a go.mod (-there +listed in %s):\n%s", file, diff)
	}
}

// Workflows install the Go that the root's go.mod requires, and setup-go forbids the go command to
// download a newer one.
func TestNoModuleNeedsANewerGo(t *testing.T) {
	required := regexp.MustCompile(`(?m)^go (1\.\d+\.\d+)$`)
	version := func(dir string) string {
		m := required.FindStringSubmatch(read(t, filepath.Join(root, filepath.FromSlash(dir), "go.mod")))
		if m == nil {
			t.Fatalf("%s/go.mod has no line such as go 1.26.4", dir)
		}
		return "go" + m[1]
	}
	for _, dir := range modules(t) {
		if newest := version("/"); goversion.Compare(version(dir), newest) > 0 {
			t.Errorf("module %s requires %s, and workflows install %s: raise that of the root", dir, version(dir), newest)
		}
	}
}

// modules returns the directories of the Go modules, from the root, as Dependabot writes them.
func modules(t *testing.T) []string {
	t.Helper()
	var dirs []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == ".git" {
			return fs.SkipDir
		}
		if err == nil && d.Name() == "go.mod" {
			dir, err := filepath.Rel(root, filepath.Dir(path))
			if err != nil {
				return err
			}
			dirs = append(dirs, filepath.ToSlash(filepath.Join("/", dir)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(dirs)
	return dirs
}
