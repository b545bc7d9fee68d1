package presubmit

import (
	"path/filepath"
	"testing"
)

// policies has mistakes about the policy of the sets, which has these lines.
var policies = []seeded{
	{name: "a source that the policy does not allow", says: "source docker.io/evil/backdoor:v1 is outside of what image-sets/policy.yaml:4 allows", seed: func(w *world, c cast) place {
		return w.add(c.a, "docker.io/evil/backdoor:v1 quay.io/openshift-knative/new:v1")
	}},
	{name: "the same on Docker Hub without its host, for three destinations", says: "source docker.io/evil/backdoor:v1 is outside", seed: func(w *world, c cast) place {
		return w.add(c.a, "evil/backdoor:v1 quay.io/a/new:v1 quay.io/b/new:v1 quay.io/c/new:v1")
	}},
	{name: "all tags of a host that begins like one that is allowed", says: "source registry.ci.openshift.org.evil/x:* is outside", seed: func(w *world, c cast) place {
		return w.add(c.a, "registry.ci.openshift.org.evil/x:* quay.io/a/new")
	}},
	{name: "a destination that the policy does not allow", says: "destination ghcr.io/a/new:v1 is outside of what image-sets/policy.yaml:5 allows (quay.io)", seed: func(w *world, c cast) place {
		return w.add(c.a, "registry.ci.openshift.org/x:v1 ghcr.io/a/new:v1")
	}},
	{name: "another set's destination", says: "destination quay.io/openshift-knative/new:v1 is outside of what image-sets/policy.yaml:12", seed: func(w *world, c cast) place {
		return w.add(c.b, "registry.ci.openshift.org/x:v1 quay.io/openshift-knative/new:v1")
	}},
	{name: "cap", says: "spec.cap is 1000, and image-sets/policy.yaml:7 allows 128 at most", seed: setting("cap: 1000")},
	{name: "retries", says: "spec.retries is 100, and image-sets/policy.yaml:8", seed: setting("retries: 100")},
	{name: "shards", says: "spec.shards is 256, and image-sets/policy.yaml:6", seed: setting("shards: 256")},
	{name: "a selection of nothing", says: `select has a rule for "quay.io/misspelled" that matches no source of the set's mappings`, seed: setting("select: [{source: quay.io/misspelled, newest: 2}]")},
	{name: "a selection without wildcards", says: "that applies to nothing, since its sources have no wildcard", seed: setting("select: [{source: registry.ci.openshift.org, newest: 2}]")},
	{name: "a broken expression", says: `include "v(" is not a regular expression of RE2`, seed: setting("select: [{source: registry.ci.openshift.org, include: 'v('}]")},
	{name: "timeout", says: "spec.timeout is 168h, and image-sets/policy.yaml:9", seed: setting("timeout: 168h")},
	{name: "every minute", says: "image-sets/policy.yaml:10 allows one every 15m", seed: every("'* * * * *'")},
	{name: "every ten minutes", says: "starts a run 10m after another", seed: every("'*/10 * * * *'")},
	{name: "twice around midnight", says: "starts a run 2m after another", seed: every("'59,1 0,23 * * *'")},
	{name: "destinations that are wider", says: "destination quay.io is more than image-sets/policy.yaml:12", seed: func(w *world, c cast) place {
		return w.add(c.setB+"/settings.yaml", "  destinations: [quay.io]")
	}},
	{name: "sources that are others", says: "source quay.io is more than image-sets/policy.yaml:4", seed: setting("sources: [registry.ci.openshift.org/x, quay.io]")},
	{name: "a policy with a mistake", says: `unknown key "secrets"`, seed: func(w *world, _ cast) place { return w.add("policy.yaml", "  secrets: 1") }},
	{name: "bounds of a set that is not there", says: `no image set "kubfed" is beside the policy`, warning: true, seed: func(w *world, _ cast) place {
		return w.add("policy.yaml", "    kubfed: {cap: 4}")
	}},
	{name: "another spelling", says: "rename it policy.yaml, or remove it", seed: func(w *world, _ cast) place {
		w.write("policy.yml", "")
		return place{"policy.yml", 1}
	}},
	{name: "another spelling of settings", says: "rename it settings.yaml, or remove it", seed: add("Settings.json", "{}")},
	{name: "a policy in a set", says: "the operator's policy is beside the sets: remove the file", seed: add("policy.yaml", "apiVersion: imagemirror/v1\nkind: Policy\n")},
	{name: "a policy under another name on the cluster", says: `the line "  - name: policy" belongs here`, seed: func(w *world, _ cast) place {
		return w.edited(".", "  - name: policy\n", "  - name: others\n", 0)
	}},
	{name: "a policy of another namespace", says: `the line "    namespace: image-mirror" belongs here`, seed: func(w *world, _ cast) place {
		return w.edited(".", "    namespace: image-mirror\n", "    namespace: other\n", 0)
	}},
	{name: "another file as the policy", says: `the line "      - policy.yaml" belongs here`, seed: func(w *world, _ cast) place {
		return w.edited(".", "      - policy.yaml", "      - policy.yaml=README.md", 0)
	}},
}

func setting(line string) func(*world, cast) place {
	return func(w *world, c cast) place { return w.add(c.setA+"/settings.yaml", "  "+line) }
}

func every(schedule string) func(*world, cast) place {
	return func(w *world, c cast) place {
		return place{c.setA + "/settings.yaml", w.replace(c.setA+"/settings.yaml", "7 * * * *", schedule)}
	}
}

// Each mistake is found where it was made, once.
func TestPolicyMistakes(t *testing.T) {
	const text = `apiVersion: imagemirror/v1
kind: Policy
spec:
  sources: [registry.ci.openshift.org]
  destinations: [quay.io]
  shards: 16
  cap: 128
  retries: 20
  timeout: 12h
  interval: 15m
  sets:
    kubefed: {destinations: [quay.io/openshift/kubefed-controller, quay.io/openshift/kubefed-operator]}
`
	w := newWorld(t, filepath.Join("..", "..", "image-sets"))
	w.install()
	w.write("policy.yaml", text)
	w.generate()
	checkSeededIn(t, w, cast{
		a: "knative/mapping_knative_v1_9_quay", setA: "knative",
		b: "kubefed/mapping_kubefed_v0_2_0_quay", setB: "kubefed",
	}, policies)
}
