//go:build e2e

package e2e

import (
	"os"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"imagemirror/internal/record"
)

// checkRecord follows the record of toolchain, which a run has mirrored: a report that is killed
// leaves it whole, applying the sets again leaves it as it is, and the next run updates it. Other
// pods may not.
func (s *installed) checkRecord() {
	s.t.Helper()
	const set = "toolchain"
	first := s.record(set)
	s.checkRecorded(first, 1)
	killed := s.begin(set)
	s.killReport(killed)
	s.await(killed)
	s.change(func() error { return nil })
	between := s.record(set)
	if n := len(between.Runs); n != 1 && (n != 2 || between.LastRun().ID != killed) {
		s.t.Errorf("after a report that was killed the record has %d runs, the last %s", n, between.LastRun().ID)
	}
	last := s.begin(set)
	s.checkSucceeds(last)
	r := s.record(set)
	s.checkRecorded(r, len(between.Runs)+1)
	if r.LastRun().ID != last || r.Destinations[0].Digest != first.Destinations[0].Digest {
		s.t.Errorf("the last run is %s, want %s; %s has %s", r.LastRun().ID, last, r.Destinations[0].Name, r.Destinations[0].Digest)
	}
	s.checkRightsOfRecord(set)
}

// checkRecorded checks the record of a set in which all is well.
func (s *installed) checkRecorded(r *record.Record, runs int) {
	s.t.Helper()
	mappings := 0
	for _, set := range s.sets {
		if set.Name == r.Set {
			mappings = len(set.Mappings)
		}
	}
	if !r.Healthy() || len(r.Runs) != runs || len(r.Destinations) != mappings || r.Schedule == "" {
		s.t.Errorf("the record of %s has %d runs, %d destinations of %d, %d causes and the schedule %q",
			r.Set, len(r.Runs), len(r.Destinations), mappings, len(r.Causes), r.Schedule)
	}
}

// killReport deletes the pod of a run's report at once.
func (s *installed) killReport(run string) {
	s.t.Helper()
	s.until("the report of "+run, func() bool { return len(s.pods(run, "report")) > 0 })
	s.kubectl("delete", "pod", s.pods(run, "report")[0].Name, "--grace-period=0", "--force", "--ignore-not-found")
}

// checkRightsOfRecord checks who may change the record of a set.
func (s *installed) checkRightsOfRecord(set string) {
	s.t.Helper()
	s.checkMay("report-"+set,
		[]string{"create configmaps", "get configmaps", "update configmaps record-" + set, "update configmaps record.b7-" + set},
		[]string{
			"update configmaps record-kubefed", "update configmaps set-" + set, "update configmaps", "list configmaps",
			"delete configmaps record-" + set, "patch configmaps record-" + set, "get secrets", "get secrets push-" + set,
		})
	forget := func(r *record.Record) *record.Record { return record.New(r.Set) }
	for _, account := range []string{"mirror-" + set, "mirror-kubefed", "report-kubefed", "mirror-start"} {
		if err := s.recordsAs(s.t, account).Update(s.t.Context(), set, forget); !apierrors.IsForbidden(err) {
			s.t.Errorf("updating the record of %s as %s: %v, want that it is forbidden", set, account, err)
		}
	}
}

// record returns the record of a set.
func (s *installed) record(set string) *record.Record {
	s.t.Helper()
	r, err := s.recordsAs(s.t, "").Load(s.t.Context(), set)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// recordsAs returns the records as a service account sees them or, without one, as who may do
// everything.
func (s *space) recordsAs(t *testing.T, account string) *record.ConfigMaps {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv(kubeconfigVar))
	if err != nil {
		t.Fatal(err)
	}
	if account != "" {
		config.Impersonate = rest.ImpersonationConfig{
			UserName: "system:serviceaccount:" + s.name + ":" + account,
			Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + s.name, "system:authenticated"},
		}
	}
	store, err := record.OpenConfigMaps(config, s.name)
	if err != nil {
		t.Fatal(err)
	}
	return store
}
