// Package interop copies one corpus of images between real registries, in all pairs, and compares
// what arrived with raw HTTP, byte for byte. `make interop` prints what it found, and
// docs/reference/registries.md has it.
package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"imagemirror/internal/credentials"
	"imagemirror/internal/execute"
	"imagemirror/internal/imageset"
	"imagemirror/internal/mirror"
	"imagemirror/internal/plan"
	"imagemirror/internal/progress"
	"imagemirror/internal/reference"
	"imagemirror/internal/registry"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// A kind is a registry's program.
type kind struct {
	name  string
	start func(dir string) (*registrytest.Registry, error) // dir: for its content; "": in memory
}

var kinds = []kind{
	{"distribution 3", func(dir string) (*registrytest.Registry, error) {
		return registrytest.StartDistribution(registrytest.DistributionOptions{Dir: dir})
	}},
	{"docker-registry 2.8", registrytest.StartDebian},
	{"go-containerregistry", inProcess(ggcr.WithReferrersSupport(false))},
	{"the same with referrers", inProcess(ggcr.WithReferrersSupport(true))},
	{"ociserver", func(string) (*registrytest.Registry, error) { return registrytest.StartOCIServer(), nil }},
}

func inProcess(o ggcr.Option) func(string) (*registrytest.Registry, error) {
	return func(string) (*registrytest.Registry, error) { return registrytest.StartInProcess(o), nil }
}

// A source is a registry with the images that it accepts.
type source struct {
	kind
	raw
	images []sample
}

// TestImagesArriveUnchanged copies all images between all pairs of registries. Either every
// manifest and every blob arrives as it is, or the image alone fails, in the words that
// docs/reference/registries.md has.
func TestImagesArriveUnchanged(t *testing.T) {
	found := newMatrix()
	sources := map[string]*source{}
	for _, k := range kinds {
		t.Run("start "+k.name, func(sub *testing.T) { sources[k.name] = k.seeded(sub, t) })
	}
	t.Run("copy", func(t *testing.T) {
		for _, from := range kinds {
			if sources[from.name] == nil {
				found.missing = append(found.missing, from.name)
				continue
			}
			for _, to := range kinds {
				if sources[to.name] == nil {
					continue
				}
				t.Run(from.name+" to "+to.name, func(t *testing.T) {
					t.Parallel()
					copyAll(t, found, sources[from.name], to.name, newRaw(to.run(t, t, "")))
				})
			}
			t.Run(from.name+" to itself", func(t *testing.T) {
				t.Parallel()
				copyAll(t, found, sources[from.name], itself, sources[from.name].raw)
			})
		}
	})
	if !t.Failed() {
		found.compare(t)
	}
}

// run starts a registry, which ends with the test owner. It skips t on a machine that cannot have
// the registry, unless CI=true demands all tests.
func (k kind) run(t, owner *testing.T, dir string) *registrytest.Registry {
	t.Helper()
	r, err := k.start(dir)
	if errors.Is(err, registrytest.ErrNoDebian) || err != nil && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	owner.Cleanup(r.Close)
	return r
}

// seeded starts a registry, and pushes all images that it accepts.
func (k kind) seeded(t, owner *testing.T) *source {
	t.Helper()
	r := k.run(t, owner, "")
	s := &source{kind: k, raw: newRaw(r)}
	for _, image := range corpus() {
		accepted, err := s.seed(t.Context(), "ci/", image)
		if err != nil {
			t.Fatal(err)
		}
		if accepted {
			s.images = append(s.images, image)
		}
	}
	return s
}

// copyAll copies all images of a source, twice.
func copyAll(t *testing.T, found *matrix, from *source, to string, at raw) {
	t.Helper()
	var lines []string
	for _, image := range from.images {
		lines = append(lines, image.line(from.host, at.host))
	}
	first, second := mirrorLines(t, 1, lines), mirrorLines(t, 1, lines)
	for _, image := range from.images {
		name := image.destinations(at.host)[0]
		for _, other := range image.destinations(at.host) {
			if first[other].Status != first[name].Status {
				t.Errorf("%s: %s is %+v, and %s is %+v", image.kind, name, first[name], other, first[other])
			}
		}
		found.add(from.name, to, image.kind, first[name])
		if first[name].Status != stream.Copied {
			continue
		}
		if got := second[name]; got.Status != stream.Current {
			t.Errorf("%s: a second run says %+v of %s, want %s", image.kind, got, name, stream.Current)
		}
		for _, err := range compare(t.Context(), from.raw, at, image) {
			t.Errorf("%s: %v", image.kind, err)
		}
	}
}

