// Package wire shows what goes over the wire. split and copy run in process against real
// registries, and each request is counted and compared with the least that the protocol allows.
package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"

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

// A remoteRegistry is distribution's registry behind a proxy that counts.
type remoteRegistry struct {
	*registrytest.Proxy
	backend string // host of the registry itself
}

// A pair is a source and a destination registry.
type pair struct{ source, destination remoteRegistry }

// newPair starts two registries that demand no credentials.
func newPair(t *testing.T) pair {
	t.Helper()
	return pair{newRegistry(t, nil), newRegistry(t, nil)}
}

// newPrivatePair starts two registries that demand bearer tokens, as public ones do.
func newPrivatePair(t *testing.T) pair {
	t.Helper()
	return pair{newRegistry(t, &registrytest.Auth{}), newRegistry(t, &registrytest.Auth{})}
}

// newPairOnDisk starts two registries for large blobs, with which distribution is slow in memory.
func newPairOnDisk(t *testing.T) pair {
	t.Helper()
	return pair{start(t, registrytest.DistributionOptions{Dir: t.TempDir()}, nil), start(t, registrytest.DistributionOptions{Dir: t.TempDir()}, nil)}
}

func newRegistry(t *testing.T, auth *registrytest.Auth) remoteRegistry {
	t.Helper()
	return start(t, registrytest.DistributionOptions{}, auth)
}

func start(t *testing.T, o registrytest.DistributionOptions, auth *registrytest.Auth) remoteRegistry {
	t.Helper()
	r := registrytest.Distribution(t, o)
	return remoteRegistry{registrytest.NewProxy(t, r, registrytest.ProxyOptions{Auth: auth}), r.Host}
}

func (p pair) reset() {
	p.source.Reset()
	p.destination.Reset()
}

// A run is one run of split and copy, with a client for each, as two processes have.
type run struct {
	plan    *stream.Content
	results map[string]stream.Result // by destination
}

// settings returns the settings of a test's clients. They try little, so a registry that is
// down fails at once. Nothing is slow to them, since on a busy machine everything is for seconds:
// a twelfth of Stall and a sixth are how long they wait before they send requests twice.
func settings() registry.Config {
	return registry.Config{Concurrency: 8, Retries: 5, Stall: time.Hour}
}

// mirrorLines copies the images of the lines of a mapping file.
func mirrorLines(t *testing.T, lines ...string) run {
	t.Helper()
	return mirrorWith(t, settings(), lines...)
}

func mirrorWith(t *testing.T, config registry.Config, lines ...string) run {
	t.Helper()
	return mirrorAs(t, config, anonymous{}, lines...)
}

func mirrorAs(t *testing.T, config registry.Config, keys registry.CredentialSource, lines ...string) run {
	t.Helper()
	var plan bytes.Buffer
	if err := splitTo(t, &plan, clientAs(t, config, keys), mappingFile(t, lines...)); err != nil {
		t.Fatal(err)
	}
	return carry(t, config, keys, read(t, &plan))
}

// carry carries out a plan.
func carry(t *testing.T, config registry.Config, keys registry.CredentialSource, p *stream.Content) run {
	t.Helper()
	r := run{plan: p}
	gathered, err := execute.Gather([]*stream.Content{r.plan})
	if err != nil {
		t.Fatal(err)
	}
	images, size := gathered.Work()
	display := progress.New(os.Stderr, slog.New(slog.DiscardHandler), images, size)
	defer display.Close()
	var out bytes.Buffer
	o := mirror.Options{Client: clientAs(t, config, keys), Observer: display, Grace: time.Second}
	if err := gathered.Carry(t.Context(), o, &out); err != nil {
		t.Fatal(err)
	}
	r.results = resultsOf(t, read(t, &out))
	return r
}

// runLines copies the images of the lines of a mapping file with one client, as imagemirror run
// does.
func runLines(t *testing.T, lines ...string) run {
	t.Helper()
	return runWith(t, client(t, settings()), lines...)
}

func runWith(t *testing.T, c *registry.Client, lines ...string) run {
	t.Helper()
	start := mirror.NewHeadStart(t.Context(), c)
	defer start.Close()
	return runFrom(t, c, start, start.Open, lines...)
}

