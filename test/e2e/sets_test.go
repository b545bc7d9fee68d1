//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	containerregistry "github.com/google/go-containerregistry/pkg/v1"
	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	batchv1 "k8s.io/api/batch/v1"

	"golang.org/x/sync/errgroup"

	"imagemirror/internal/imageset"
	"imagemirror/internal/registrytest"
)

// installed is a namespace with the image sets of this tree, each with a user of its own at the destination, who may push below the set's
// prefixes and nowhere else.
type installed struct {
	*space
	root     string      // a copy of what is applied, for this namespace
	changing *sync.Mutex // held while that is changed and applied
	sets     []*imageset.Set
	token    string // that the EventListener asks for
}

func newInstalled(t *testing.T, schedule string) *installed {
	t.Helper()
	t.Parallel()
	s := &installed{
		space: &space{world: up(t), t: t, name: "e2e-" + strings.ToLower(rand.Text()[:8])},
		root:  t.TempDir(), changing: &sync.Mutex{}, token: rand.Text(),
	}
	for _, folder := range []string{"image-sets", "triggers"} {
		if err := os.CopyFS(filepath.Join(s.root, folder), os.DirFS(filepath.Join("../..", folder))); err != nil {
			t.Fatal(err)
		}
	}
	s.load()
	s.openRegistries()
	s.pinStart()
	if err := s.schedule(schedule); err != nil {
		t.Fatal(err)
	}
	s.rename(s.root)
	t.Cleanup(s.leave)
	s.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: " + s.name + "}")
	s.install()
	objects := []string{string(s.yaml), s.configMapOf("registries", map[string]string{"registries.conf": s.registriesConf()})}
	for _, set := range s.sets {
		objects = append(objects, s.secret("push-"+set.Name, "robot-"+set.Name, "right"))
	}
	s.apply(objects...)
	return s
}

