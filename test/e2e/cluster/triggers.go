package cluster

import (
	"bytes"
	"context"
	"slices"
	"time"
)

var triggers = project{
	title: "Tekton Triggers", version: triggersVersion,
	dir: "triggers", module: "github.com/tektoncd/triggers", takes: "3 minutes",
	recipes: []string{"tekton.go", "triggers.go"},
	published: []string{
		releases + "triggers/previous/" + triggersVersion + "/release.yaml",
		releases + "triggers/previous/" + triggersVersion + "/interceptors.yaml",
	},
	built: slices.Concat([]setting{{`(?m): "?devel"?$`, `: "` + triggersVersion + `"`}}, alone),
	label: keyLabel + "-triggers",
	apply: (*machine).applyTriggers,
}

// ensureTriggers installs Tekton Triggers, unless the cluster has it.
func (m *machine) ensureTriggers(ctx context.Context) error { return m.ensure(ctx, triggers) }

func (m *machine) applyTriggers(ctx context.Context, file string) error {
	// Its interceptors are objects of a kind that is defined beside them. The API server knows that
	// kind only a moment after it was applied.
	err := until(ctx, time.Minute, "the definitions of Tekton Triggers", func() bool {
		return run(m.command(ctx, "kubectl", "apply", "--server-side", "--force-conflicts",
			"--filename", file)) == nil
	})
	if err != nil {
		return err
	}
	if err := m.rollOut(ctx, "tekton-pipelines"); err != nil {
		return err
	}
	return until(ctx, time.Minute, "the start of Tekton Triggers' webhook", func() bool {
		return m.admitsBinding(ctx)
	})
}

// admitsBinding reports whether Tekton Triggers accepts a TriggerBinding, and whether its
// interceptors have their certificate.
func (m *machine) admitsBinding(ctx context.Context) bool {
	if !m.admits(ctx, `{"apiVersion": "triggers.tekton.dev/v1beta1", "kind": "TriggerBinding",
		"metadata": {"name": "probe"},
		"spec": {"params": [{"name": "probe", "value": "probe"}]}}`) {
		return false
	}
	out, err := output(m.command(ctx, "kubectl", "get", "clusterinterceptor", "cel",
		"--output", "jsonpath={.spec.clientConfig.caBundle}"))
	return err == nil && len(bytes.TrimSpace(out)) > 0
}
