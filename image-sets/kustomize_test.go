// Package imagesets has no code. Its test compares what kustomize makes of the image sets
// with what a run needs.
package imagesets

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"imagemirror/internal/imageset"
	"imagemirror/internal/kustomization"
	"imagemirror/internal/policy"
	"imagemirror/internal/record"
	"imagemirror/internal/settings"
)

// maxConfigMap is the limit of the API server, in bytes.
const maxConfigMap = 1 << 20

const namespace = "image-mirror"

func build(t *testing.T, dir string) resmap.ResMap {
	t.Helper()
	all, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatalf("kustomize build %s: %v", dir, err)
	}
	return all
}

// find decodes the one object of a kind and a name.
func find[T any](t *testing.T, all resmap.ResMap, kind, name string) *T {
	t.Helper()
	var found []*T
	for _, r := range all.Resources() {
		if r.GetKind() != kind || r.GetName() != name {
			continue
		}
		if r.GetNamespace() != namespace {
			t.Errorf("%s %s is in the namespace %q", kind, name, r.GetNamespace())
		}
		object := new(T)
		if err := yaml.UnmarshalStrict([]byte(r.MustYaml()), object); err != nil {
			t.Fatalf("%s %s: %v", kind, name, err)
		}
		found = append(found, object)
	}
	if len(found) != 1 {
		t.Fatalf("there are %d of %s %s, want one", len(found), kind, name)
	}
	return found[0]
}

// sets returns the names of the image sets in this directory.
func sets(t *testing.T) []string {
	t.Helper()
	owners, err := filepath.Glob("*/OWNERS")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range owners {
		names = append(names, filepath.Dir(file))
	}
	return names
}

func TestEachSet(t *testing.T) {
	for _, set := range sets(t) {
		t.Run(set, func(t *testing.T) { checkSet(t, build(t, set), set) })
	}
}

// All sets are built as one, and each has the same objects as when it is built alone.
func TestAllSets(t *testing.T) {
	names := sets(t)
	if len(names) < 8 {
		t.Fatalf("there are the sets %v, want eight or more", names)
	}
	all, want := build(t, "."), 0
	for _, set := range names {
		checkSet(t, all, set)
		want += build(t, set).Size()
	}
	want++ // the policy
	if all.Size() != want {
		t.Errorf("together the sets are %d objects, and one by one %d", all.Size(), want)
	}
}

// The policy beside the sets is installed with them, in the namespace that the listing names, and
// belongs to no set.
func TestPolicy(t *testing.T) {
	file, err := os.ReadFile(policy.File)
	if err != nil {
		t.Fatal(err)
	}
	m := find[corev1.ConfigMap](t, build(t, "."), "ConfigMap", policy.ConfigMap)
	if diff := cmp.Diff(map[string]string{policy.File: string(file)}, m.Data); diff != "" || len(m.Labels) > 0 {
		t.Errorf("the policy has the labels %v and the data (-file +ConfigMap):\n%s", m.Labels, diff)
	}
	for listing, want := range map[string]string{"": namespace, "namespace: teams\n": "teams"} {
		root := beside(t, "web", map[string][]byte{
			"OWNERS": []byte("approvers: [alice]\n"), "mapping_web": nil, "../" + policy.File: file, "../kustomization.yaml": []byte(listing),
		})
		for _, r := range build(t, root).Resources() {
			if r.GetNamespace() != want {
				t.Errorf("%s %s is in the namespace %q, want %q", r.GetKind(), r.GetName(), r.GetNamespace(), want)
			}
		}
	}
}

// Without a policy, the listing has none.
func TestNoPolicy(t *testing.T) {
	root := beside(t, "web", map[string][]byte{"OWNERS": []byte("approvers: [alice]\n"), "mapping_web": nil})
	if all, one := build(t, root), build(t, filepath.Join(root, "web")); all.Size() != one.Size() {
		t.Errorf("all sets are %d objects, and the only one %d", all.Size(), one.Size())
	}
}

