//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	corev1 "k8s.io/api/core/v1"

	"imagemirror/internal/registrytest"
)

// Mappings and state can be on one claim, by subPath. Then a run needs no right to anything of the
// API, and its report is fetched from there.
func TestStateOnAVolume(t *testing.T) {
	s := newSpace(t)
	requireNodes(t)
	content := s.fill(forty)
	arrived := forty
	arrived.Repository, arrived.Images = "mirror/app", 8
	registrytest.Fill(t, s.copies, arrived)
	s.kubectl("delete", "rolebinding,role", "mirror-state")
	s.claim("mirror")
	for name, content := range s.configMapData("set") {
		s.write("mirror", "sets/"+set+"/"+name, content)
	}
	s.start("run", "", shards(2), func(run *v1.PipelineRun) {
		run.Spec.Workspaces = append(run.Spec.Workspaces,
			mounted("mirror", "mappings", "sets/"+set), mounted("mirror", "state", "runs"))
	})
	e := s.await("run")
	s.checkEnd(e, true, "32 of 40 mappings copied")
	s.checkCounts(s.parse(s.filesOnVolume("run", "mirror", "runs")), 40, 32, 8, 0, 0)
	s.checkArrived("mirror", content.Tags...)
	if len(e.copies) != 2 {
		t.Errorf("%d copies ran, want 2", len(e.copies))
	}
	if names := s.names("configmaps", "imagemirror/run"); len(names) > 0 {
		t.Errorf("the run made the ConfigMaps %s", names)
	}
}

func mounted(claim, workspace, subPath string) v1.WorkspaceBinding {
	source := &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}
	return v1.WorkspaceBinding{Name: workspace, SubPath: subPath, PersistentVolumeClaim: source}
}

// claim makes a claim that is bound before any pod needs it.
func (s *space) claim(name string) {
	s.t.Helper()
	s.apply(`
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: ` + name + `
  annotations: {volume.kubernetes.io/selected-node: ` + s.lastNode() + `}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 16Mi}}
`)
	s.kubectl("wait", "pvc", name, "--for=jsonpath={.status.phase}=Bound", "--timeout=15m")
}

func (s *space) lastNode() string { return s.nodes[len(s.nodes)-1] }

// write writes a file into a claim's volume from outside, because no image here has a shell. The
// volume is a directory of its node.
func (s *space) write(claim, file, content string) {
	s.t.Helper()
	pvc, pv := &corev1.PersistentVolumeClaim{}, &corev1.PersistentVolume{}
	s.get(pvc, "persistentvolumeclaims", claim)
	volume := s.kubectl("get", "pv", pvc.Spec.VolumeName, "--output=json")
	if err := json.Unmarshal([]byte(volume), pv); err != nil {
		s.t.Fatal(err)
	}
	var root string
	switch source := pv.Spec.PersistentVolumeSource; {
	case source.HostPath != nil:
		root = source.HostPath.Path
	case source.Local != nil:
		root = source.Local.Path
	default:
		s.t.Fatalf("the volume %s is not a directory of a node", pv.Name)
	}
	cmd := exec.CommandContext(s.t.Context(), "docker", "exec", "--interactive", s.lastNode(),
		"sh", "-c", `mkdir -p "$(dirname "$1")" && cat > "$1"`, "sh", path.Join(root, file))
	cmd.Stdin = strings.NewReader(content)
	if _, err := output(cmd); err != nil {
		s.t.Fatal(err)
	}
}

func (s *space) configMapData(name string) map[string]string {
	s.t.Helper()
	m := &corev1.ConfigMap{}
	s.get(m, "configmaps", name)
	return m.Data
}

// filesOnVolume fetches the report of a run whose state is on a claim, with the command of
// docs/how-to/read-a-report.md.
func (s *space) filesOnVolume(run, claim, subPath string) map[string][]byte {
	s.t.Helper()
	sample, err := os.ReadFile("../../pipelines/samples/fetch.yaml")
	if err != nil {
		s.t.Fatal(err)
	}
	document, err := os.ReadFile("../../docs/how-to/read-a-report.md")
	if err != nil {
		s.t.Fatal(err)
	}
	command := fetchRE.FindString(string(document))
	if command == "" {
		s.t.Fatal("docs/how-to/read-a-report.md has no command with fetch.yaml")
	}
	dir := s.t.TempDir()
	pod := strings.NewReplacer(
		"mirror-knative-state", claim, "mirror-knative-abcde", run, `subPath: ""`, "subPath: "+subPath,
		"mirror-knative", s.name, "IMAGE", s.image("report"),
	).Replace(string(sample))
	if err := os.WriteFile(filepath.Join(dir, "fetch.yaml"), []byte(pod), 0o600); err != nil {
		s.t.Fatal(err)
	}
	script := strings.ReplaceAll(command, "NAMESPACE", s.name)
	cmd := exec.CommandContext(s.t.Context(), "sh", "-c", script)
	cmd.Dir = dir
	if _, err := output(cmd); err != nil {
		s.t.Fatal(err)
	}
	return s.read(filepath.Join(dir, "report"))
}

var fetchRE = regexp.MustCompile(
	`    .* kubectl create --filename fetch.yaml .*\n(?:    .*\n)*`)

// image returns the image of a Task's step in the cluster.
func (s *space) image(task string) string {
	s.t.Helper()
	t := &v1.Task{}
	s.get(t, "tasks", "mirror-"+task)
	return t.Spec.Steps[0].Image
}
