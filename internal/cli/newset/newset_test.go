package newset

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"imagemirror/internal/command"
	"imagemirror/internal/imageset"
	"imagemirror/internal/presubmit"
)

// root is the directory of the image sets.
const root = "image-sets"

// run writes a set as the command does.
func run(t *testing.T, name, destination, source, owners string) error {
	t.Helper()
	c := config{name: name, destination: destination, source: source, owners: owners}
	return c.run(t.Context(), nil)
}

// repository copies the image sets into a new working directory for one test.
func repository(t *testing.T) {
	t.Helper()
	sets, err := filepath.Abs("../../../" + root)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	if err := os.CopyFS(root, os.DirFS(sets)); err != nil {
		t.Fatal(err)
	}
}

func TestANewSetIsWhole(t *testing.T) {
	repository(t)
	if err := run(t, "payments", "quay.io/payments", "", "alice,bob"); err != nil {
		t.Fatal(err)
	}
	if _, found := presubmit.Check([]string{root}, nil); len(found.All()) > 0 {
		t.Errorf("the check finds %v", found.All())
	}
	input, err := imageset.Load([]string{root + "/payments"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := input.Sets[0].Mappings[0]
	if got, want := m.Source.String()+" "+m.Destination.String(), "registry.ci.openshift.org/payments/payments:latest quay.io/payments/payments:latest"; got != want {
		t.Errorf("the mapping is %q, want %q", got, want)
	}
	if diff := cmp.Diff([]string{"alice", "bob"}, input.Sets[0].Owners); diff != "" {
		t.Errorf("owners (-want +got):\n%s", diff)
	}
	if got := input.Sets[0].Settings.Destinations; len(got) != 1 || got[0].Name != "quay.io/payments" {
		t.Errorf("the destinations are %q", got)
	}
	all, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), root)
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]bool{}
	for _, r := range all.Resources() {
		if r.GetLabels()["imagemirror/set"] == "payments" {
			made[r.GetKind()+" "+r.GetName()] = true
		}
	}
	want := map[string]bool{
		"ConfigMap set-payments": true, "CronJob mirror-payments": true,
		"ServiceAccount mirror-payments": true, "RoleBinding mirror-payments": true,
		"ConfigMap record-payments": true, "ServiceAccount report-payments": true,
		"Role report-payments": true, "RoleBinding report-payments": true,
	}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("what kustomize makes of the set (-want +got):\n%s", diff)
	}
}

// A refusal leaves everything as it was.
func TestWrongSetsAreRefused(t *testing.T) {
	repository(t)
	before := tree(t)
	for _, c := range []struct {
		name, set, destination, source, owners, says string
	}{
		{"nothing given", "", "", "", "", "the set's name and where it publishes are needed"},
		{"a set that is there", "knative", "quay.io/x", "", "alice", "image-sets/knative exists"},
		{"the base", "base", "quay.io/x", "", "alice", "all sets include"},
		{"no name of an object", "No_Set", "quay.io/x", "", "alice", "lower-case letters"},
		{"a path", "../payments", "quay.io/x", "", "alice", "lower-case letters"},
		{"a number", "2024", "quay.io/x", "", "alice", "begin it with a letter"},
		{"a word of YAML", "yes", "quay.io/x", "", "alice", "begin it with a letter"},
		{"too long", strings.Repeat("a", 46), "quay.io/x", "", "alice", "1 to 45"},
		{"a destination with a tag", "payments", "quay.io/x:v1", "", "alice", "the destination "},
		{"a destination that is more YAML", "payments", "quay.io/x]\nshards: 9 #", "", "alice", "the destination "},
		{"a source without a tag", "payments", "quay.io/x", "quay.io/y", "alice", "the source "},
		{"a source that is more lines", "payments", "quay.io/x", "quay.io/y:z\nquay.io/a:b", "alice", "the source "},
		{"an owner that is none", "payments", "quay.io/x", "", "alice,", "the owner "},
		{"a destination that another set has", "kubefed-controller", "quay.io/openshift", "registry.ci.openshift.org/x/y:v0.2.0", "alice",
			"image-sets/kubefed/mapping_kubefed_v0_2_0_quay:1"},
		{"a source that the policy does not allow", "payments", "quay.io/payments", "docker.io/evil/backdoor:v1", "alice",
			"image-sets/payments/mapping_payments:1: source docker.io/evil/backdoor:v1 is outside of what image-sets/policy.yaml:8 allows (registry.ci.openshift.org)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := run(t, c.set, c.destination, c.source, c.owners)
			if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), ".new-set") {
				t.Errorf("the error is %v, want a line with %q", err, c.says)
			}
			if status := command.ExitStatus(err); status != 2 {
				t.Errorf("the exit status is %d, want 2: the input was refused", status)
			}
			if diff := cmp.Diff(before, tree(t)); diff != "" {
				t.Errorf("what it has changed:\n%s", diff)
			}
		})
	}
}

// A set that was listed by hand before its directory was there is listed once.
// A mistake in another set must not take that set out of the listing, and so off the cluster.
func TestOtherSetsWithMistakesStayListed(t *testing.T) {
	repository(t)
	path := filepath.Join(root, "knative", "settings.yaml")
	if err := os.WriteFile(path, []byte("kind: Nothing\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := run(t, "payments", "quay.io/payments", "", "alice"); err != nil {
		t.Fatal(err)
	}
	listing, err := os.ReadFile(filepath.Join(root, "kustomization.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"knative", "payments"} {
		if strings.Count(string(listing), "  - "+name+"\n") != 1 {
			t.Errorf("the listing does not name %q once:\n%s", name, listing)
		}
	}
}

// The policy binds a set from the beginning.
func TestDestinationsThatThePolicyDoesNotAllow(t *testing.T) {
	repository(t)
	err := run(t, "payments", "ghcr.io/payments", "", "alice")
	const outside = "image-sets/policy.yaml:9 allows (quay.io): correct it, or ask the owners of the policy"
	want := "image-sets/payments/settings.yaml:9: destination ghcr.io/payments is more than " + outside +
		"\nimage-sets/payments/mapping_payments:1: destination ghcr.io/payments/payments:latest is outside of what " + outside
	if err == nil || err.Error() != want {
		t.Errorf("the error is %v, want %s", err, want)
	}
}

func TestTheListingIsWrittenAnew(t *testing.T) {
	repository(t)
	listing := filepath.Join(root, "kustomization.yaml")
	list, err := os.ReadFile(listing)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(listing, []byte(strings.Replace(string(list), "resources:\n", "resources:\n  - zebra\n", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := run(t, "zebra", "quay.io/zebra", "", "alice"); err != nil {
		t.Fatal(err)
	}
	again, err := os.ReadFile(listing)
	if err != nil || string(again) != strings.Replace(string(list), "  - toolchain\n", "  - toolchain\n  - zebra\n", 1) {
		t.Errorf("the listing is %q (%v)", again, err)
	}
}

// tree returns all files below the image sets.
func tree(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			files[path] = "directory"
			return err
		}
		content, err := os.ReadFile(path)
		files[path] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