// The policy allows the sets that it names to publish where their settings say.
func TestPolicyFits(t *testing.T) {
	file, err := os.ReadFile(policy.File)
	if err != nil {
		t.Fatal(err)
	}
	p, found := policy.Parse(policy.File, file)
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	input, err := imageset.Load(sets(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	of := map[string]*imageset.Set{}
	for _, set := range input.Sets {
		of[set.Name] = set
	}
	for name := range p.Sets {
		b, set := p.For(name), of[name]
		if set == nil {
			t.Errorf("%s is about %s, which is no set", policy.File, name)
			continue
		}
		if got, want := b.Destinations.String(), set.Settings.Destinations.String(); got != want {
			t.Errorf("%s may publish to %s by the policy, and to %s by its settings", set.Name, got, want)
		}
	}
}

// checkSet looks for what an installed set needs, in the objects of one or more.
func checkSet(t *testing.T, all resmap.ResMap, set string) {
	t.Helper()
	account := find[corev1.ServiceAccount](t, all, "ServiceAccount", "mirror-"+set)
	if diff := cmp.Diff([]corev1.ObjectReference{{Name: "push-" + set}}, account.Secrets); diff != "" {
		t.Errorf("the service account's secrets (-want +got):\n%s", diff)
	}
	binding := find[rbacv1.RoleBinding](t, all, "RoleBinding", "mirror-"+set)
	reporter := find[corev1.ServiceAccount](t, all, "ServiceAccount", "report-"+set).Name
	want := []rbacv1.Subject{{Kind: "ServiceAccount", Name: account.Name, Namespace: namespace}, {Kind: "ServiceAccount", Name: reporter, Namespace: namespace}}
	if !cmp.Equal(want, binding.Subjects) || binding.RoleRef.Name != "mirror-state" {
		t.Errorf("%v are bound to %s, want %v to mirror-state", binding.Subjects, binding.RoleRef.Name, want)
	}
	checkRecord(t, all, set)
	checkCronJob(t, find[batchv1.CronJob](t, all, "CronJob", "mirror-"+set), set)
	checkFiles(t, all, set, set)
	for _, r := range all.Resources() {
		if kind := r.GetKind(); kind == "Secret" || kind == settings.Kind {
			t.Errorf("%s %s would be applied, and is there for kustomize alone", kind, r.GetName())
		}
	}
}

// checkRecord checks that the ConfigMaps of the set's record can be changed by report alone.
func checkRecord(t *testing.T, all resmap.ResMap, set string) {
	t.Helper()
	find[corev1.ConfigMap](t, all, "ConfigMap", "record-"+set)
	role := find[rbacv1.Role](t, all, "Role", "report-"+set)
	want := []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: record.Names(set), Verbs: []string{"get", "update"}}}
	if diff := cmp.Diff(want, role.Rules); diff != "" {
		t.Errorf("the rules of the Role %s (-want +got):\n%s", role.Name, diff)
	}
	binding := find[rbacv1.RoleBinding](t, all, "RoleBinding", "report-"+set)
	if want := []rbacv1.Subject{{Kind: "ServiceAccount", Name: "report-" + set, Namespace: namespace}}; !cmp.Equal(want, binding.Subjects) || binding.RoleRef.Name != role.Name {
		t.Errorf("%v are bound to %s, want %v to %s", binding.Subjects, binding.RoleRef.Name, want, role.Name)
	}
}

func checkCronJob(t *testing.T, job *batchv1.CronJob, set string) {
	t.Helper()
	want := settings.DefaultSchedule
	if content, err := os.ReadFile(filepath.Join(set, settings.File)); err == nil {
		s, found := settings.Parse(settings.File, content)
		if err := found.Err(); err != nil {
			t.Fatal(err)
		}
		want = s.WithDefaults().Schedule
	}
	if job.Spec.Schedule != want {
		t.Errorf("the schedule is %q, and %s's is %q", job.Spec.Schedule, set, want)
	}
	pod := job.Spec.JobTemplate.Spec.Template
	if pod.Labels["imagemirror/set"] != set || pod.Spec.ServiceAccountName != "mirror-start" {
		t.Errorf("its pods are %s, with the labels %v", pod.Spec.ServiceAccountName, pod.Labels)
	}
}

// checkFiles compares the ConfigMaps of a set, by their label, with the files in a directory.
func checkFiles(t *testing.T, all resmap.ResMap, set, dir string) (configMaps int) {
	t.Helper()
	got := map[string]string{}
	for _, r := range all.Resources() {
		if r.GetKind() != "ConfigMap" || r.GetLabels()["imagemirror/set"] != set || r.GetName() == "record-"+set {
			continue
		}
		configMaps++
		m := find[corev1.ConfigMap](t, all, "ConfigMap", r.GetName())
		size := 0
		for key, value := range m.Data {
			size += len(key) + len(value)
			got[key] += value // doubled where two have it
		}
		for key, value := range m.BinaryData {
			size += len(key) + len(value)
			got[key] += string(value)
		}
		if size > maxConfigMap {
			t.Errorf("the ConfigMap %s has %d bytes, and the API server takes %d", m.Name, size, maxConfigMap)
		}
	}
	if diff := cmp.Diff(content(t, dir), got); diff != "" {
		t.Errorf("what the ConfigMaps of %s hold (-files +ConfigMaps):\n%s", set, diff)
	}
	return configMaps
}

