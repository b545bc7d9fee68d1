//go:build e2e

package e2e

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// The variables by which the tests find a cluster. If the first is unset, the command in the module
// cluster brings one up and prints all that are needed.
const (
	kubeconfigVar = "IMAGEMIRROR_E2E_KUBECONFIG" // a file whose user may do everything
	registryVar   = "IMAGEMIRROR_E2E_REGISTRY"   // HOST[/PATH] to push to, and for nodes to pull from
	hostVar       = "IMAGEMIRROR_E2E_HOST"       // address by which pods reach this machine
)

// errUnavailable means that this machine cannot have a cluster.
var errUnavailable = errors.New("no tests on a cluster")

// findCluster prepares the environment of this process, so that it and the programs that it starts
// find the cluster. It brings up a cluster, with the help of a program in dir, if none is named.
func findCluster(ctx context.Context, dir string) error {
	if os.Getenv(kubeconfigVar) == "" {
		settings, err := bringUpCluster(ctx, dir)
		if err != nil {
			return err
		}
		for name, value := range settings {
			os.Setenv(name, value)
		}
	}
	if os.Getenv(registryVar) == "" {
		return fmt.Errorf("%s is unset: set it to a registry (HOST or HOST/PATH) that this machine "+
			"can push to and the nodes of the cluster pull from", registryVar)
	}
	return os.Setenv("KUBECONFIG", os.Getenv(kubeconfigVar))
}

// bringUpCluster runs the command in the module cluster, and returns the variables that it prints.
func bringUpCluster(ctx context.Context, dir string) (map[string]string, error) {
	program := filepath.Join(dir, "cluster")
	build := exec.CommandContext(ctx, "go", "-C", "cluster", "build", "-o", program, "./cmd")
	if _, err := output(build); err != nil {
		return nil, err
	}
	var messages bytes.Buffer
	up := exec.CommandContext(ctx, program, "up")
	up.Dir, up.Stderr = "cluster", io.MultiWriter(os.Stderr, &messages)
	out, err := up.Output()
	if err != nil {
		if up.ProcessState.ExitCode() == 3 {
			err = errUnavailable
		}
		lines := strings.Split(strings.TrimSpace(messages.String()), "\n")
		reason := strings.TrimPrefix(lines[len(lines)-1], "cluster: ")
		return nil, fmt.Errorf("%w: %s, or set %s", err, reason, kubeconfigVar)
	}
	settings := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		settings[name] = strings.ReplaceAll(strings.Trim(value, "'"), `'\''`, "'")
	}
	return settings, nil
}

// findNodes returns the names of the cluster's nodes, the control plane's first, and the address by
// which pods reach this machine. It is the one that this machine's packets to a node come from.
func (a *api) findNodes(ctx context.Context) (names []string, host string, err error) {
	list, err := a.client.Resource(corev1.SchemeGroupVersion.WithResource("nodes")).
		List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, "", err
	}
	host = os.Getenv(hostVar)
	for _, item := range list.Items {
		names = append(names, item.GetName())
		addresses, _, _ := unstructured.NestedSlice(item.Object, "status", "addresses")
		for _, address := range addresses {
			if of, _ := address.(map[string]any); of["type"] == string(corev1.NodeInternalIP) {
				host = cmp.Or(host, addressToward(fmt.Sprint(of["address"])))
			}
		}
	}
	if host == "" {
		err = fmt.Errorf("no address by which pods reach this machine: set %s", hostVar)
	}
	return names, host, err
}

// addressToward returns this machine's address on the route to another, or "".
func addressToward(other string) string {
	const anyPort = "9" // nothing is sent
	c, err := net.Dial("udp", net.JoinHostPort(other, anyPort))
	if err != nil {
		return ""
	}
	defer c.Close()
	host, _, _ := net.SplitHostPort(c.LocalAddr().String())
	return host
}
