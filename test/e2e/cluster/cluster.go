// Package cluster brings up a real Kubernetes cluster for the end-to-end tests: three nodes of kind's, a registry that they and
// this machine reach under one name, Tekton Pipelines and Tekton Triggers. Where no published images are to be had, it makes them,
// from Go modules and Debian's packages; README.md in the folder above tells how. All that takes long is kept in the user's cache
// directory, under a hash of what it was made from.
package cluster

import (
	"context"
	"io"
	"os"
	"os/exec"
)

const (
	// Kubernetes is the version of the cluster.
	Kubernetes = "v1.35.4"
	// Tekton is the version of Tekton Pipelines in it.
	Tekton = "v1.15.0"
	// Triggers is the version of Tekton Triggers in it.
	Triggers = "v0.34.0"
	// Registry is the host of the cluster's registry, from this machine and from the nodes. It speaks plain HTTP.
	Registry = "localhost:5050"

	clusterName = "imagemirror-e2e"
)

// Cluster is one that is up.
type Cluster struct {
	Kubeconfig string   // path of the file
	Nodes      []string // their names: the control plane's, then the workers'
	Host       string   // address at which pods and nodes reach this machine

	machine *machine
}

// Unavailable is why this machine can have no cluster. Tests that need one are skipped then.
type Unavailable struct{ Reason string }

func (u *Unavailable) Error() string { return "this machine can have no cluster: " + u.Reason }

// Up brings up the cluster, or what is missing of it, and says on progress what it does. It can be called again at any time, also
// after one that failed, or was killed. The error can be an *Unavailable.
func Up(ctx context.Context, progress io.Writer) (*Cluster, error) {
	m, unlock, err := open(ctx, progress)
	if err != nil {
		return nil, err
	}
	defer unlock()
	for _, step := range []func(context.Context) error{
		m.haveDocker,
		m.haveTools,
		m.haveNodes,
		m.haveRegistry,
		m.haveTekton,
		m.haveTriggers,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	m.say("the cluster is up")
	return m.describe(ctx)
}

// Down removes the cluster and its registry, and ends the Docker daemon if Up started it. What Up built is kept.
func Down(ctx context.Context, progress io.Writer) error {
	m, unlock, err := open(ctx, progress)
	if err != nil {
		return err
	}
	defer unlock()
	m.say("removing the cluster")
	if err := os.RemoveAll(m.path("run", "cluster")); err != nil {
		return err
	}
	if !m.findDocker(ctx) {
		return nil
	}
	if err := m.removeNodes(ctx); err != nil {
		return err
	}
	if err := m.removeRegistry(ctx); err != nil {
		return err
	}
	return m.stopDocker(ctx)
}

// Settings are the variables, as NAME=VALUE, by which kubectl, tkn, ko, kind and docker are found and speak to the cluster.
func (c *Cluster) Settings() []string { return c.machine.settings() }

// Command is one of these programs, with arguments, ready to run.
func (c *Cluster) Command(ctx context.Context, program string, args ...string) *exec.Cmd {
	return c.machine.command(ctx, program, args...)
}
