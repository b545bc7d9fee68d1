package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
)

// allPods is kind's default address range for pods.
const allPods = "10.244.0.0/16"

// connect configures the pods' network: on each node an address range for its pods, a route to the
// pods of each other node, and rules for what leaves the node.
func (m *machine) connect(ctx context.Context, nodes []node) error {
	network, err := m.network(ctx)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		if err := m.route(ctx, n, nodes); err != nil {
			return err
		}
		rules := m.on(ctx, n, "iptables-legacy-restore", "--noflush")
		rules.Stdin = strings.NewReader(fmt.Sprintf(rulesFormat, allPods, network.Subnet))
		if err := run(rules); err != nil {
			return err
		}
	}
	return nil
}

// rulesFormat is the rules of a node. Packets from pods to anything but pods get the node's
// address, because nothing else has a route back to a pod. Packets to addresses outside of the
// cluster are refused: before kube-proxy knows a service, the machine would send its packets to
// its gateway. Loopback addresses are allowed, because Docker's DNS is one.
const rulesFormat = `*nat
-A POSTROUTING -s %[1]s ! -d %[1]s -j MASQUERADE
COMMIT
*filter
:STAY -
-A STAY -d 127.0.0.0/8 -j RETURN
-A STAY -d %[1]s -j RETURN
-A STAY -d %[2]s -j RETURN
-A STAY -j REJECT
-A OUTPUT -o eth0 -j STAY
-A FORWARD -o eth0 -j STAY
COMMIT
`

// route configures the network plugins of a node, and its routes to the pods of other nodes.
func (m *machine) route(ctx context.Context, n node, nodes []node) error {
	plugins, err := json.Marshal(podNetwork(n))
	if err != nil {
		return err
	}
	if err := run(m.write(ctx, n, "/etc/cni/net.d/10-pods.conflist", string(plugins))); err != nil {
		return err
	}
	for _, other := range nodes {
		if other == n {
			continue
		}
		if err := run(m.on(ctx, n, "ip", "route", "replace", other.pods, "via", other.address)); err != nil {
			return err
		}
	}
	return nil
}

// A network is the Docker network of the nodes.
type network struct{ Subnet string }

func (m *machine) network(ctx context.Context) (network, error) {
	out, err := output(m.command(ctx, "docker", "network", "inspect",
		"--format", "{{json .IPAM.Config}}", "kind"))
	if err != nil {
		return network{}, err
	}
	var all []network
	if err := json.Unmarshal(out, &all); err != nil {
		return network{}, err
	}
	for _, n := range all {
		if strings.Contains(n.Subnet, ".") {
			return n, nil
		}
	}
	return network{}, fmt.Errorf("the Docker network \"kind\" has no IPv4 range: %s", out)
}

type object = map[string]any

// podNetwork returns the CNI configuration by which the container runtime connects pods to a node.
func podNetwork(n node) object {
	return object{
		"cniVersion": "0.3.1",
		"name":       "pods",
		"plugins": []object{
			{
				"type": "ptp",
				"ipam": object{
					"type":    "host-local",
					"dataDir": "/run/cni-ipam-state",
					"ranges":  [][]object{{{"subnet": n.pods}}},
					"routes":  []object{{"dst": "0.0.0.0/0"}},
				},
			},
		},
	}
}

// on returns a command that runs a program on a node.
func (m *machine) on(ctx context.Context, n node, program string, args ...string) *exec.Cmd {
	args = append([]string{"exec", "--interactive", n.name, program}, args...)
	return m.command(ctx, "docker", args...)
}

// write returns a command that writes a file on a node, and creates the directories above it.
func (m *machine) write(ctx context.Context, n node, path, content string) *exec.Cmd {
	cmd := m.on(ctx, n, "install", "-D", "-m", "644", "/dev/stdin", path)
	cmd.Stdin = strings.NewReader(content)
	return cmd
}
