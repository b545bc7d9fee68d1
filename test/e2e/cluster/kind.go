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

// publishedNode is kind's image of a node, where it is to be had.
const publishedNode = "kindest/node:" + Kubernetes

// haveNodes sees to it that the nodes run. A cluster that was made differently, or does not run as it was made, is made anew.
func (m *machine) haveNodes(ctx context.Context) error {
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
		return fmt.Errorf("a node has ended again:\n%s", starts)
	}
	return os.WriteFile(m.path("run", "cluster"), []byte(key+starts), 0o644)
}

func (m *machine) createNodes(ctx context.Context, image string) error {
	m.say("creating three nodes (half a minute)")
	err := run(m.command(ctx, "kind", "create", "cluster", "--name", clusterName, "--image", image,
		"--config", filepath.Join(m.source, "node", "kind.yaml"), "--kubeconfig", m.path("kubeconfig")))
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
		if err := m.knowRegistry(ctx, n); err != nil {
			return err
		}
	}
	if err := run(m.command(ctx, "kubectl", "wait", "--for=condition=Ready", "nodes", "--all", "--timeout=3m")); err != nil {
		return err
	}
	return m.rollOut(ctx, "kube-system", "local-path-storage")
}

// rollOut waits until the deployments of some namespaces are there as they should be.
func (m *machine) rollOut(ctx context.Context, namespaces ...string) error {
	for _, namespace := range namespaces {
		if err := run(m.command(ctx, "kubectl", "--namespace", namespace, "rollout", "status", "deployment", "--timeout=4m")); err != nil {
			return err
		}
	}
	return nil
}

// nodesKey tells how nodes are made.
func (m *machine) nodesKey(image string) (string, error) {
	files, err := m.folder("node")
	return keyOf(image, files, recipe("kind.go", "network.go", "registry.go")), err
}

// nodeImage is what the nodes are made of: the published image if the machine's own daemon has it or can pull it, or else one that
// is built here.
func (m *machine) nodeImage(ctx context.Context) (string, error) {
	if m.docker == "" && m.havePublished(ctx) {
		m.published = true
		return publishedNode, nil
	}
	return m.buildNodeImage(ctx)
}

// havePublished pulls the published image. It asks first whether that can be done, which takes seconds where it cannot.
func (m *machine) havePublished(ctx context.Context) bool {
	if m.hasImage(ctx, publishedNode) {
		return true
	}
	tag, err := name.NewTag(publishedNode)
	if err != nil {
		return false
	}
	quick := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: 5 * time.Second, ResponseHeaderTimeout: 5 * time.Second}
	asking, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, err := remote.Head(tag, remote.WithContext(asking), remote.WithTransport(quick)); err != nil {
		return false
	}
	m.say("pulling %s", publishedNode)
	return run(m.command(ctx, "docker", "pull", publishedNode)) == nil
}

// containers are the IDs of the nodes', running or not.
func (m *machine) containers(ctx context.Context) ([]string, error) {
	out, err := output(m.command(ctx, "docker", "ps", "--all", "--quiet", "--filter", "label=io.x-k8s.kind.cluster="+clusterName))
	return strings.Fields(string(out)), err
}

// nodesRun says whether all nodes run, are made as they would be now, and have run since. Those that were started again, as a Docker
// daemon does with what it finds, are without the routes and rules of the pods' network, and Kubernetes in them is not ready.
func (m *machine) nodesRun(ctx context.Context, key string) (bool, error) {
	made, err := os.ReadFile(m.path("run", "cluster"))
	if err != nil {
		return false, nil // it was never made whole
	}
	starts, err := m.nodeStarts(ctx)
	return string(made) == key+starts, err
}

// nodeStarts says since when each node's container runs, or what else it does.
func (m *machine) nodeStarts(ctx context.Context) (string, error) {
	containers, err := m.containers(ctx)
	if err != nil || len(containers) == 0 {
		return "", err
	}
	slices.Sort(containers)
	args := append([]string{"inspect", "--format", "{{.Name}} {{.State.Status}} {{.State.StartedAt}}"}, containers...)
	out, err := output(m.command(ctx, "docker", args...))
	return "\n" + string(out), err
}

func (m *machine) removeNodes(ctx context.Context) error {
	containers, err := m.containers(ctx)
	if err != nil || len(containers) == 0 {
		return err
	}
	return run(m.command(ctx, "docker", append([]string{"rm", "--force", "--volumes"}, containers...)...))
}

// node is what the pods' network, and the tests, have to know of one.
type node struct {
	name    string
	address string // of the node itself
	pods    string // addresses of the pods on it, as a CIDR
}

// nodes asks the cluster for its nodes, the control plane's first.
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

// describe tells of the cluster what its users need.
func (m *machine) describe(ctx context.Context) (*Cluster, error) {
	nodes, err := m.nodes(ctx)
	if err != nil {
		return nil, err
	}
	c := &Cluster{Kubeconfig: m.path("kubeconfig"), machine: m}
	for _, n := range nodes {
		c.Nodes = append(c.Nodes, n.name)
	}
	network, err := m.network(ctx)
	c.Host = network.Gateway
	return c, err
}
