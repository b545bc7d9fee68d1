package rollback

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"imagemirror/internal/command"
	"imagemirror/internal/record"
	"imagemirror/internal/registrytest"
)

// TestMain lets the test binary run as the command.
func TestMain(m *testing.M) {
	if os.Getenv("BE_ROLLBACK") == "1" {
		command.Main(Command())
	}
	os.Exit(m.Run())
}

// A scene is a set of three tags, each of which has moved from an old image to a new one.
type scene struct {
	source, destination *registrytest.Proxy
	backend             string // host of the destination registry itself
	dir                 string // has the directories web and records
	record              []byte // as it was before
	old, fresh          map[string]string
	names               []string
}

func newScene(t *testing.T) *scene {
	t.Helper()
	to := registrytest.Distribution(t, registrytest.DistributionOptions{})
	s := &scene{
		source:      registrytest.NewProxy(t, registrytest.Distribution(t, registrytest.DistributionOptions{}), registrytest.ProxyOptions{}),
		destination: registrytest.NewProxy(t, to, registrytest.ProxyOptions{}),
		backend:     to.Host, dir: t.TempDir(), old: map[string]string{}, fresh: map[string]string{},
	}
	r := record.New("web")
	began := time.Now().Add(-2 * time.Hour).UTC()
	var lines []string
	for i := range 3 {
		repository := fmt.Sprintf("m/image-%d", i)
		n := s.destination.Host + "/" + repository + ":v1"
		s.names = append(s.names, n)
		for j, digests := range []map[string]string{s.old, s.fresh} { // the source has the new one in the end
			version := []string{"old", "fresh"}[j]
			image := registrytest.NewImage(registrytest.OCI, repository+version, "amd64", registrytest.NewLayer(repository+version, 1000))
			digest, err := registrytest.Write(t.Context(), s.backend+"/"+repository+":"+version, image)
			if err != nil {
				t.Fatal(err)
			}
			digests[n] = digest
			if _, err := registrytest.Write(t.Context(), s.source.Host+"/ci/"+fmt.Sprint("image-", i)+":v1", image); err != nil {
				t.Fatal(err)
			}
		}
		lines = append(lines, fmt.Sprintf("%s/ci/image-%d:v1 %s", s.source.Host, i, n))
		r.Destinations = append(r.Destinations, &record.Destination{
			Name: n, Digest: s.fresh[n], Since: began, File: "mapping_x", Line: i + 1,
			Moves: []*record.Move{{Digest: s.old[n], When: began.Add(-time.Hour), Wrote: true}, {Digest: s.fresh[n], When: began, Wrote: true}},
		})
	}
	content, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	s.record = content
	s.write(t, "web/mapping_x", []byte(strings.Join(lines, "\n")))
	return s
}

func (s *scene) write(t *testing.T, file string, content []byte) {
	t.Helper()
	path := filepath.Join(s.dir, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// reset brings the tags to their new images, and the record back.
func (s *scene) reset(t *testing.T) {
	t.Helper()
	s.write(t, "records/web.json", s.record)
	for _, n := range s.names {
		repository := strings.TrimSuffix(strings.TrimPrefix(n, s.destination.Host), ":v1")
		fresh, err := name.NewDigest(s.backend + repository + "@" + s.fresh[n])
		if err != nil {
			t.Fatal(err)
		}
		image, err := remote.Get(fresh)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Tag(fresh.Context().Tag("v1"), image); err != nil {
			t.Fatal(err)
		}
	}
}

// digestOf returns where a tag is.
func (s *scene) digestOf(t *testing.T, n string) string {
	t.Helper()
	ref, err := name.ParseReference(s.backend + strings.TrimPrefix(n, s.destination.Host))
	if err != nil {
		t.Fatal(err)
	}
	at, err := remote.Head(ref)
	if err != nil {
		t.Fatal(err)
	}
	return at.Digest.String()
}

// start returns the command with arguments before those that all have.
func (s *scene) start(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], append(args, "-record", "records", "web")...)
	cmd.Dir, cmd.Env = s.dir, append(os.Environ(), "BE_ROLLBACK=1", "MIRROR_CONCURRENCY=1", "DOCKER_CONFIG="+s.dir)
	return cmd
}

