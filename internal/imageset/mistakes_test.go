package imageset

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A mistake is a mapping file as somebody once wrote one, and how it is answered.
type mistake struct {
	file     string
	why      string // the answer is right
	mappings int
	errors   []string // "LINE: what the message says"
	warnings []string
}

// check loads m from dir.
func (m mistake) check(t *testing.T, dir string) {
	file := filepath.Join(dir, m.file)
	in, err := Load([]string{file}, nil)
	var errs []string
	if err != nil {
		errs = strings.Split(err.Error(), "\n")
	}
	var odd []string
	for _, w := range in.Warnings() {
		if !strings.HasPrefix(w, filepath.Join(filepath.Dir(file), "OWNERS")) {
			odd = append(odd, w)
		}
	}
	compareLines(t, "error", file, errs, m.errors)
	compareLines(t, "warning", file, odd, m.warnings)
	if got := len(in.Sets[0].Mappings); got != m.mappings {
		t.Errorf("got %d mappings, want %d", got, m.mappings)
	}
	if t.Failed() {
		t.Log(m.why)
	}
}

// compareLines compares messages with what they should begin with and hold: "3: no tag" is
// "FILE:3: ... no tag ...".
func compareLines(t *testing.T, kind, file string, got, want []string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(want):
			t.Errorf("unexpected %s %q", kind, got[i])
		case i >= len(got):
			t.Errorf("no %s %q", kind, want[i])
		default:
			line, says, _ := strings.Cut(want[i], ": ")
			if !strings.HasPrefix(got[i], file+":"+line+": ") || !strings.Contains(got[i], says) {
				t.Errorf("got %s %q, want line %s and %q", kind, got[i], line, says)
			}
		}
	}
}

func TestMistakes(t *testing.T) {
	cases := []mistake{
		{
			file: "mapping_no_tag", why: "without a tag it is not known which image is meant, and all of them is rarely it",
			errors: []string{`2: "registry.ci.openshift.org/integr8ly/workload-web-app" has no tag and no digest`},
		},
		{
			file: "mapping_no_tag_latest", why: "only the tag latest can be meant, and such lines are in use", mappings: 1,
			warnings: []string{`1: "quay.io/ocpmetal/postgresql" has no tag: latest is taken`},
		},
		{
			file: "mapping_two_colons", why: "neither the name nor the tag can hold the second colon", mappings: 1,
			errors: []string{"2: not an image name", "3: not an image name"},
		},
		{
			file: "mapping_equals_beside_a_destination", why: "either reading of it would leave a destination out",
			errors: []string{`1: "=" may only join`},
		},
		{
			file: "mapping_copied_and_half_edited", why: "one of the two images would overwrite the other, in any order", mappings: 1,
			errors: []string{"2: node-feature-discovery here and the source registry.ci.openshift.org/ocp/4.12:cluster-nfd-operator at testdata/mistakes/mapping_copied_and_half_edited:1"},
		},
		{
			file: "mapping_latest_of_two_versions", why: "latest has two sources; that one of them is named again does no harm", mappings: 3,
			errors:   []string{"2: ocs-4.12:ocs-registry at testdata/mistakes/mapping_latest_of_two_versions:1"},
			warnings: []string{"3: same source at testdata/mistakes/mapping_latest_of_two_versions:1"},
		},
		{
			file: "mapping_same_line_twice", why: "the result is the same, and probably another line was meant", mappings: 1,
			warnings: []string{"2: same source"},
		},
		{
			file: "mapping_destination_twice_on_a_line", why: "the result is the same", mappings: 2,
			warnings: []string{"1: twice on the line"},
		},
		{
			file: "mapping_two_names_of_docker_hub", why: "both names are one registry", mappings: 1,
			errors: []string{"2: docker.io/openshift/origin-cli:v3.11"},
		},
		{file: "mapping_destination_without_tag", why: "it takes the tag of its source", mappings: 1},
		{file: "mapping_digests", why: "a digest names an image, and two of them fit into one repository without tags", mappings: 3},
		{
			file: "mapping_wildcards", why: "whether two wildcards meet in a tag shows only when tags are listed", mappings: 2,
			warnings: []string{"3: same source"},
		},
		{
			file: "mapping_reserved_for_later", why: "an empty file does no harm, and may be one that was lost",
			warnings: []string{"1: no mapping"},
		},
		{
			file: "mapping_only_a_comment", why: "as for an empty file",
			warnings: []string{"1: no mapping"},
		},
	}
	var files, tested []string
	for _, c := range cases {
		tested = append(tested, filepath.Join("testdata", "mistakes", c.file))
		t.Run(c.file, func(t *testing.T) { c.check(t, "testdata/mistakes") })
	}
	files, err := filepath.Glob("testdata/mistakes/*")
	if err != nil {
		t.Fatal(err)
	}
	missing(t, files, tested)
}

