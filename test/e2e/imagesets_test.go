//go:build e2e

package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	batchv1 "k8s.io/api/batch/v1"

	"imagemirror/internal/registrytest"
)

// The image sets of this tree, installed and started in every way: by a CronJob, by a call and
// a push to the EventListener, by hand with tkn, and by the command start. One run of a set
// goes on at a time, and old runs are removed. Each set is mirrored by one of these ways.
func TestImageSets(t *testing.T) {
	s := newInstalled(t)
	s.fill()
	schedules := map[string]string{}
	s.change(func() error {
		for _, set := range s.sets {
			schedules[set.Name] = never
			if set.Name == "openshift" {
				schedules[set.Name] = everyMinute
			}
			if err := s.schedule(set.Name, schedules[set.Name]); err != nil {
				return err
			}
		}
		return nil
	})
	s.checkSchedules(schedules)
	s.checkRightsOfStart()
	// Each part is about sets of its own.
	t.Run("parts", func(t *testing.T) {
		for name, checks := range map[string][]func(*installed){
			"cron job":      {(*installed).checkCronJob},
			"listener":      {(*installed).checkListener, (*installed).checkUnfit},
			"one at a time": {(*installed).checkSkipped, (*installed).checkRace, (*installed).checkRecord},
			"by hand":       {(*installed).checkTwoAtOnce},
			"pruned":        {(*installed).checkAlerts, (*installed).checkPruned},
			"ninth":         {(*installed).checkNinth},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				part := *s
				part.space = s.within(t)
				for _, check := range checks {
					check(&part)
				}
			})
		}
	})
	s.checkMirrored()
	s.checkStatus("kubefed")
	s.checkOnCall("kubefed")
}

// checkSchedules checks that each set has a CronJob with its schedule.
func (s *installed) checkSchedules(schedules map[string]string) {
	s.t.Helper()
	jobs := &batchv1.CronJobList{}
	s.list(jobs, "cronjobs", "")
	for _, job := range jobs.Items {
		set := job.Labels["imagemirror/set"]
		if job.Spec.Schedule != schedules[set] {
			s.t.Errorf("%s is scheduled at %q, want %q", set, job.Spec.Schedule, schedules[set])
		}
	}
	if len(jobs.Items) != len(schedules) {
		s.t.Errorf("there are %d CronJobs for %d sets", len(jobs.Items), len(schedules))
	}
}

// checkCronJob waits until its CronJob has mirrored openshift.
func (s *installed) checkCronJob() {
	s.t.Helper()
	run := s.awaitRun("openshift", nil)
	s.change(func() error { return s.schedule("openshift", never) })
	s.checkSucceeds(run)
}

// checkRightsOfStart checks that start's service account may do what it needs, and nothing else.
func (s *installed) checkRightsOfStart() {
	s.t.Helper()
	s.checkMay("mirror-start",
		[]string{
			"create pipelineruns.tekton.dev", "list pipelineruns.tekton.dev",
			"delete pipelineruns.tekton.dev", "update leases.coordination.k8s.io", "get configmaps",
		},
		[]string{
			"get secrets", "list secrets", "watch secrets", "create secrets", "create pods",
			"list configmaps", "create configmaps", "update configmaps", "delete configmaps",
			"patch pipelineruns.tekton.dev", "create taskruns.tekton.dev",
			"create serviceaccounts/token", "delete leases.coordination.k8s.io",
		})
}

// checkSkipped starts kubefed twice more while its run is active.
func (s *installed) checkSkipped() {
	s.t.Helper()
	held := s.holdSet("kubefed", 0)
	active := s.begin("kubefed")
	s.awaitHeld(held, 1)
	skipped := `msg=skipped set=kubefed because="the run ` + active + ` is active"`
	for range 2 {
		log, status := s.startHere("kubefed")
		if status != 0 || !strings.Contains(log, skipped) {
			s.t.Errorf("during a run start exits with %d: %s", status, log)
		}
	}
	held.release()
	s.checkEnd(s.await(active), true, "mappings copied")
	if n := len(s.runs("kubefed")); n != 1 {
		s.t.Errorf("there are %d runs, want one", n)
	}
}

// checkRace starts toolchain six times at once.
func (s *installed) checkRace() {
	s.t.Helper()
	held := s.holdSet("toolchain", 0)
	logs := make([]string, 6)
	var all sync.WaitGroup
	for i := range logs {
		all.Go(func() {
			var status int
			if logs[i], status = s.startHere("toolchain"); status != 0 {
				s.t.Errorf("start exits with %d: %s", status, logs[i])
			}
		})
	}
	all.Wait()
	together := strings.Join(logs, "")
	started := strings.Count(together, "msg=started")
	skipped := strings.Count(together, "msg=skipped")
	if started != 1 || skipped != len(logs)-1 {
		s.t.Errorf("of %d that raced %d started a run and %d were skipped:\n%s",
			len(logs), started, skipped, together)
	}
	if n := len(s.runs("toolchain")); n != 1 {
		s.t.Errorf("there are %d runs, want one", n)
	}
	held.release()
	s.checkSucceeds(s.awaitRun("toolchain", nil))
}