func (s *scene) load(t *testing.T) *record.Record {
	t.Helper()
	r, err := record.ReadDirectory(filepath.Join(s.dir, "records")).Load(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// killAt runs the command and kills it when the registries get request number at. It returns how
// many there were, and whether it was killed.
func (s *scene) killAt(t *testing.T, at int) (requests int, killed bool) {
	t.Helper()
	cmd := s.start(t, "-apply")
	var mu sync.Mutex
	started := make(chan struct{})
	rule := registrytest.FaultRule{Match: func(*http.Request) bool {
		<-started
		mu.Lock()
		defer mu.Unlock()
		if requests++; requests == at {
			killed = cmd.Process.Kill() == nil
		}
		return false
	}}
	s.source.Inject(rule)
	s.destination.Inject(rule)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	close(started)
	err := cmd.Wait()
	s.source.Heal()
	s.destination.Heal()
	if !killed && err != nil {
		t.Fatalf("rollback: %v", err)
	}
	return requests, killed
}

// A rollback that is killed between any two requests leaves each tag at its old or at its new
// image, and a hold for each that it moved. The same command finishes the work.
func TestKilledRollbackLosesNoHold(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	moved := map[int]int{} // how many tags were moved, by request
	for at := 1; ; at++ {
		s.reset(t)
		requests, killed := s.killAt(t, at)
		r := s.load(t)
		for _, n := range s.names {
			hold := r.Destination(n).Hold
			switch digest := s.digestOf(t, n); {
			case digest == s.old[n] && (hold == nil || hold.Digest != digest || hold.Source != s.fresh[n]):
				t.Errorf("killed at request %d: %s went back and has the hold %+v", at, n, hold)
			case digest == s.old[n]:
				moved[at]++
			case digest != s.fresh[n]:
				t.Errorf("killed at request %d: %s is at %s", at, n, digest)
			}
		}
		if out, err := s.start(t, "-apply").CombinedOutput(); killed && err != nil {
			t.Errorf("killed at request %d, and again: %v\n%s", at, err, out)
		}
		if killed {
			s.wantOld(t)
		}
		if !killed {
			if requests != 12 { // HEAD, HEAD, GET and PUT for each
				t.Errorf("%d requests, want 12", requests)
			}
			break
		}
	}
	if moved[1] != 0 || moved[12] < 2 || moved[13] != 3 {
		t.Errorf("tags were moved before a kill: %v", moved)
	}
}

// wantOld checks that all tags are at their old images, are held there, and that this is recorded.
func (s *scene) wantOld(t *testing.T) {
	t.Helper()
	r := s.load(t)
	for _, n := range s.names {
		d := r.Destination(n)
		if s.digestOf(t, n) != s.old[n] || d.Digest != s.old[n] || d.Hold == nil || d.Hold.Moving || len(d.Moves) != 3 {
			content, _ := json.Marshal(d)
			t.Errorf("%s is at %s, and its record is %s", n, s.digestOf(t, n), content)
		}
	}
}

// A rollback that is interrupted ends in seconds, says so, and is finished by the same command.
func TestInterruptedRollback(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.reset(t)
	cmd := s.start(t, "-apply")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	puts := 0
	started := make(chan struct{})
	s.destination.Inject(registrytest.FaultRule{Kind: "PUT manifest", Match: func(*http.Request) bool {
		<-started
		if puts++; puts == 1 {
			_ = cmd.Process.Signal(os.Interrupt)
		}
		return false
	}})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	close(started)
	err := cmd.Wait()
	s.destination.Heal()
	if err != nil && cmd.ProcessState.ExitCode() != 1 {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	for _, d := range s.load(t).Destinations {
		if d.Hold == nil {
			t.Errorf("%s has no hold", d.Name)
		}
	}
	if out, err := s.start(t, "-apply").CombinedOutput(); cmd.ProcessState.ExitCode() == 1 && err != nil {
		t.Errorf("again: %v\n%s", err, out)
	}
}