// load reads the sets as they are here.
func (s *installed) load() {
	s.t.Helper()
	owners, err := filepath.Glob(filepath.Join(s.root, "image-sets", "*", "OWNERS"))
	if err != nil || len(owners) < 8 {
		s.t.Fatalf("there are %d image sets (%v), want eight", len(owners), err)
	}
	var dirs []string
	for _, file := range owners {
		dirs = append(dirs, filepath.Dir(file))
	}
	input, err := imageset.Load(dirs, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.sets = input.Sets
}

// openRegistries starts two registries, to which registriesConf leads the names in the sets' mappings.
func (s *installed) openRegistries() {
	s.t.Helper()
	s.sources, s.copies = distribution(s.t), distribution(s.t)
	users := []registrytest.User{user("payments", "quay.io/payments")}
	for _, set := range s.sets {
		users = append(users, user(set.Name, set.Settings.Destinations...))
	}
	options := registrytest.ProxyOptions{Host: s.host, Delay: delay, Auth: &registrytest.Auth{Users: users}}
	s.source = registrytest.NewProxy(s.t, s.sources, options)
	s.destination = registrytest.NewProxy(s.t, s.copies, options)
}

func user(set string, destinations ...string) registrytest.User {
	u := registrytest.User{Name: "robot-" + set, Password: "right", Pull: []string{""}}
	for _, prefix := range destinations {
		u.Push = append(u.Push, strings.TrimPrefix(prefix, "quay.io/"))
	}
	return u
}

func (s *installed) registriesConf() string {
	return fmt.Sprintf("[[registry]]\nprefix = %q\nlocation = %q\ninsecure = true\n[[registry]]\nprefix = %q\nlocation = %q\ninsecure = true\n",
		"registry.ci.openshift.org", s.source.Host, "quay.io", s.destination.Host)
}

// pinStart names the image of start, as docs/how-to/image-sets.md says.
func (s *installed) pinStart() {
	s.t.Helper()
	component, err := os.ReadFile(filepath.Join(s.world.bin, "kustomization.yaml"))
	if err != nil {
		s.t.Fatal(err)
	}
	_, images, _ := strings.Cut(string(component), "\nimages:\n")
	file := filepath.Join(s.root, "image-sets", "base", "kustomization.yaml")
	content, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(string(content)+"images:\n"+images), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

var scheduleRE = regexp.MustCompile(`(?m)^  schedule: .*$`)

// Lines that take the place of the sets' schedules.
const (
	asTheyAre   = ""
	everyMinute = "  schedule: \"* * * * *\"\n  shards: 1" // and fewer pods, for a machine that has eight sets at once
	never       = "  schedule: \"0 0 29 2 *\"\n  shards: 1"
)

// schedule has the settings of the sets as they are in this tree, but for the schedule.
func (s *installed) schedule(line string) error {
	for _, set := range s.sets {
		content, err := os.ReadFile(filepath.Join("../../image-sets", set.Name, "settings.yaml"))
		if err != nil {
			return err
		}
		if line != asTheyAre {
			content = scheduleRE.ReplaceAll(content, []byte(line))
		}
		if err := os.WriteFile(filepath.Join(s.root, "image-sets", set.Name, "settings.yaml"), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// fill pushes an image for every source of the sets.
func (s *installed) fill() {
	s.t.Helper()
	sources := map[string]bool{}
	for _, set := range s.sets {
		for _, m := range set.Mappings {
			sources[m.Source.Repository+":"+m.Source.Tag] = true
		}
	}
	var all errgroup.Group
	all.SetLimit(8)
	for source := range sources {
		all.Go(func() error {
			_, err := registrytest.Write(s.t.Context(), s.sources.Host+"/"+source, imageOf(source))
			return err
		})
	}
	if err := all.Wait(); err != nil {
		s.t.Fatal(err)
	}
}

func imageOf(name string) containerregistry.Image {
	return registrytest.NewImage(registrytest.OCI, name, runtime.GOARCH, registrytest.NewLayer(name, 1<<10))
}

// checkSets holds every destination of the sets to its source.
func (s *installed) checkSets() {
	s.t.Helper()
	for _, set := range s.sets {
		for _, m := range set.Mappings {
			from, to := s.sources.Host+"/"+m.Source.Repository+":"+m.Source.Tag, s.copies.Host+"/"+m.Destination.Repository+":"+m.Destination.Tag
			if err := registrytest.Validate(s.t.Context(), from, to); err != nil {
				s.t.Errorf("%s: %v", set.Name, err)
			}
		}
	}
}

func (s *installed) set(name string) *imageset.Set {
	for _, set := range s.sets {
		if set.Name == name {
			return set
		}
	}
	s.t.Fatalf("there is no set %s", name)
	return nil
}

// runs are the runs of a set that start has started, or of all sets, by their names.
func (s *installed) runs(set string) map[string]v1.PipelineRun {
	s.t.Helper()
	list := &v1.PipelineRunList{}
	selector := "imagemirror/set"
	if set != "" {
		selector += "=" + set
	}
	s.list(list, "pipelineruns", selector)
	runs := map[string]v1.PipelineRun{}
	for _, run := range list.Items {
		runs[run.Name] = run
	}
	return runs
}

// after waits for a run of a set that was not there before.
func (s *installed) after(before map[string]v1.PipelineRun, set string) (run string) {
	s.t.Helper()
	s.until("a run of "+set, func() bool {
		for name := range s.runs(set) {
			if _, old := before[name]; !old {
				run = name
			}
		}
		return run != ""
	})
	return run
}

// succeed waits for the end of runs, and holds them to success.
func (s *installed) succeed(runs ...string) {
	s.t.Helper()
	for _, run := range runs {
		if e := s.await(run); !e.succeeded {
			s.t.Errorf("the run %s: %s\n%s", run, e.summary, e.log)
		}
	}
}

// idle waits until no run is active, and no CronJob is about to start one.
func (s *installed) idle() {
	s.t.Helper()
	s.until("the end of all runs", func() bool {
		jobs := &batchv1.CronJobList{}
		s.list(jobs, "cronjobs", "")
		for _, job := range jobs.Items {
			if len(job.Status.Active) > 0 {
				return false
			}
		}
		for _, run := range s.runs("") {
			if !run.IsDone() {
				return false
			}
		}
		return true
	})
}

// start runs the command start on this machine, and returns what it logs and its exit status.
func (s *installed) start(sets ...string) (log string, status int) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), filepath.Join(s.bin, "start"), sets...)
	cmd.Env = append(os.Environ(), "MIRROR_NAMESPACE="+s.name)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		s.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

var startedRE = regexp.MustCompile(`msg=started set=\S+ run=(\S+)`)

// begin starts a run, which has to be possible, and returns its name.
func (s *installed) begin(set string) string {
	s.t.Helper()
	log, status := s.start(set)
	m := startedRE.FindStringSubmatch(log)
	if status != 0 || m == nil {
		s.t.Fatalf("start %s ends with %d: %s", set, status, log)
	}
	return m[1]
}

// All image sets, installed and started in all the ways that there are.
func TestImageSets(t *testing.T) {
	s := newInstalled(t, everyMinute)
	s.fill()

	// By their CronJobs.
	s.applyFolder(filepath.Join(s.root, "image-sets"))
	var names []string
	for _, set := range s.sets {
		names = append(names, s.after(nil, set.Name))
	}
	s.change(func() error { return s.schedule(asTheyAre) })
	s.succeed(names...)
	s.checkSets()
	jobs := &batchv1.CronJobList{}
	s.list(jobs, "cronjobs", "")
	for _, job := range jobs.Items {
		if set := s.set(job.Labels["imagemirror/set"]); job.Spec.Schedule != set.Settings.Schedule {
			t.Errorf("%s is scheduled at %q, and its settings say %q", set.Name, job.Spec.Schedule, set.Settings.Schedule)
		}
	}
	if len(jobs.Items) != len(s.sets) {
		t.Errorf("there are %d CronJobs for %d sets", len(jobs.Items), len(s.sets))
	}
	s.idle()
	s.kubectl("delete", "cronjobs", "--all") // what runs from here on was started otherwise

	s.checkListener()

	// By hand.
	names = nil
	for _, set := range s.sets {
		names = append(names, s.byHand(set.Name))
	}
	for _, name := range names {
		s.checkEnd(s.await(name), true, "Nothing to copy")
	}
	s.checkRightsOfStart()
}

// byHand starts a run with tkn, and returns its name.
func (s *installed) byHand(set string) string {
	s.t.Helper()
	name := strings.TrimSpace(s.tkn("pipeline", "start", "mirror", "--namespace", s.name, "--use-param-defaults", "--output=name",
		"--param=set="+set, "--param=shards=1", "--serviceaccount=mirror-"+set, "--workspace=name=mappings,config=set-"+set,
		"--workspace=name=credentials,secret=push-"+set, "--workspace=name=registries,config=registries"))
	return name[strings.LastIndexByte(name, '/')+1:]
}

// checkListener has the EventListener start all sets by a call and one by a push, and none for those who do not know the token.
func (s *installed) checkListener() {
	s.t.Helper()
	s.kubectl("create", "secret", "generic", "mirror-listener", "--from-literal=token="+s.token)
	s.t.Cleanup(func() {
		_, _ = output(exec.CommandContext(context.Background(), "kubectl", "delete", "clusterrole,clusterrolebinding", "mirror-listener"))
	})
	s.applyFolder(filepath.Join(s.root, "triggers"))
	s.kubectl("wait", "eventlistener", "mirror", "--for=condition=Ready", "--timeout=3m")
	url := s.forward("service/el-mirror", "8080")

	var names []string
	for _, set := range s.sets {
		names = append(names, set.Name)
	}
	call := fmt.Sprintf(`{"sets": %q}`, strings.Join(names, ","))
	before := s.runs("")
	s.post(url, call, http.Header{"X-Mirror-Token": {"wrong"}})
	s.post(url, call, nil)
	s.post(url, `{"sets": "knative --help"}`, http.Header{"X-Mirror-Token": {s.token}})
	s.post(url, call, http.Header{"X-Mirror-Token": {s.token}})
	for _, set := range names {
		s.succeed(s.after(before, set))
	}

	before = s.runs("")
	push := `{"ref": "refs/heads/main", "repository": {"default_branch": "main"}, "commits": [
		{"added": ["README.md", "image-sets/base/x.yaml"], "modified": ["image-sets/knative/OWNERS", "image-sets/kustomization.yaml"], "removed": ["image-sets/tekton/mapping_x"]},
		{"added": ["image-sets/knative/mapping_x"], "modified": [], "removed": []}]}`
	s.post(url, push, http.Header{"X-Github-Event": {"push"}, "X-Hub-Signature-256": {s.sign(push, "wrong")}})
	branch := strings.Replace(push, "heads/main", "heads/other", 1)
	s.post(url, branch, http.Header{"X-Github-Event": {"push"}, "X-Hub-Signature-256": {s.sign(branch, s.token)}})
	s.post(url, push, http.Header{"X-Github-Event": {"push"}, "X-Hub-Signature-256": {s.sign(push, s.token)}})
	s.succeed(s.after(before, "knative"))
	// Those that came before have long been judged.
	if now := len(s.runs("")); now != len(before)+1 {
		s.t.Errorf("a push to knative has started %d runs, want one", now-len(before))
	}
	starts := &v1.TaskRunList{}
	s.list(starts, "taskruns", "tekton.dev/task=mirror-start")
	if len(starts.Items) != 2 {
		s.t.Errorf("start ran %d times for two events of those who know the token", len(starts.Items))
	}
}

func (s *installed) sign(body, key string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(body))
	return fmt.Sprintf("sha256=%x", mac.Sum(nil))
}

func (s *installed) post(url, body string, header http.Header) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header = header.Clone()
	if request.Header == nil {
		request.Header = http.Header{}
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode/100 != 2 {
		s.t.Errorf("the EventListener answers %s", response.Status)
	}
}

var forwardingRE = regexp.MustCompile(`^Forwarding from (127\.0\.0\.1:\d+) `)

// forward has a port of this machine lead to one of an EventListener, and returns its URL. kubectl takes a port that is
// free, and is started anew where it ends: a service may have no pod yet that it knows of, or one that does not listen.
func (s *installed) forward(to, port string) string {
	s.t.Helper()
	var address string
	s.until("the port that leads to "+to, func() bool {
		cmd := exec.CommandContext(s.t.Context(), "kubectl", "--namespace", s.name, "port-forward", "--address=127.0.0.1", to, ":"+port)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		line, _ := bufio.NewReader(out).ReadString('\n') // nothing where it has ended
		m := forwardingRE.FindStringSubmatch(line)
		if m == nil {
			return false
		}
		address = m[1]
		response, err := (&http.Client{Timeout: 10 * time.Second}).Get("http://" + address + "/live")
		if err == nil {
			response.Body.Close()
		}
		return err == nil
	})
	return "http://" + address
}

// checkRightsOfStart holds start's service account to what it needs.
func (s *installed) checkRightsOfStart() {
	s.t.Helper()
	s.checkMay("mirror-start",
		[]string{
			"create pipelineruns.tekton.dev", "list pipelineruns.tekton.dev", "delete pipelineruns.tekton.dev",
			"update leases.coordination.k8s.io", "list configmaps",
		},
		[]string{
			"get secrets", "list secrets", "watch secrets", "create secrets", "create pods", "get configmaps", "create configmaps", "update configmaps",
			"delete configmaps", "patch pipelineruns.tekton.dev", "create taskruns.tekton.dev", "create serviceaccounts/token", "delete leases.coordination.k8s.io",
		})
}

// One run of a set at a time, and old ones go.
func TestStart(t *testing.T) {
	s := newInstalled(t, never)
	s.fill()
	s.applyFolder(filepath.Join(s.root, "image-sets"))
	// Each part is about sets of its own, and one of them alone holds the destination.
	for name, checks := range map[string][]func(*installed){
		"one at a time": {(*installed).checkSkipped, (*installed).checkRace, (*installed).checkTwoAtOnce},
		"pruned":        {(*installed).checkPruned},
		"unfit":         {(*installed).checkUnfit},
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
}

func (s *installed) checkSkipped() {
	s.t.Helper()
	release := s.hold(0)
	active := s.begin("kubefed")
	s.held()
	for range 2 {
		log, status := s.start("kubefed")
		if status != 0 || !strings.Contains(log, "msg=skipped set=kubefed because=\"the run "+active+" is active\"") {
			s.t.Errorf("during a run start ends with %d: %s", status, log)
		}
	}
	release()
	s.checkEnd(s.await(active), true, "mappings copied")
	if n := len(s.runs("kubefed")); n != 1 {
		s.t.Errorf("there are %d runs, want one", n)
	}
}

func (s *installed) checkRace() {
	s.t.Helper()
	before := s.runs("toolchain")
	release := s.hold(0)
	logs := make([]string, 6)
	var all sync.WaitGroup
	for i := range logs {
		all.Go(func() {
			var status int
			if logs[i], status = s.start("toolchain"); status != 0 {
				s.t.Errorf("start ends with %d: %s", status, logs[i])
			}
		})
	}
	all.Wait()
	together := strings.Join(logs, "")
	if started, skipped := strings.Count(together, "msg=started"), strings.Count(together, "msg=skipped"); started != 1 || skipped != len(logs)-1 {
		s.t.Errorf("of %d that raced %d started a run and %d were skipped:\n%s", len(logs), started, skipped, together)
	}
	if n := len(s.runs("toolchain")); n != 1 {
		s.t.Errorf("there are %d runs, want one", n)
	}
	release()
	s.succeed(s.after(before, "toolchain"))
}

// checkPruned starts runs of a set that keeps the newest and the newest that failed.
func (s *installed) checkPruned() {
	s.t.Helper()
	file := filepath.Join(s.root, "image-sets", "integr8ly", "settings.yaml")
	content, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	s.replace(file, append(content, "  history: {runs: 1, failed: 1}\n"...))
	// A run that fails, since its secret is not there: one line says so.
	s.delete("secrets", "push-integr8ly")
	failed := s.begin("integr8ly")
	if e := s.await(failed); e.succeeded || !strings.Contains(e.log, "does not exist or is empty") || strings.Count(e.log, "\n") > 1 {
		s.t.Errorf("without its secret the run succeeded: %v, and split says\n%s", e.succeeded, e.log)
	}
	s.apply(s.secret("push-integr8ly", "robot-integr8ly", "right"))
	older := s.begin("integr8ly")
	s.await(older)
	newest := s.begin("integr8ly")
	s.await(newest)
	last := s.begin("integr8ly")
	s.until("the removal of old runs", func() bool { return len(s.runs("integr8ly")) == 3 })
	for _, name := range []string{failed, newest, last} {
		if _, there := s.runs("integr8ly")[name]; !there {
			s.t.Errorf("the run %s is not kept", name)
		}
	}
	s.until("the removal of their state", func() bool {
		return len(s.names("configmaps", "imagemirror/run="+older)) == 0
	})
	s.await(last)
}

// checkUnfit has start asked for what there is not.
func (s *installed) checkUnfit() {
	s.t.Helper()
	for set, says := range map[string]string{
		"no-such-set": "start: there is no image set no-such-set in the namespace " + s.name,
		"No_Set":      `start: the image set "No_Set": `,
	} {
		log, status := s.start(set)
		if status != 2 || !strings.HasPrefix(log, says) || strings.Count(log, "\n") != 1 {
			s.t.Errorf("start %s ends with %d: %s", set, status, log)
		}
	}
	// A file that a removed generator left behind.
	s.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: left, labels: {imagemirror/set: tekton}}\ndata: {OWNERS: \"\"}\n")
	log, status := s.start("tekton", "ocs-operator")
	if status != 2 || !strings.Contains(log, "image-sets/tekton/OWNERS is in the ConfigMaps left and set-tekton") || !strings.Contains(log, "msg=started set=ocs-operator") {
		s.t.Errorf("start with one set that is unfit ends with %d: %s", status, log)
	}
	s.delete("configmaps", "left")
	// Settings with a mistake: the run says so, to the owners.
	file := filepath.Join(s.root, "image-sets", "tekton", "settings.yaml")
	right, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	s.replace(file, append(bytes.Clone(right), "  shard: 2\n"...))
	if e := s.await(s.begin("tekton")); e.succeeded || !strings.Contains(e.log, `image-sets/tekton/settings.yaml:11: unknown key "shard"`) {
		s.t.Errorf("with a mistake in the settings the run succeeded: %v\n%s", e.succeeded, e.log)
	}
	s.replace(file, right)
}

// replace changes a file of a set, as a pull request does.
func (s *installed) replace(file string, content []byte) {
	s.t.Helper()
	s.change(func() error { return os.WriteFile(file, content, 0o644) })
}

// change changes the sets and applies them.
func (s *installed) change(how func() error) {
	s.t.Helper()
	s.changing.Lock()
	defer s.changing.Unlock()
	if err := how(); err != nil {
		s.t.Fatal(err)
	}
	s.rename(s.root)
	s.applyFolder(filepath.Join(s.root, "image-sets"))
}

// checkNinth makes a set with new-set, and has its CronJob start it.
func (s *installed) checkNinth() {
	s.t.Helper()
	registrytest.Push(s.t, s.sources.Host+"/payments/payments:latest", imageOf("payments"))
	s.apply(s.secret("push-payments", "robot-payments", "right"))
	s.change(func() error {
		cmd := exec.CommandContext(s.t.Context(), filepath.Join(s.bin, "imagemirror"), "new-set", "-name=payments", "-dest=quay.io/payments", "-owners=alice")
		cmd.Dir = s.root
		_, err := output(cmd)
		return err
	})
	s.kubectl("create", "job", "now", "--from=cronjob/mirror-payments")
	s.checkEnd(s.await(s.after(nil, "payments")), true, "1 of 1 mapping copied")
	if err := registrytest.Validate(s.t.Context(), s.sources.Host+"/payments/payments:latest", s.copies.Host+"/payments/payments:latest"); err != nil {
		s.t.Error(err)
	}
}

// checkTwoAtOnce has two runs of one set at once, which nobody who uses start has.
func (s *installed) checkTwoAtOnce() {
	s.t.Helper()
	set := s.set("codeready-toolchain")
	release := s.hold(2)
	runs := []string{s.byHand(set.Name), s.byHand(set.Name)}
	s.until("copies of both runs", func() bool {
		return len(s.pods(runs[0], "copy")) > 0 && len(s.pods(runs[1], "copy")) > 0
	})
	s.held()
	release()
	for _, run := range runs {
		if e := s.await(run); !e.succeeded {
			s.t.Errorf("of two runs at once one failed: %s", e.summary)
		}
	}
	for _, m := range set.Mappings {
		from, to := s.sources.Host+"/"+m.Source.Repository+":"+m.Source.Tag, s.copies.Host+"/"+m.Destination.Repository+":"+m.Destination.Tag
		if err := registrytest.Validate(s.t.Context(), from, to); err != nil {
			s.t.Error(err)
		}
	}
}
