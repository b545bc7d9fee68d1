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
)

// The main run with its mappings and its state on one claim, by subPath, and no right to anything of the API.
func TestStateOnAVolume(t *testing.T) {
	s := newSpace(t)
	tags := s.fill(forty)
	s.kubectl("delete", "rolebinding,role", "mirror-state")
	s.claim("mirror")
	for name, content := range s.configMapData("set") {
		s.write("mirror", "sets/"+set+"/"+name, content)
	}
	onVolume := func(run *v1.PipelineRun) {
		sixShards(run)
		run.Spec.Workspaces = append(run.Spec.Workspaces, mounted("mirror", "mappings", "sets/"+set), mounted("mirror", "state", "runs"))
	}
	on := s.checkRuns(tags, func(name string) *ended {
		s.start(name, "", onVolume)
		e := s.await(name)
		e.report = s.parse(s.filesOnVolume(name, "mirror", "runs"))
		return e
	})
	if on != 1 {
		t.Errorf("the copies ran on %d nodes, want that of the claim", on)
	}
	if names := s.names("configmaps", "imagemirror/run"); len(names) > 0 {
		t.Errorf("with the state on a volume there are the ConfigMaps %s", names)
	}
}

func mounted(claim, workspace, subPath string) v1.WorkspaceBinding {
	return v1.WorkspaceBinding{
		Name: workspace, SubPath: subPath, PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim},
	}
}

// claim makes a claim, and has it bound before any pod wants it.
func (s *space) claim(name string) {
	s.t.Helper()
	s.apply(`
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: ` + name + `
  annotations: {volume.kubernetes.io/selected-node: ` + s.nodes[len(s.nodes)-1] + `}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 16Mi}}
`)
	s.kubectl("wait", "pvc", name, "--for=jsonpath={.status.phase}=Bound", "--timeout=3m")
}

// write writes a file into a claim's volume, which is a folder of its node, as whoever fills it would: no pod here has a shell.
func (s *space) write(claim, file, content string) {
	s.t.Helper()
	pvc, pv := &corev1.PersistentVolumeClaim{}, &corev1.PersistentVolume{}
	s.get(pvc, "persistentvolumeclaims", claim)
	if err := json.Unmarshal([]byte(s.kubectl("get", "pv", pvc.Spec.VolumeName, "--output=json")), pv); err != nil {
		s.t.Fatal(err)
	}
	var root string
	switch source := pv.Spec.PersistentVolumeSource; {
	case source.HostPath != nil:
		root = source.HostPath.Path
	case source.Local != nil:
		root = source.Local.Path
	default:
		s.t.Fatalf("the volume %s is no folder of a node", pv.Name)
	}
	at := path.Join(root, file)
	cmd := exec.CommandContext(s.t.Context(), "docker", "exec", "--interactive", s.nodes[len(s.nodes)-1],
		"sh", "-c", `mkdir -p "$(dirname "$1")" && cat > "$1"`, "sh", at)
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

// filesOnVolume gets the report of a run whose state is on a claim with the command of docs/how-to/read-a-report.md.
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
	command := regexp.MustCompile(`    .* kubectl create --filename fetch.yaml .*\n(?:    .*\n)*`).FindString(string(document))
	if command == "" {
		s.t.Fatal("docs/how-to/read-a-report.md has no command with fetch.yaml")
	}
	dir := s.t.TempDir()
	pod := strings.NewReplacer("mirror-knative-state", claim, "mirror-knative-abcde", run, `subPath: ""`, "subPath: "+subPath,
		"mirror-knative", s.name, "IMAGE", s.image("report")).Replace(string(sample))
	if err := os.WriteFile(filepath.Join(dir, "fetch.yaml"), []byte(pod), 0o600); err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.CommandContext(s.t.Context(), "sh", "-c", strings.ReplaceAll(command, "NAMESPACE", s.name))
	cmd.Dir = dir
	if _, err := output(cmd); err != nil {
		s.t.Fatal(err)
	}
	return s.read(filepath.Join(dir, "report"))
}

// image is what the step of a Task is made of in the cluster.
func (s *space) image(task string) string {
	s.t.Helper()
	t := &v1.Task{}
	s.get(t, "tasks", "mirror-"+task)
	return t.Spec.Steps[0].Image
}
