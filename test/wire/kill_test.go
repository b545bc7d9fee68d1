package wire

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// A copy that is killed leaves every tag on its old or its new image, and that image complete.
// The next run finishes the work.
func TestKilledCopyLeavesTagsWhole(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	w := oldAndNew(t, p)
	dir := t.TempDir()
	program := buildCopy(t, dir)
	total := 0
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 12 {
		w.bringOld(t, p)
		plan := writePlan(t, filepath.Join(dir, "plan.jsonl"), w.lines)
		at := 1 + random.IntN(max(total, 40)*11/10)
		requests, killed := runAndKill(t, p, program, plan, at)
		t.Logf("round %d: killed %v at request %d of %d", round, killed, at, requests)
		if !killed {
			total = requests
		}
		w.wantWhole(t, p)
	}
	mirrorLines(t, w.lines...)
	for _, name := range w.names {
		wantArrived(t, p, name+":new", "mirror/"+name+":v1")
	}
	p.reset()
	mirrorLines(t, w.lines...).allAre(t, stream.Current)
}

// buildCopy builds copy into a directory.
func buildCopy(t *testing.T, dir string) (program string) {
	t.Helper()
	program = filepath.Join(dir, "copy")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "imagemirror/cmd/copy")
	build.Env = append(build.Environ(), "CGO_ENABLED=0") // as images have it
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building copy: %v\n%s", err, out)
	}
	return program
}

// twoVersions are repositories whose tag v1 at the destination moves from the image old to the
// image new.
type twoVersions struct {
	names, lines []string
	old          map[string]string // digests by name
	fresh        map[string]string
}

func oldAndNew(t *testing.T, p pair) twoVersions {
	t.Helper()
	w := twoVersions{old: map[string]string{}, fresh: map[string]string{}}
	base := registrytest.NewLayer("base", 100_000)
	for i := range 5 {
		name := fmt.Sprintf("ci/image-%d", i)
		for version, digests := range map[string]map[string]string{"old": w.old, "new": w.fresh} {
			var what remote.Taggable = registrytest.NewImage(registrytest.OCI, name+version, "amd64", base, registrytest.NewLayer(name+version, 200_000))
			if i%2 == 0 {
				what = registrytest.NewPlatforms(registrytest.OCI, name+version, 2000, []string{"amd64", "arm64"}, base)
			}
			digests[name] = push(t, p.source, name+":"+version, what)
		}
		w.names = append(w.names, name)
		w.lines = append(w.lines, line(p, name+":new", "mirror/"+name+":v1"))
	}
	return w
}

// bringOld moves the tags back to the old images, as a team does that returns to an earlier
// version. The first time, that fills the destination.
func (w twoVersions) bringOld(t *testing.T, p pair) {
	t.Helper()
	var lines []string
	for _, name := range w.names {
		lines = append(lines, line(p, name+":old", "mirror/"+name+":v1"))
	}
	mirrorLines(t, lines...)
}

func writePlan(t *testing.T, file string, lines []string) string {
	t.Helper()
	mappings := filepath.Join(filepath.Dir(file), "mapping_kill")
	var content bytes.Buffer
	for _, l := range lines {
		fmt.Fprintln(&content, l)
	}
	if err := os.WriteFile(mappings, content.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := splitTo(t, out, client(t, settings()), mappings); err != nil {
		t.Fatal(err)
	}
	return file
}

// runAndKill runs copy and kills it when the destination gets request number at. It returns how
// many there were.
func runAndKill(t *testing.T, p pair, program, plan string, at int) (requests int, killed bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, plan)
	cmd.Env = append(os.Environ(), "MIRROR_CONCURRENCY=4", "DOCKER_CONFIG="+t.TempDir())
	started := make(chan struct{})
	p.destination.Inject(registrytest.FaultRule{Match: func(*http.Request) bool {
		<-started
		if requests++; requests == at {
			killed = cmd.Process.Kill() == nil
		}
		return false
	}})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	close(started)
	err := cmd.Wait()
	p.destination.Heal()
	if !killed && err != nil {
		t.Fatalf("copy: %v", err)
	}
	return requests, killed
}

// wantWhole checks that each tag points at one of its two images, with everything below it.
func (w twoVersions) wantWhole(t *testing.T, p pair) {
	t.Helper()
	c := client(t, settings())
	for _, name := range w.names {
		to, err := c.Destination(t.Context(), parse(t, p.destination.backend+"/mirror/"+name), false)
		if err != nil {
			t.Fatal(err)
		}
		digest, err := to.Head(t.Context(), "v1")
		if err != nil {
			t.Error(err)
			continue
		}
		// Check the digest: a push that was under way when copy was killed may still move the tag.
		at := "mirror/" + name + "@" + digest
		switch digest {
		case w.old[name]:
			wantArrived(t, p, name+":old", at)
		case w.fresh[name]:
			wantArrived(t, p, name+":new", at)
		default:
			t.Errorf("%s is at %s, which is neither its old nor its new image", name, digest)
		}
	}
}