// checkTwoAtOnce starts two runs of one set by hand, which start would not do.
func (s *installed) checkTwoAtOnce() {
	s.t.Helper()
	const set = "codeready-toolchain"
	held := s.holdSet(set, 2)
	var runs []string
	for range 2 {
		runs = append(runs, s.tknStart("mirror-"+set, "set-"+set, "push-"+set,
			"--param=set="+set, "--param=shards=1"))
	}
	for _, run := range runs {
		s.awaitPods(run, "copy", 1)
	}
	s.awaitHeld(held, 1)
	held.release()
	for _, run := range runs {
		s.checkSucceeds(run)
	}
}

// checkPruned starts runs of integr8ly, which keeps the newest run and the newest that failed.
func (s *installed) checkPruned() {
	s.t.Helper()
	const set = "integr8ly"
	file := filepath.Join(s.root, "image-sets", set, "settings.yaml")
	content, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	s.replace(file, append(content, "  history: {runs: 1, failed: 1}\n"...))
	// A run without its secret fails, and says so in one line.
	s.delete("secrets", "push-"+set)
	failed := s.begin(set)
	e := s.await(failed)
	lines := strings.Count(e.log, "\n")
	if e.succeeded || !strings.Contains(e.log, "does not exist or is empty") || lines > 1 {
		s.t.Errorf("without its secret the run succeeded: %v\n%s", e.succeeded, e.log)
	}
	s.apply(s.pushSecret(set))
	older := s.begin(set)
	s.await(older)
	newest := s.begin(set)
	s.await(newest)
	last := s.begin(set)
	s.until("the removal of old runs", func() bool { return len(s.runs(set)) == 3 })
	for _, name := range []string{failed, newest, last} {
		if _, there := s.runs(set)[name]; !there {
			s.t.Errorf("the run %s is not kept", name)
		}
	}
	s.until("the removal of their state", func() bool {
		return len(s.names("configmaps", "imagemirror/run="+older)) == 0
	})
	s.await(last)
}

// checkUnfit asks start for sets that are not there, or are not fit to be started.
func (s *installed) checkUnfit() {
	s.t.Helper()
	for set, says := range map[string]string{
		"no-such-set": "start: there is no image set no-such-set in the namespace " + s.name,
		"No_Set":      `start: the image set "No_Set": `,
	} {
		log, status := s.startHere(set)
		if status != 2 || !strings.HasPrefix(log, says) || strings.Count(log, "\n") != 1 {
			s.t.Errorf("start %s exits with %d: %s", set, status, log)
		}
	}
	// A ConfigMap that a removed generator left behind.
	s.apply("apiVersion: v1\nkind: ConfigMap\n" +
		"metadata: {name: set-2-tekton, labels: {imagemirror/set: tekton}}\ndata: {OWNERS: \"\"}\n")
	log, status := s.startHere("tekton", "ocs-operator")
	const twice = "image-sets/tekton/OWNERS is in the ConfigMaps set-tekton and set-2-tekton"
	if status != 2 || !strings.Contains(log, twice) ||
		!strings.Contains(log, "msg=started set=ocs-operator") {
		s.t.Errorf("start with one set that is unfit exits with %d: %s", status, log)
	}
	s.delete("configmaps", "set-2-tekton")
	// A mistake in the settings: the run tells the owners.
	file := filepath.Join(s.root, "image-sets", "tekton", "settings.yaml")
	right, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	s.replace(file, append(bytes.Clone(right), "  shard: 2\n"...))
	const mistake = `image-sets/tekton/settings.yaml:11: unknown key "shard"`
	if e := s.await(s.begin("tekton")); e.succeeded || !strings.Contains(e.log, mistake) {
		s.t.Errorf("with a mistake in the settings the run succeeded: %v\n%s", e.succeeded, e.log)
	}
	// The policy is mounted beside the settings, which ask for more.
	s.replace(file, append(bytes.Clone(right), "  cap: 1000\n"...))
	const more = "image-sets/tekton/settings.yaml:11: spec.cap is 1000, and image-sets/policy.yaml:11 allows 128 at most"
	if e := s.await(s.begin("tekton")); e.succeeded || !strings.Contains(e.log, more) {
		s.t.Errorf("with settings beyond the policy the run succeeded: %v\n%s", e.succeeded, e.log)
	}
	s.replace(file, right)
}

// checkNinth makes a set as make new-set does, and starts it by its CronJob.
func (s *installed) checkNinth() {
	s.t.Helper()
	const image = "payments/payments:latest"
	registrytest.Push(s.t, s.sources.Host+"/"+image, imageOf("payments"))
	s.apply(s.pushSecret("payments"))
	s.change(func() error {
		cmd := exec.CommandContext(s.t.Context(), filepath.Join(s.bin, "imagemirror"), "new-set",
			"-name=payments", "-dest=quay.io/payments", "-owners=alice")
		cmd.Dir = s.root
		_, err := output(cmd)
		return err
	})
	s.kubectl("create", "job", "now", "--from=cronjob/mirror-payments")
	s.checkEnd(s.await(s.awaitRun("payments", nil)), true, "1 of 1 mapping copied")
	from, to := s.sources.Host+"/"+image, s.copies.Host+"/"+image
	if err := registrytest.Validate(s.t.Context(), from, to); err != nil {
		s.t.Error(err)
	}
}
