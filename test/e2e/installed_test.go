//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"

	containerregistry "github.com/google/go-containerregistry/pkg/v1"
	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"golang.org/x/sync/errgroup"

	"imagemirror/internal/imageset"
	"imagemirror/internal/policy"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/settings"
)

// An installed is a namespace with the image sets of this tree. Each set has its own user at the
// destination, who may push only below the set's prefixes.
type installed struct {
	*space
	root     string      // a copy of what is applied, for this namespace
	changing *sync.Mutex // held while root is changed and applied
	sets     []*imageset.Set
}

// newInstalled installs everything but the sets.
func newInstalled(t *testing.T) *installed {
	t.Helper()
	t.Parallel()
	s := &installed{
		space: &space{world: up(t), t: t, name: newName()},
		root:  t.TempDir(), changing: &sync.Mutex{},
	}
	for _, dir := range []string{"image-sets", "triggers"} {
		from := os.DirFS(filepath.Join("../..", dir))
		if err := os.CopyFS(filepath.Join(s.root, dir), from); err != nil {
			t.Fatal(err)
		}
	}
	s.startOften()
	s.load()
	s.openRegistries()
	s.pin(filepath.Join(s.root, "image-sets", "base", "kustomization.yaml"))
	s.rename(s.root)
	t.Cleanup(s.leave)
	s.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: " + s.name + "}")
	s.install()
	registries := map[string]string{"registries.conf": s.registriesConf()}
	objects := []string{string(s.yaml), s.configMapYAML("registries", registries)}
	for _, set := range s.sets {
		objects = append(objects, s.pushSecret(set.Name))
	}
	s.apply(objects...)
	return s
}