// compare reads an image at both registries, and returns all differences.
func compare(ctx context.Context, from, at raw, image sample) (errs []error) {
	want := image.root()
	check := func(registry raw, repo, ref string, want document) document {
		got, err := registry.manifest(ctx, repo, ref)
		if err == nil && !bytes.Equal(got.content, want.content) {
			err = fmt.Errorf("manifest %s of %s is %.300q, want %.300q", ref, repo, got.content, want.content)
		}
		if err != nil {
			errs = append(errs, err)
		}
		return got
	}
	if !image.untagged {
		for _, tag := range image.tags {
			check(at, "m/"+image.repo, tag, want)
		}
	}
	for _, m := range image.manifests {
		original, arrived := check(from, "ci/"+image.repo, m.digest(), m), check(at, "m/"+image.repo, m.digest(), m)
		if arrived.mediaType != original.mediaType {
			errs = append(errs, fmt.Errorf("manifest %s has the type %q, want %q", m.digest(), arrived.mediaType, original.mediaType))
		}
	}
	for _, b := range image.blobs {
		got, err := at.blob(ctx, "m/"+image.repo, b.digest())
		if err != nil || !bytes.Equal(got, b.content) {
			errs = append(errs, fmt.Errorf("blob %s is %.100q, want %.100q: %w", b.digest(), got, b.content, err))
		}
	}
	return errs
}

// destinations returns the names at host that the tags of an image are copied to.
func (s sample) destinations(host string) []string {
	if s.untagged {
		return []string{host + "/m/" + s.repo + "@" + s.root().digest()}
	}
	var names []string
	for _, tag := range s.tags {
		names = append(names, host+"/m/"+s.repo+":"+tag)
	}
	return names
}

func (s sample) root() document { return s.manifests[len(s.manifests)-1] }

// line returns the line of a mapping file for an image.
func (s sample) line(from, to string) string {
	src, dst := from+"/ci/"+s.repo, to+"/m/"+s.repo
	switch {
	case s.untagged:
		return fmt.Sprintf("%s@%s %s", src, s.root().digest(), dst)
	case s.byDigest:
		return fmt.Sprintf("%s@%s %s:%s", src, s.root().digest(), dst, s.tags[0])
	case len(s.tags) > 1:
		return fmt.Sprintf("%s:* %s", src, dst)
	}
	return fmt.Sprintf("%s:%s %s:%s", src, s.tags[0], dst, s.tags[0])
}

// mirrorLines runs split and copy in process, as imagemirror run does, and returns the results by
// destination.
func mirrorLines(t *testing.T, retries int, lines []string) map[string]stream.Result {
	t.Helper()
	file := filepath.Join(t.TempDir(), "mapping_test")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	input, err := imageset.Load([]string{file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	client, err := registry.New(registry.Config{Concurrency: 8, Retries: retries, Stall: time.Minute}, anonymous{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Make(t.Context(), plan.Options{Client: client}, input.Sets)
	if err != nil {
		t.Fatal(err)
	}
	batch, err := execute.Gather([]*stream.Content{&p.Content})
	if err != nil {
		t.Fatal(err)
	}
	images, size := batch.Work()
	display := progress.New(os.Stderr, slog.New(slog.DiscardHandler), images, size)
	defer display.Close()
	results := map[int]stream.Result{}
	for _, r := range batch.Run(t.Context(), mirror.Options{Client: client, Observer: display, Grace: time.Second}).Results {
		results[r.ID] = r
	}
	by := map[string]stream.Result{}
	for _, m := range p.Content.Mappings {
		by[m.Destination] = results[m.ID]
	}
	return by
}

// anonymous has no credentials.
type anonymous struct{}

func (anonymous) For(context.Context, reference.Side, string, string) (credentials.Credential, error) {
	return credentials.Credential{}, nil
}
