package wire

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"imagemirror/internal/prune"
	"imagemirror/internal/reference"
	"imagemirror/internal/registrytest"
)

// A prune that is killed at any moment has deleted nothing but what its file lists, and the next one
// deletes the rest.
func TestKilledPruneDeletesNothingElse(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	program := filepath.Join(t.TempDir(), "imagemirror")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "imagemirror/cmd/imagemirror")
	build.Env = append(build.Environ(), "CGO_ENABLED=0") // as images have it
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building imagemirror: %v\n%s", err, out)
	}
	image := registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 100))
	var digest string
	var unwanted, wanted []string
	for i := range 6 {
		unwanted = append(unwanted, fmt.Sprintf("old-%d", i), fmt.Sprintf("extra-%d", i))
		wanted = append(wanted, fmt.Sprintf("new-%d", i))
	}
	for _, tag := range wanted {
		digest = push(t, r, "m/a:"+tag, image)
	}
	random := rand.New(rand.NewPCG(5, 6))
	for range 4 {
		for _, tag := range unwanted {
			push(t, r, "m/a:"+tag, image)
		}
		file := pruneFile(t, r, unwanted, digest)
		killAt := 1 + random.IntN(24)
		seen := 0
		cmd := exec.CommandContext(t.Context(), program, "prune", "-apply", file)
		cmd.Env = append(os.Environ(), "DOCKER_CONFIG="+t.TempDir())
		started := make(chan struct{})
		r.Inject(registrytest.FaultRule{Match: func(*http.Request) bool {
			<-started
			if seen++; seen == killAt {
				_ = cmd.Process.Kill()
			}
			return false
		}})
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		close(started)
		_ = cmd.Wait()
		r.Heal()
		if left := r.tagsAmong(t, wanted); !slices.Equal(left, wanted) {
			t.Fatalf("killed at request %d, %v are left of %v", killAt, left, wanted)
		}
		again := exec.CommandContext(t.Context(), program, "prune", "-apply", file)
		again.Env = cmd.Env
		if out, err := again.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if left := r.tagsAmong(t, unwanted); len(left) > 0 {
			t.Errorf("killed at request %d, and applied once more: %v are left", killAt, left)
		}
	}
	if left := r.tagsAmong(t, wanted); !slices.Equal(left, wanted) {
		t.Errorf("%v are left of %v", left, wanted)
	}
}

// pruneFile writes a file that lists each other tag, with the one after it.
func pruneFile(t *testing.T, r remoteRegistry, tags []string, digest string) string {
	t.Helper()
	f := &prune.File{Version: prune.Version, Set: "set", Created: time.Now(), After: "720h", Most: 50}
	for i := 0; i < len(tags); i += 2 {
		f.Tags = append(f.Tags, prune.Tag{
			Tag: reference.Reference{Registry: r.Host, Repository: "m/a", Tag: tags[i]}.String(), Digest: digest, Unwanted: time.Now(), Age: "40 days", Reason: "none",
			With: []prune.With{{Kind: prune.Additional, Tag: tags[i+1], Digest: digest}},
		})
	}
	content, err := f.Write()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "prune.json")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// tagsAmong returns which of the tags of m/a exist.
func (r remoteRegistry) tagsAmong(t *testing.T, tags []string) (there []string) {
	t.Helper()
	to, err := client(t, settings()).Destination(t.Context(), parse(t, r.backend+"/m/a"), false)
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range tags {
		if _, err := to.Head(t.Context(), tag); err == nil {
			there = append(there, tag)
		}
	}
	return there
}
