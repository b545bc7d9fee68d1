package kustomization

import (
	"os"
	"strings"
	"testing"
)

// The ConfigMaps of a set and of the policy have the files that their rules name, and a set's
// directory has no others.
func TestNamedFilesAreInstalled(t *testing.T) {
	tree(t, map[string]string{
		"sets/base/kustomization.yaml": "",
		"sets/policy.yaml":             "apiVersion: imagemirror/v1\nkind: Policy\nspec:\n  verify: {anyOf: [{key: policy-a.pub}]}\n  sets: {web: {verify: {anyOf: [{key: policy-b.pub}]}}}\n",
		"sets/policy-a.pub":            "a",
		"sets/web/OWNERS":              "approvers: [ann]\n",
		"sets/web/settings.yaml":       "apiVersion: imagemirror/v1\nkind: Settings\nmetadata: {name: web}\nspec:\n  verify: {anyOf: [{key: web.pub}, {issuer: a, subject: b, trustedRoot: a.json}]}\n",
		"sets/web/web.pub":             "a",
		"sets/web/a.json":              "{}",
		"sets/web/mapping_web":         "a.example/b:c d.example/e:f\n",
	})
	read, found := Read("sets")
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := read.Write(); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"sets/web/kustomization.yaml": "      - OWNERS\n      - settings.yaml\n      - a.json\n      - web.pub\n      - mapping_web\n",
		"sets/kustomization.yaml":     "      - policy.yaml\n      - policy-a.pub\n      - policy-b.pub\n",
	} {
		if text, _ := os.ReadFile(file); !strings.Contains(string(text), want) {
			t.Errorf("%s does not list\n%s:\n%s", file, want, text)
		}
	}
	for file, want := range map[string]string{
		"sets/web/other.pub": "sets/web/other.pub:1: spec.verify of settings.yaml does not name this file: name it there, or remove it",
		"sets/web/x.txt":     "sets/web/x.txt:1: an image set has only OWNERS",
	} {
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := Check([]string{"sets/web"}).Err(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
}
