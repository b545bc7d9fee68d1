package cluster

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"
)

// triggers is Tekton Triggers.
var triggers = project{
	title: "Tekton Triggers", folder: "triggers", module: "github.com/tektoncd/triggers", takes: "3 minutes",
	label: keyLabel + "-triggers", recipes: []string{"tekton.go", "triggers.go"},
	settings: slices.Concat([]setting{{`(?m): "?devel"?$`, `: "` + Triggers + `"`}}, alone),
}

// haveTriggers sees to it that Tekton Triggers serves. It is built as Tekton Pipelines is, wherever the nodes come from.
func (m *machine) haveTriggers(ctx context.Context) error {
	return m.have(ctx, triggers, m.applyTriggers)
}

func (m *machine) applyTriggers(ctx context.Context, key, file string) error {
	m.say("starting Tekton Triggers (half a minute)")
	// Its interceptors are objects of a kind that is defined beside them, and known only a while after that is applied.
	err := until(ctx, time.Minute, "the definitions of Tekton Triggers", func() bool {
		return run(m.command(ctx, "kubectl", "apply", "--server-side", "--force-conflicts", "--filename", file)) == nil
	})
	if err != nil {
		return err
	}
	if err := m.rollOut(ctx, "tekton-pipelines"); err != nil {
		return err
	}
	if err := until(ctx, time.Minute, "the start of Tekton Triggers' webhook", func() bool { return m.admitsTriggers(ctx) }); err != nil {
		return err
	}
	return m.nowServes(ctx, triggers, key)
}

// admitsTriggers says whether Tekton Triggers takes a TriggerBinding, and has its interceptors' certificate in place.
func (m *machine) admitsTriggers(ctx context.Context) bool {
	cmd := m.command(ctx, "kubectl", "create", "--dry-run=server", "--namespace", "default", "--filename", "-")
	cmd.Stdin = strings.NewReader(`{"apiVersion": "triggers.tekton.dev/v1beta1", "kind": "TriggerBinding", "metadata": {"name": "probe"},
		"spec": {"params": [{"name": "probe", "value": "probe"}]}}`)
	if run(cmd) != nil {
		return false
	}
	out, err := output(m.command(ctx, "kubectl", "get", "clusterinterceptor", "cel", "--output", "jsonpath={.spec.clientConfig.caBundle}"))
	return err == nil && len(bytes.TrimSpace(out)) > 0
}