// runFrom does what runWith does with a head start, or without if that is nil.
func runFrom(t *testing.T, c *registry.Client, start *mirror.HeadStart, ready func(reference.Reference, []string) bool, lines ...string) run {
	t.Helper()
	input, err := imageset.Load([]string{mappingFile(t, lines...)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Make(t.Context(), plan.Options{Client: c, Ready: ready}, input.Sets)
	if err != nil {
		t.Fatal(err)
	}
	work, err := execute.Gather([]*stream.Content{&p.Content})
	if err != nil {
		t.Fatal(err)
	}
	images, size := work.Work()
	display := progress.New(os.Stderr, slog.New(slog.DiscardHandler), images, size)
	defer display.Close()
	results := work.Run(t.Context(), mirror.Options{Client: c, Start: start, Observer: display, Grace: time.Second})
	return run{plan: &p.Content, results: resultsOf(t, results)}
}

// split returns the plan for the lines of a mapping file.
func split(t *testing.T, config registry.Config, lines ...string) *stream.Content {
	t.Helper()
	var out bytes.Buffer
	if err := splitTo(t, &out, client(t, config), mappingFile(t, lines...)); err != nil {
		t.Fatal(err)
	}
	return read(t, &out)
}

func mappingFile(t *testing.T, lines ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "mapping_test")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func splitTo(t *testing.T, w io.Writer, c *registry.Client, file string) error {
	t.Helper()
	input, err := imageset.Load([]string{file}, nil)
	if err != nil {
		return err
	}
	p, err := plan.Make(t.Context(), plan.Options{Client: c}, input.Sets)
	if err != nil {
		return err
	}
	_, err = stream.Write(w, &p.Content)
	return err
}

func parse(t *testing.T, name string) reference.Reference {
	t.Helper()
	r, err := reference.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func client(t *testing.T, config registry.Config) *registry.Client {
	t.Helper()
	return clientAs(t, config, anonymous{})
}

func clientAs(t *testing.T, config registry.Config, keys registry.CredentialSource) *registry.Client {
	t.Helper()
	c, err := registry.New(config, keys)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// anonymous has no credentials.
type anonymous struct{}

func (anonymous) For(context.Context, reference.Side, string, string) (credentials.Credential, error) {
	return credentials.Credential{}, nil
}

func read(t *testing.T, r io.Reader) *stream.Content {
	t.Helper()
	c, err := stream.Read(r, "test")
	if err != nil {
		t.Fatal(err)
	}
	if c.Cut != nil {
		t.Fatal(c.Cut)
	}
	return c
}

func resultsOf(t *testing.T, c *stream.Content) map[string]stream.Result {
	t.Helper()
	names := map[int]string{}
	for _, m := range c.Mappings {
		names[m.ID] = m.Destination
	}
	by := map[string]stream.Result{}
	for _, r := range c.Results {
		by[names[r.ID]] = r
	}
	if len(by) != len(c.Mappings) {
		t.Fatalf("%d mappings have %d results", len(c.Mappings), len(by))
	}
	return by
}

// allAre fails the test for each result with another status.
func (r run) allAre(t *testing.T, status string) {
	t.Helper()
	for name, got := range r.results {
		if got.Status != status {
			t.Errorf("%s is %s (%+v), want %s", name, got.Status, got.Error, status)
		}
	}
}

// are fails the test for each destination on a registry whose status is not the one in want.
func (r run) are(t *testing.T, at remoteRegistry, want map[string]string) {
	t.Helper()
	if err := r.differ(at, want); err != nil {
		t.Error(err)
	}
}

// differ returns the destinations on a registry whose status is not the one in want.
func (r run) differ(at remoteRegistry, want map[string]string) error {
	var all []error
	for name, status := range want {
		if got := r.results[at.Host+"/"+name]; got.Status != status {
			all = append(all, fmt.Errorf("%s is %s, want %s: %+v", name, got.Status, status, got.Error))
		}
	}
	return errors.Join(all...)
}

// failed returns how many images failed.
func (r run) failed() (n int) {
	for _, got := range r.results {
		if got.Status == stream.Failed {
			n++
		}
	}
	return n
}

// wantRequests compares all counts of a proxy. It compares tokens only if want has them.
func wantRequests(t *testing.T, p remoteRegistry, want map[string]int) {
	t.Helper()
	got := p.Stats().Requests
	kinds := map[string]bool{}
	for k := range got {
		kinds[k] = true
	}
	for k := range want {
		kinds[k] = true
	}
	for k := range kinds {
		if _, asked := want["token"]; k == "token" && !asked {
			continue
		}
		if got[k] != want[k] {
			t.Errorf("%d requests of kind %q, want %d; in all %v", got[k], k, want[k], got)
		}
	}
}

// push pushes an image to a registry without its proxy.
func push(t *testing.T, r remoteRegistry, repositoryAndTag string, what remote.Taggable) string {
	t.Helper()
	digest, err := registrytest.Write(t.Context(), r.backend+"/"+repositoryAndTag, what)
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// wantArrived validates an image at the destination against its source.
func wantArrived(t *testing.T, p pair, source, destination string) {
	t.Helper()
	if err := registrytest.Validate(t.Context(), p.source.backend+"/"+source, p.destination.backend+"/"+destination); err != nil {
		t.Error(err)
	}
}

func line(p pair, source string, destinations ...string) string {
	s := fmt.Sprintf("%s/%s", p.source.Host, source)
	for _, d := range destinations {
		s += fmt.Sprintf(" %s/%s", p.destination.Host, d)
	}
	return s
}