// content returns the files of a set that a run reads.
func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, pattern := range []string{"OWNERS", settings.File, "mapping_*"} {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			files[filepath.Base(path)] = string(b)
		}
	}
	return files
}

// Registries see all sets at one address, so the sets use the whole hour.
func TestSchedulesAreStaggered(t *testing.T) {
	of := map[string]string{}
	for _, set := range sets(t) {
		schedule := find[batchv1.CronJob](t, build(t, set), "CronJob", "mirror-"+set).Spec.Schedule
		if other := of[schedule]; other != "" {
			t.Errorf("%s and %s both start at %q", set, other, schedule)
		}
		of[schedule] = set
	}
}

// beside makes a tree with the base and one more set, and generates the kustomizations.
func beside(t *testing.T, set string, files map[string][]byte) (root string) {
	t.Helper()
	root = t.TempDir()
	if err := os.CopyFS(filepath.Join(root, "base"), os.DirFS("base")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, set), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(root, set, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tree, found := kustomization.Read(root)
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := tree.Write(); err != nil {
		t.Fatal(err)
	}
	return root
}

// The kustomizations in this directory are up to date: make sets would not change them.
func TestGenerated(t *testing.T) {
	tree, found := kustomization.Read(".")
	if err := found.Err(); err != nil {
		t.Error(err)
	}
	dirs := sets(t)
	if len(tree.Sets) != len(dirs) {
		t.Errorf("the tree has %d sets, want %d", len(tree.Sets), len(dirs))
	}
	if err := kustomization.Check(dirs).Err(); err != nil {
		t.Error(err)
	}
}

// YAML reads none of these as a string without quotes.
func TestNamesThatYAMLTakesForSomethingElse(t *testing.T) {
	for _, set := range []string{"2024", "yes", "null", "1e3", "0x1f", "on"} {
		t.Run(set, func(t *testing.T) {
			root := beside(t, set, map[string][]byte{"OWNERS": []byte("approvers: [alice]\n"), "mapping_" + set: nil})
			t.Chdir(root)
			checkSet(t, build(t, "."), set)
		})
	}
}

// Binary data is in a ConfigMap as it is.
func TestGzippedMappingFile(t *testing.T) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte("registry.ci.openshift.org/a/b:c quay.io/a/b:c\n")); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	root := beside(t, "zipped", map[string][]byte{"OWNERS": []byte("approvers: [alice]\n"), "mapping_zipped.gz": b.Bytes()})
	all := build(t, filepath.Join(root, "zipped"))
	checkFiles(t, all, "zipped", filepath.Join(root, "zipped"))
	if m := find[corev1.ConfigMap](t, all, "ConfigMap", "set-zipped"); len(m.BinaryData) != 1 {
		t.Errorf("the binary data are %v, want one file", m.BinaryData)
	}
}

// A set that outgrows one ConfigMap has several, which are found by their label.
func TestThreeMegabytes(t *testing.T) {
	files := map[string][]byte{"OWNERS": []byte("approvers: [alice]\n")}
	for i := range 12 {
		var b bytes.Buffer
		for n := 0; b.Len() < 250<<10; n++ {
			fmt.Fprintf(&b, "registry.ci.openshift.org/large/part-%d:image-%d quay.io/large/image-%d-%d:v1\n", i, n, i, n)
		}
		files[fmt.Sprintf("mapping_large_%d", i)] = b.Bytes()
	}
	root := beside(t, "large", files)
	all := build(t, filepath.Join(root, "large"))
	if n := checkFiles(t, all, "large", filepath.Join(root, "large")); n != 4 {
		t.Errorf("there are %d ConfigMaps, want 4", n)
	}
	if schedule := find[batchv1.CronJob](t, all, "CronJob", "mirror-large").Spec.Schedule; schedule != settings.DefaultSchedule {
		t.Errorf("without settings the schedule is %q, want %q", schedule, settings.DefaultSchedule)
	}
}

// The largest of the real sets.
func TestLargestRealSet(t *testing.T) {
	real := filepath.Join("..", "..", "shared", "mappings", "openshift")
	if _, err := os.Stat(real); err != nil {
		t.Skipf("the real sets are not here: %v", err)
	}
	files := map[string][]byte{}
	for name, text := range content(t, real) {
		files[name] = []byte(text)
	}
	root := beside(t, "openshift", files)
	checkFiles(t, build(t, filepath.Join(root, "openshift")), "openshift", filepath.Join(root, "openshift"))
}
