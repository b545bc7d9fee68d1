package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// publishedNode is the node image that the kind project publishes.
const publishedNode = "kindest/node:" + kubernetesVersion

// ensureNodes makes the nodes, unless they run already. It makes new ones if their inputs have
// changed, or if they were restarted since.
func (m *machine) ensureNodes(ctx context.Context) error {
	image, err := m.nodeImage(ctx)
	if err != nil {
		return err
	}
	key, err := m.nodesKey(image)
	if err != nil {
		return err
	}
	if same, err := m.nodesRun(ctx, key); err != nil || same {
		return err
	}
	if err := os.RemoveAll(m.path("run", "cluster")); err != nil {
		return err
	}
	if err := m.removeNodes(ctx); err != nil {
		return err
	}
	if err := m.createNodes(ctx, image); err != nil {
		return err
	}
	starts, err := m.nodeStarts(ctx)
	if err != nil {
		return err
	}
	if strings.Count(starts, " running ") != 3 {
		return fmt.Errorf("a node has stopped again:\n%s", starts)
	}
	return os.WriteFile(m.path("run", "cluster"), []byte(key+starts), 0o644)
}

func (m *machine) createNodes(ctx context.Context, image string) error {
	m.logf("creating three nodes (half a minute)")
	err := run(m.command(ctx, "kind", "create", "cluster", "--name", clusterName, "--image", image,
		"--config", filepath.Join(m.source, "node", "kind.yaml"),
		"--kubeconfig", m.path("kubeconfig")))
	if err != nil {
		return err
	}
	nodes, err := m.nodes(ctx)
	if err != nil {
		return err
	}
	if err := m.connect(ctx, nodes); err != nil {
		return err
	}
	for _, n := range nodes {
		if err := m.addRegistryHost(ctx, n); err != nil {
			return err
		}
	}
	err = run(m.command(ctx, "kubectl", "wait", "--for=condition=Ready", "nodes", "--all",
		"--timeout=3m"))
	if err != nil {
		return err
	}
	return m.rollOut(ctx, "kube-system", "local-path-storage")
}

// rollOut waits until the deployments of some namespaces are complete.
func (m *machine) rollOut(ctx context.Context, namespaces ...string) error {
	for _, namespace := range namespaces {
		err := run(m.command(ctx, "kubectl", "--namespace", namespace,
			"rollout", "status", "deployment", "--timeout=4m"))
		if err != nil {
			return err
		}
	}
	return nil
}

// nodesKey returns a hash of how the nodes are made.
func (m *machine) nodesKey(image string) (string, error) {
	files, err := m.sources("node")
	return keyOf(image, files, recipe("kind.go", "network.go", "registry.go")), err
}

// nodeImage returns the image of the nodes: the published one if the machine's own daemon has it or
// can pull it, otherwise one that is built here.
func (m *machine) nodeImage(ctx context.Context) (string, error) {
	if m.docker == "" && m.pullPublished(ctx) {
		m.published = true
		return publishedNode, nil
	}
	return m.buildNodeImage(ctx)
}

// pullPublished pulls the published image, and reports whether it is there. It asks the registry
// first, so that a machine without Internet access waits for seconds only.
func (m *machine) pullPublished(ctx context.Context) bool {
	if m.hasImage(ctx, publishedNode) {
		return true
	}
	tag, err := name.NewTag(publishedNode)
	if err != nil {
		return false
	}
	quick := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		TLSHandshakeTimeout:   5 * time.Second,
		ResponseHeaderTimeout: 5 * time.Second,
	}
	asking, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, err := remote.Head(tag, remote.WithContext(asking), remote.WithTransport(quick)); err != nil {
		return false
	}
	m.logf("pulling %s", publishedNode)
	return run(m.command(ctx, "docker", "pull", publishedNode)) == nil
}

// containers returns the IDs of the nodes' containers, running or not.
func (m *machine) containers(ctx context.Context) ([]string, error) {
	out, err := output(m.command(ctx, "docker", "ps", "--all", "--quiet",
		"--filter", "label=io.x-k8s.kind.cluster="+clusterName))
	return strings.Fields(string(out)), err
}

// nodesRun reports whether all nodes run, were made from the current inputs, and were never
// restarted. A Docker daemon restarts the containers that it finds, but then the routes and rules
// of the pods' network are gone and Kubernetes is not ready.
func (m *machine) nodesRun(ctx context.Context, key string) (bool, error) {
	made, err := os.ReadFile(m.path("run", "cluster"))
	if err != nil {
		return false, nil // no cluster was ever completed
	}
	starts, err := m.nodeStarts(ctx)
	return string(made) == key+starts, err
}

// nodeStarts returns a line for each node's container: its name, its status and its start.
func (m *machine) nodeStarts(ctx context.Context) (string, error) {
	containers, err := m.containers(ctx)
	if err != nil || len(containers) == 0 {
		return "", err
	}
	slices.Sort(containers)
	args := []string{"inspect", "--format", "{{.Name}} {{.State.Status}} {{.State.StartedAt}}"}
	out, err := output(m.command(ctx, "docker", append(args, containers...)...))
	return "\n" + string(out), err
}

func (m *machine) removeNodes(ctx context.Context) error {
	containers, err := m.containers(ctx)
	if err != nil || len(containers) == 0 {
		return err
	}
	args := append([]string{"rm", "--force", "--volumes"}, containers...)
	return run(m.command(ctx, "docker", args...))
}

// A node is what the pods' network needs to know of a node.
type node struct {
	name    string
	address string // of the node itself
	pods    string // addresses of its pods, as a CIDR
}

// nodes returns the nodes of the cluster.
func (m *machine) nodes(ctx context.Context) ([]node, error) {
	out, err := output(m.command(ctx, "kubectl", "get", "nodes", "--output", "json"))
	if err != nil {
		return nil, err
	}
	var list struct {
		Items []struct {
			Metadata struct{ Name string }
			Spec     struct{ PodCIDR string }
			Status   struct {
				Addresses []struct{ Type, Address string }
			}
		}
	}
	if err := json.Unmarshal(out, &list); err != nil {
		return nil, err
	}
	var nodes []node
	for _, item := range list.Items {
		n := node{name: item.Metadata.Name, pods: item.Spec.PodCIDR}
		for _, a := range item.Status.Addresses {
			if a.Type == "InternalIP" {
				n.address = a.Address
			}
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}
