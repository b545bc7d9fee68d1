// Package tasks has the Tekton Tasks. Its tests check that Tekton accepts them and the
// Pipelines, that a restricted namespace admits their pods, and that their READMEs are current.
package tasks

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	corev1 "k8s.io/api/core/v1"
	"knative.dev/pkg/apis"
	"sigs.k8s.io/yaml"

	"imagemirror/internal/settings"
	"imagemirror/internal/tektontest"
)

var update = flag.Bool("update", false, "write the tables of parameters, workspaces and results into the READMEs")

// An object is a Task, a Pipeline or a PipelineRun.
type object interface {
	apis.Defaultable
	apis.Validatable
}

func load(t *testing.T, file string, into object) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	decode(t, file, content, into)
}

// decode reads an object, and checks that Tekton accepts it.
func decode(t *testing.T, file string, content []byte, into object) {
	t.Helper()
	if err := yaml.UnmarshalStrict(content, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if run, ok := into.(*v1.PipelineRun); ok && run.Name == "" {
		run.Name = run.GenerateName + "x" // as the API server will
	}
	into.SetDefaults(context.Background())
	if err := into.Validate(context.Background()); err != nil {
		t.Errorf("%s: %v", file, err)
	}
}

func tasks(t *testing.T) map[string]*v1.Task {
	t.Helper()
	files, err := filepath.Glob("*/*.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("the tasks are %v (%v), want at least three", files, err)
	}
	all := map[string]*v1.Task{}
	for _, file := range files {
		task := &v1.Task{}
		load(t, file, task)
		all[file] = task
	}
	return all
}

func named(t *testing.T) map[string]*v1.Task {
	t.Helper()
	byName := map[string]*v1.Task{}
	for _, task := range tasks(t) {
		byName[task.Name] = task
	}
	return byName
}

func pipeline(t *testing.T) *v1.Pipeline {
	t.Helper()
	p := &v1.Pipeline{}
	load(t, "../pipelines/mirror.yaml", p)
	return p
}

func TestTasks(t *testing.T) {
	for file, task := range tasks(t) {
		name := filepath.Base(filepath.Dir(file))
		if task.Name != "mirror-"+name {
			t.Errorf("%s: the task's name is %s, want mirror-%s", file, task.Name, name)
		}
		for what, description := range described(task) {
			if description == "" {
				t.Errorf("%s: %s has no description", file, what)
			}
		}
		for _, step := range task.Spec.Steps {
			checkStep(t, file, name, step)
		}
	}
}

func described(task *v1.Task) map[string]string {
	all := map[string]string{"the task": task.Spec.Description}
	for _, p := range task.Spec.Params {
		all["the parameter "+p.Name] = p.Description
	}
	for _, w := range task.Spec.Workspaces {
		all["the workspace "+w.Name] = w.Description
	}
	for _, r := range task.Spec.Results {
		all["the result "+r.Name] = r.Description
	}
	return all
}

// programs are the programs of tasks that are not named like the task.
var programs = map[string]string{"check": "split"}

// checkStep checks a step against the restricted Pod Security Standard. Its image has nothing
// but the program.
func checkStep(t *testing.T, file, name string, step v1.Step) {
	t.Helper()
	if program := programs[name]; program != "" {
		name = program
	}
	if step.Script != "" || !slices.Equal(step.Command, []string{"/ko-app/" + name}) {
		t.Errorf("%s: step %s does not name the program, which is all that its image has", file, step.Name)
	}
	if step.Image != "ko://imagemirror/cmd/"+name {
		t.Errorf("%s: the image of step %s is %s, want one that ko builds", file, step.Name, step.Image)
	}
	yes, no := true, false
	want := &corev1.SecurityContext{
		RunAsNonRoot: &yes, ReadOnlyRootFilesystem: &yes, AllowPrivilegeEscalation: &no,
		Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	if diff := cmp.Diff(want, step.SecurityContext); diff != "" {
		t.Errorf("%s: security context of step %s (-want +got):\n%s", file, step.Name, diff)
	}
	if r := step.ComputeResources; r.Requests.Memory().IsZero() || r.Requests.Cpu().IsZero() || r.Limits.Memory().IsZero() {
		t.Errorf("%s: step %s does not request CPU and memory, or does not limit memory", file, step.Name)
	}
}

// The sample run passes only what the Pipeline has, and leaves time for all retries of copy.
func TestSampleRunFitsThePipeline(t *testing.T) {
	run := &v1.PipelineRun{}
	load(t, "../pipelines/samples/run.yaml", run)
	p := pipeline(t)
	tektontest.CheckFits(t, p, run)
	var tasks time.Duration
	for _, task := range p.Spec.Tasks {
		tasks += time.Duration(1+task.Retries) * task.Timeout.Duration
	}
	if tasks > run.Spec.Timeouts.Tasks.Duration {
		t.Errorf("the tasks may take %s, and timeouts.tasks is %s", tasks, run.Spec.Timeouts.Tasks.Duration)
	}
}

// What is not known or there by a deadline fails alone, so the deadline is below the task's
// timeout.
func TestDeadlinesAreBelowTheTimeoutsOfTheirTasks(t *testing.T) {
	p := pipeline(t)
	for name, param := range map[string]string{"split": "deadline", "copy": "copy-deadline"} {
		timeout := p.Spec.Tasks[slices.IndexFunc(p.Spec.Tasks, func(task v1.PipelineTask) bool { return task.Name == name })].Timeout.Duration
		for where, params := range map[string]v1.ParamSpecs{"the Pipeline": p.Spec.Params, "the Task": named(t)["mirror-"+name].Spec.Params} {
			at := slices.IndexFunc(params, func(p v1.ParamSpec) bool { return p.Name == param })
			if at < 0 {
				t.Errorf("%s has no parameter %s", where, param)
				continue
			}
			if d, err := time.ParseDuration(params[at].Default.StringVal); err != nil || d > timeout*4/5 {
				t.Errorf("the %s in %s is %s, and the timeout of %s %s", param, where, params[at].Default.StringVal, name, timeout)
			}
		}
	}
}

// The defaults of a set's settings are those of the Pipeline and the sample.
func TestDefaultsAreThoseOfSettings(t *testing.T) {
	d := settings.Settings{}.WithDefaults()
	want := map[string]int{"shards": d.Shards, "cap": d.Cap, "retries": d.Retries}
	for _, param := range pipeline(t).Spec.Params {
		if n, ok := want[param.Name]; ok {
			if got := param.Default.StringVal; got != strconv.Itoa(n) {
				t.Errorf("the Pipeline's default of %s is %s, and that of the settings is %d", param.Name, got, n)
			}
			delete(want, param.Name)
		}
	}
	for name := range want {
		t.Errorf("the Pipeline has no parameter %s", name)
	}
	run := &v1.PipelineRun{}
	load(t, "../pipelines/samples/run.yaml", run)
	at := run.Spec.Timeouts
	if at.Pipeline.Duration != d.Timeout || at.Finally.Duration != settings.ForReport || at.Tasks.Duration != d.Timeout-settings.ForReport {
		t.Errorf("the sample's timeouts are %v, and those of the settings are %s, with %s for report",
			at, d.Timeout, settings.ForReport)
	}
}

// The Pipeline passes each task only parameters and workspaces that it has, and all that it needs.
func TestPipelineFitsItsTasks(t *testing.T) {
	byName := named(t)
	p := pipeline(t)
	for _, use := range append(p.Spec.Tasks, p.Spec.Finally...) {
		task := byName[use.TaskRef.Name]
		if task == nil {
			t.Errorf("%s: there is no task %s", use.Name, use.TaskRef.Name)
			continue
		}
		params := use.Params
		if use.Matrix != nil {
			params = append(params, use.Matrix.Params...)
		}
		checkParams(t, use.Name, task, params)
		for _, w := range task.Spec.Workspaces {
			if !uses(use, w.Name) {
				t.Errorf("%s: the workspace %s is not given", use.Name, w.Name)
			}
		}
	}
}

// checkParams checks that a task gets only parameters that it has, and all that it needs.
func checkParams(t *testing.T, where string, task *v1.Task, params v1.Params) {
	t.Helper()
	given := map[string]bool{}
	for _, param := range params {
		given[param.Name] = true
	}
	for _, param := range task.Spec.Params {
		if param.Default == nil && !given[param.Name] {
			t.Errorf("%s: the parameter %s is not given", where, param.Name)
		}
		delete(given, param.Name)
	}
	for name := range given {
		t.Errorf("%s: %s has no parameter %s", where, task.Name, name)
	}
}

func uses(task v1.PipelineTask, workspace string) bool {
	for _, w := range task.Workspaces {
		if w.Name == workspace {
			return true
		}
	}
	return false
}

// Tekton skips a finally task that uses a missing result. report has to run whatever happened,
// so that it uses none.
func TestReportTakesNoResults(t *testing.T) {
	for _, task := range pipeline(t).Spec.Finally {
		for _, param := range task.Params {
			if strings.Contains(param.Value.StringVal, ".results.") {
				t.Errorf("%s takes %s", task.Name, param.Value.StringVal)
			}
		}
	}
}

var table = regexp.MustCompile(`(?s)(<!-- from the YAML: go test ./tasks -update -->\n).*?(<!-- end -->\n)`)

func TestReadmesAreCurrent(t *testing.T) {
	want := map[string]string{}
	for file, task := range tasks(t) {
		want[filepath.Join(filepath.Dir(file), "README.md")] = tables(task.Spec.Params, workspaces(task.Spec.Workspaces), results(task.Spec.Results))
	}
	for file, p := range map[string]*v1.Pipeline{"../pipelines/README.md": pipeline(t), "../pipelines/presubmit.md": presubmit(t)} {
		var declared []row
		for _, w := range p.Spec.Workspaces {
			declared = append(declared, row{w.Name, w.Optional, w.Description})
		}
		var emitted []row
		for _, r := range p.Spec.Results {
			emitted = append(emitted, row{r.Name, false, r.Description})
		}
		want[file] = tables(p.Spec.Params, declared, emitted)
	}
	for file, content := range want {
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !table.Match(got) {
			t.Fatalf("%s has no comments that enclose the tables", file)
		}
		updated := table.ReplaceAllString(string(got), "${1}"+strings.ReplaceAll(content, "$", "$$")+"${2}")
		if *update {
			if err := os.WriteFile(file, []byte(updated), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if diff := cmp.Diff(updated, string(got)); diff != "" {
			t.Errorf("%s differs from the YAML; run go test ./tasks -update (-YAML +README):\n%s",
				file, diff)
		}
	}
}

// A row is a workspace or a result.
type row struct {
	name        string
	optional    bool
	description string
}

func workspaces(all []v1.WorkspaceDeclaration) []row {
	var rows []row
	for _, w := range all {
		rows = append(rows, row{w.Name, w.Optional, w.Description})
	}
	return rows
}

func results(all []v1.TaskResult) []row {
	var rows []row
	for _, r := range all {
		rows = append(rows, row{r.Name, false, r.Description})
	}
	return rows
}

func tables(params v1.ParamSpecs, workspaces, results []row) string {
	var b strings.Builder
	b.WriteString("| parameter | default | meaning |\n|---|---|---|\n")
	for _, p := range params {
		value := "required"
		if p.Default != nil {
			value = fmt.Sprintf("`%q`", p.Default.StringVal)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", p.Name, value, line(p.Description))
	}
	if len(workspaces) > 0 {
		b.WriteString("\n| workspace | | meaning |\n|---|---|---|\n")
	}
	for _, w := range workspaces {
		needed := map[bool]string{true: "optional", false: "required"}[w.optional]
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", w.name, needed, line(w.description))
	}
	if len(results) > 0 {
		b.WriteString("\n| result | meaning |\n|---|---|\n")
	}
	for _, r := range results {
		fmt.Fprintf(&b, "| `%s` | %s |\n", r.name, line(r.description))
	}
	return b.String()
}

func line(s string) string { return strings.Join(strings.Fields(s), " ") }