// missing fails for files that no case of a table is about.
func missing(t *testing.T, files, tested []string) {
	t.Helper()
	known := map[string]bool{}
	for _, f := range tested {
		known[filepath.Clean(f)] = true
	}
	var untested []string
	for _, f := range files {
		if !known[filepath.Clean(f)] {
			untested = append(untested, f)
		}
	}
	if diff := cmp.Diff([]string(nil), untested); diff != "" {
		t.Errorf("files without a case:\n%s", diff)
	}
}

// realFiles returns a directory of real mapping files beside the repository. Without it, the
// test is skipped.
func realFiles(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join("..", "..", "..", "shared", name)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("the real mapping files are not there: ../shared/%s beside the repository", name)
	}
	return dir
}

func TestRealMistakes(t *testing.T) {
	dir := realFiles(t, "mappings-bad")
	cases := []mistake{
		{file: "dptp-internal/mapping_dptp_internal_hongkliu-test.d46eef5319", why: "digests joined to tags by = are right", mappings: 20},
		{
			file: "integr8ly/mapping_integr8y_operator_test_harness.ec0a0cd7b2", why: "all tags of the source would be pushed to the one tag master",
			errors: []string{`1: integreatly-operator-test-harness" has no tag and no digest`},
		},
		{
			file: "integr8ly/mapping_integr8ly_operator.07f0673af0", why: "all tags of the source would be pushed to the one tag master",
			errors: []string{`1: integreatly-operator" has no tag and no digest`},
		},
		{file: "ovirt/mapping_ovirt_cluster-api-provider-ovirt_quay.2d97129e82", why: "the destination takes the tag latest of its source", mappings: 1},
		{
			file: "openshift/mapping_origin_4_6.f4072f7051", why: "one line names its destinations two times over, which changes nothing", mappings: 434,
			warnings: []string{"179: origin-ovirt-installer:4.6 is twice", "179: origin-ovirt-installer:4.6.0 is twice"},
		},
		{file: "openshift/mapping_origin_4_5.e69de29bb2", why: "it is empty, reserved for later", warnings: []string{"1: no mapping"}},
		{
			file: "openshift/mapping_origin_4_9.357b633d4f", why: "four lines name their three destinations two times over, which changes nothing", mappings: 762,
			warnings: []string{
				"123: functest:4.9 is twice", "123: functest:4.9.0 is twice", "123: functest:latest is twice",
				"124: operator:4.9 is twice", "124: operator:4.9.0 is twice", "124: operator:latest is twice",
				"125: tests:4.9 is twice", "125: tests:4.9.0 is twice", "125: tests:latest is twice",
				"126: webhook:4.9 is twice", "126: webhook:4.9.0 is twice", "126: webhook:latest is twice",
			},
		},
		{
			file: "ocs-operator/mapping_ocs-operator_quay.914332061d", why: "latest gets images of 4.3, 4.2 and 4.4; 4.3's is there two times", mappings: 6,
			errors:   []string{"6: ocs-registry:latest", "7: ocs-must-gather:latest", "14: ocs-registry:latest", "15: ocs-must-gather:latest"},
			warnings: []string{"10: ocs-registry:latest", "11: ocs-must-gather:latest"},
		},
		{
			file: "redhat-developer/mapping_redhat-developer_latest_quay.e6f2118a94", why: "latest gets one image from two repositories", mappings: 6,
			errors: []string{"3: openshift-jenkins-operator:latest"},
		},
		{
			file: "openshift-psap/mapping_openshift-psap_master.0ad9e5843a", why: "the second line was copied from the first and half edited", mappings: 3,
			errors: []string{"2: special-resource-operator:4.5"},
		},
		{
			file: "knative/mapping_knative_nightly_quay.c77ed4eaf0", why: "a line is there two times, which changes nothing", mappings: 31,
			warnings: []string{"20: knative-eventing-sources-test-kafka-performance:latest"},
		},
		{
			file: "open-cluster-management/mapping_open_cluster_management_latest_quay.a36f3dfa76", why: "console would be mirrored to the repository of another image", mappings: 4,
			errors: []string{"5: multicloud-manager:latest"},
		},
		{
			file: "supplemental-ci-images/mapping_supplemental_ci_images_ocp.937caa0e8e", why: "two destinations have two colons", mappings: 15,
			errors: []string{`16: builder::rhel-7-golang-1.11" is not an image name`, `17: builder::rhel-7-golang-1.12" is not an image name`},
		},
		{
			file: "supplemental-ci-images/mapping_supplemental_ci_images_ocp_kni.fbfd601d06", why: "the source has no tag, and with this destination only latest can be meant", mappings: 1,
			warnings: []string{`1: postgresql-12-centos7" has no tag: latest is taken`},
		},
	}
	var tested []string
	for _, c := range cases {
		tested = append(tested, filepath.Join(dir, c.file))
		t.Run(c.file, func(t *testing.T) { c.check(t, dir) })
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	missing(t, files, tested)
}
