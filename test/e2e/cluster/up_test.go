//go:build e2e

package cluster

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// What the end-to-end tests build upon, in one: nodes that are ready, an image in the registry that nodes find, a volume that a
// process without privileges may write to, a ConfigMap as a workspace, pods that the restricted standard admits, and the way from
// a pod to this machine.
func TestPipelineRunsInARestrictedNamespace(t *testing.T) {
	c := up(t)
	if len(c.Nodes) != 3 {
		t.Errorf("the nodes are %q", c.Nodes)
	}
	ask(t, c, "", "kubectl", "wait", "--for=condition=Ready", "nodes", "--all", "--timeout=1m")
	reference := pushSplit(t, c)
	address, reached := listen(t, c)
	ask(t, c, "", "kubectl", "delete", "namespace", "smoke", "--ignore-not-found", "--timeout=2m")
	ask(t, c, strings.NewReplacer("IMAGE", reference, "ADDRESS", address).Replace(smoke), "kubectl", "create", "--filename", "-")
	ask(t, c, "", "kubectl", "--namespace", "smoke", "wait", "pipelinerun", "smoke", "--for=jsonpath={.status.completionTime}", "--timeout=3m")
	if log := ask(t, c, "", "tkn", "--namespace", "smoke", "pipelinerun", "logs", "smoke"); !strings.Contains(log, "level=") {
		t.Errorf("tkn shows no log of split's: %q", log)
	}
	const condition = "jsonpath={.status.conditions[0].status}, {.status.conditions[0].message}"
	if end := ask(t, c, "", "kubectl", "--namespace", "smoke", "get", "pipelinerun", "smoke", "--output", condition); !strings.HasPrefix(end, "True, ") {
		t.Fatalf("the PipelineRun has succeeded: %s\n%s", end, ask(t, c, "", "kubectl", "--namespace", "smoke", "get", "taskruns,pods,events"))
	}
	select {
	case <-reached:
	default:
		t.Errorf("no pod has reached this machine at %s", address)
	}
	ask(t, c, "", "kubectl", "delete", "namespace", "smoke", "--wait=false")
}

const smoke = `
apiVersion: v1
kind: Namespace
metadata:
  name: smoke
  labels: {pod-security.kubernetes.io/enforce: restricted}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: mappings, namespace: smoke}
data:
  mapping_smoke: |
    ADDRESS/from:v1 ADDRESS/to:v1
---
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {name: smoke, namespace: smoke}
spec:
  workspaces:
    - name: mappings
      configMap: {name: mappings}
    - name: state
      volumeClaimTemplate:
        spec:
          accessModes: [ReadWriteOnce]
          resources: {requests: {storage: 1Mi}}
  taskRunTemplate:
    podTemplate:
      securityContext: {fsGroup: 65532}
  pipelineSpec:
    workspaces: [{name: mappings}, {name: state}]
    tasks:
      - name: split
        workspaces: [{name: mappings}, {name: state}]
        taskSpec:
          workspaces: [{name: mappings}, {name: state}]
          steps:
            - name: split
              image: IMAGE
              command: [/split]
              args: [-out, $(workspaces.state.path)/plan, $(workspaces.mappings.path)/mapping_smoke]
              env: [{name: MIRROR_RETRIES, value: "1"}]
              securityContext:
                runAsNonRoot: true
                runAsUser: 65532
                readOnlyRootFilesystem: true
                allowPrivilegeEscalation: false
                capabilities: {drop: [ALL]}
                seccompProfile: {type: RuntimeDefault}
`

// up skips a test where there can be no cluster, unless CI is to have one.
func up(t *testing.T) *Cluster {
	t.Helper()
	c, err := Up(t.Context(), os.Stderr)
	var unavailable *Unavailable
	if errors.As(err, &unavailable) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// listen waits on this machine for someone to connect, which is all that it is good for.
func listen(t *testing.T, c *Cluster) (address string, reached <-chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(c.Host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	came := make(chan struct{})
	go func() {
		if _, err := l.Accept(); err == nil {
			l.Close()
			close(came)
		}
	}()
	return l.Addr().String(), came
}

// pushSplit pushes an image with nothing but the command split, and returns its reference.
func pushSplit(t *testing.T, c *Cluster) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "split")
	if err := run(c.machine.goCommand(t.Context(), ".", "build", "-o", file, "imagemirror/cmd/split")); err != nil {
		t.Fatal(err)
	}
	content, err := image(v1.Config{}, programEntry("split", file))
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(Registry + "/smoke/split:latest")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, content); err != nil {
		t.Fatal(err)
	}
	digest, err := content.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return tag.Context().Digest(digest.String()).String()
}

// ask runs a program that speaks to the cluster, and returns what it says.
func ask(t *testing.T, c *Cluster, input, program string, args ...string) string {
	t.Helper()
	cmd := c.Command(t.Context(), program, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := output(cmd)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
