// Package cluster brings up a Kubernetes cluster for the end-to-end tests: three nodes made with
// kind, a registry that the nodes and this machine reach by the same name, Tekton Pipelines and
// Tekton Triggers. If kind's published node image cannot be pulled, everything is built from Go
// modules and Debian packages. What takes long is kept in the user's cache directory, under a hash
// of its inputs. README.md explains how the parts are made.
package cluster

import (
	"context"
	"io"
	"os"
)

const (
	kubernetesVersion = "v1.35.4"
	pipelinesVersion  = "v1.15.0"
	triggersVersion   = "v0.34.0"

	// registryHost is the cluster's registry, by the name that this machine and the nodes use. It
	// speaks plain HTTP.
	registryHost = "localhost:5050"

	clusterName = "imagemirror-e2e"
)

// Unavailable means that this machine cannot have a cluster.
type Unavailable struct{ Reason string }

func (u *Unavailable) Error() string { return "this machine cannot have a cluster: " + u.Reason }

// Up brings up the cluster, or what is missing of it, and writes its progress. It may be called
// again at any time, even after an earlier call failed or was killed. It returns the environment
// variables, as NAME=VALUE, by which programs and the tests find the cluster. The error may be an
// *Unavailable.
func Up(ctx context.Context, progress io.Writer) ([]string, error) {
	m, unlock, err := open(ctx, progress)
	if err != nil {
		return nil, err
	}
	defer unlock()
	for _, ensure := range []func(context.Context) error{
		m.ensureDocker,
		m.ensureTools,
		m.ensureNodes,
		m.ensureRegistry,
		m.ensurePipelines,
		m.ensureTriggers,
	} {
		if err := ensure(ctx); err != nil {
			return nil, err
		}
	}
	m.logf("the cluster is up")
	return m.settings(), nil
}

// Down removes the cluster and its registry, and stops the Docker daemon if Up started it. It keeps
// what Up built.
func Down(ctx context.Context, progress io.Writer) error {
	m, unlock, err := open(ctx, progress)
	if err != nil {
		return err
	}
	defer unlock()
	m.logf("removing the cluster")
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