// startOften removes the least time between two runs of a set from the policy.
func (s *installed) startOften() {
	s.t.Helper()
	file := filepath.Join(s.root, "image-sets", policy.File)
	content, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	often := strings.Replace(string(content), "  interval: 15m\n", "", 1)
	if err := os.WriteFile(file, []byte(often), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// load reads the sets of this tree.
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

// openRegistries starts two registries. registriesConf maps the hosts in the mappings to them.
func (s *installed) openRegistries() {
	s.t.Helper()
	s.sources, s.copies = distribution(s.t), distribution(s.t)
	users := []registrytest.User{robotOf("payments", settings.Prefixes{{Name: "quay.io/payments"}})}
	for _, set := range s.sets {
		users = append(users, robotOf(set.Name, set.Settings.Destinations))
	}
	auth := &registrytest.Auth{Users: users}
	options := registrytest.ProxyOptions{Host: s.host, Delay: delay, Auth: auth}
	s.source = registrytest.NewProxy(s.t, s.sources, options)
	s.destination = registrytest.NewProxy(s.t, s.copies, options)
}

// robotOf returns the user of a set, who may push below some destinations.
func robotOf(set string, destinations settings.Prefixes) registrytest.User {
	u := registrytest.User{Name: "robot-" + set, Password: "right", Pull: []string{""}}
	for _, prefix := range destinations {
		u.Push = append(u.Push, strings.TrimPrefix(prefix.Name, "quay.io/"))
	}
	return u
}

func (s *installed) pushSecret(set string) string {
	s.t.Helper()
	return s.secretYAML("push-"+set, s.login("robot-"+set, "right"))
}

func (s *installed) registriesConf() string {
	const entry = "[[registry]]\nprefix = %q\nlocation = %q\ninsecure = true\n"
	return fmt.Sprintf(entry+entry,
		"registry.ci.openshift.org", s.source.Host, "quay.io", s.destination.Host)
}

// pin names the images in a kustomization, as docs/how-to/image-sets.md says.
func (s *installed) pin(file string) {
	s.t.Helper()
	component, err := os.ReadFile(filepath.Join(s.bin, "kustomization.yaml"))
	if err != nil {
		s.t.Fatal(err)
	}
	_, images, _ := strings.Cut(string(component), "\nimages:\n")
	content, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	pinned := string(content) + "images:\n" + images
	if err := os.WriteFile(file, []byte(pinned), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

var scheduleRE = regexp.MustCompile(`(?m)^  schedule: .*$`)

// Schedules that the sets get in place of their own.
const (
	everyMinute = "* * * * *"
	never       = "0 0 29 2 *"
)

// schedule gives a set a schedule, and one shard: fewer pods for a machine that runs many sets.
func (s *installed) schedule(set, schedule string) error {
	file := filepath.Join(s.root, "image-sets", set, "settings.yaml")
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	line := fmt.Sprintf("  schedule: %q", schedule)
	if !strings.Contains(string(content), "\n  shards: ") {
		line += "\n  shards: 1"
	}
	return os.WriteFile(file, scheduleRE.ReplaceAll(content, []byte(line)), 0o644)
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
	s.applyDirectory(filepath.Join(s.root, "image-sets"))
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
			ref := s.sources.Host + "/" + source
			_, err := registrytest.Write(s.t.Context(), ref, imageOf(source))
			return err
		})
	}
	if err := all.Wait(); err != nil {
		s.t.Fatal(err)
	}
}

func imageOf(name string) containerregistry.Image {
	layer := registrytest.NewLayer(name, 1<<10)
	return registrytest.NewImage(registrytest.OCI, name, runtime.GOARCH, layer)
}

// checkMirrored compares every destination of the sets with its source.
func (s *installed) checkMirrored() {
	s.t.Helper()
	for _, set := range s.sets {
		for _, m := range set.Mappings {
			from := s.sources.Host + "/" + m.Source.Repository + ":" + m.Source.Tag
			to := s.copies.Host + "/" + m.Destination.Repository + ":" + m.Destination.Tag
			if err := registrytest.Validate(s.t.Context(), from, to); err != nil {
				s.t.Errorf("%s: %v", set.Name, err)
			}
		}
	}
}

// holdSet makes the requests wait that would move tags of a set's destinations, after some have
// passed.
func (s *installed) holdSet(name string, after int) *held {
	s.t.Helper()
	for _, set := range s.sets {
		if set.Name == name {
			paths := robotOf(name, set.Settings.Destinations).Push
			return s.holdTags("("+strings.Join(paths, "|")+")", after)
		}
	}
	s.t.Fatalf("there is no set %s", name)
	return nil
}

// runs returns the runs of a set that start has started, by their names.
func (s *installed) runs(set string) map[string]v1.PipelineRun {
	s.t.Helper()
	list := &v1.PipelineRunList{}
	s.list(list, "pipelineruns", "imagemirror/set="+set)
	runs := map[string]v1.PipelineRun{}
	for _, run := range list.Items {
		runs[run.Name] = run
	}
	return runs
}

// awaitRun waits for a run of a set that was not there before, and returns its name.
func (s *installed) awaitRun(set string, before map[string]v1.PipelineRun) (run string) {
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

// checkSucceeds waits for the end of a run, and checks that it succeeded.
func (s *installed) checkSucceeds(run string) {
	s.t.Helper()
	if e := s.await(run); !e.succeeded {
		s.t.Errorf("the run %s: %s\n%s", run, e.summary, e.log)
	}
}

// startHere runs the command start on this machine, and returns its output and its exit status. If
// the API server is too busy for it, it is run again, as often as by a CronJob's Job.
func (s *installed) startHere(sets ...string) (log string, status int) {
	s.t.Helper()
	const backoffLimit, unfinished = 2, 1
	for range 1 + backoffLimit {
		cmd := exec.CommandContext(s.t.Context(), filepath.Join(s.bin, "start"), sets...)
		cmd.Env = append(os.Environ(), "MIRROR_NAMESPACE="+s.name)
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil {
			s.t.Fatal(err)
		}
		if log, status = string(out), cmd.ProcessState.ExitCode(); status != unfinished {
			break
		}
		s.t.Logf("start %s: %s", strings.Join(sets, " "), log)
	}
	return log, status
}

var startedRE = regexp.MustCompile(`msg=started set=\S+ run=(\S+)`)

// begin starts a run, which must be possible, and returns its name.
func (s *installed) begin(set string) string {
	s.t.Helper()
	log, status := s.startHere(set)
	m := startedRE.FindStringSubmatch(log)
	if status != 0 || m == nil {
		s.t.Fatalf("start %s exits with %d: %s", set, status, log)
	}
	return m[1]
}
