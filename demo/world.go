package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sync/errgroup"

	"imagemirror/internal/imageset"
	"imagemirror/internal/registrytest"
)

// A world is two registries, the commands, and a copy of the image sets in a directory of its
// own.
type world struct {
	dir      string
	sets     []string // paths of the image sets below dir
	images   []demoImage
	mappings int

	registries          []*registrytest.Registry
	source, destination *registrytest.Proxy
	backends            [2]string // hosts of the registries behind the proxies

	signed struct{ source, destination string } // the image that is signed
	rolled demoImage                            // the image that is rolled back
}

// A demoImage is a source with its destinations.
type demoImage struct {
	source       string // REPOSITORY:TAG on the source registry
	to           []string
	destinations int
}

func newWorld(ctx context.Context, dir string) (*world, error) {
	w := &world{dir: dir}
	build := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(dir, "bin")+"/", "./cmd/...")
	build.Stdout, build.Stderr = os.Stdout, os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("building the commands: %w", err)
	}
	if err := os.CopyFS(filepath.Join(dir, "image-sets"), os.DirFS("image-sets")); err != nil {
		return nil, err
	}
	for i := range 2 {
		r, err := registrytest.StartDistribution(registrytest.DistributionOptions{})
		if err != nil {
			w.close()
			return nil, err
		}
		w.registries = append(w.registries, r)
		w.backends[i] = r.Host
	}
	w.source = registrytest.StartProxy(w.backends[0], registrytest.ProxyOptions{Auth: &registrytest.Auth{}})
	w.destination = registrytest.StartProxy(w.backends[1], registrytest.ProxyOptions{Auth: &registrytest.Auth{}})
	return w, w.load()
}

// load reads the image sets, and writes a registries.conf that maps their names to these
// registries.
func (w *world) load() error {
	paths, err := filepath.Glob(filepath.Join(w.dir, "image-sets", "*", "OWNERS"))
	if err != nil {
		return err
	}
	var dirs []string
	for _, p := range paths {
		dirs = append(dirs, filepath.Dir(p))
		w.sets = append(w.sets, "image-sets/"+filepath.Base(filepath.Dir(p)))
	}
	input, err := imageset.Load(dirs, nil)
	if err != nil {
		return err
	}
	at := map[string]int{}
	for _, set := range input.Sets {
		for _, m := range set.Mappings {
			source := m.Source.Repository + ":" + m.Source.Tag
			i, known := at[source]
			if !known {
				i = len(w.images)
				at[source] = i
				w.images = append(w.images, demoImage{source: source})
			}
			w.images[i].to = append(w.images[i].to, m.Destination.Repository+":"+m.Destination.Tag)
			w.images[i].destinations++
			w.mappings++
		}
	}
	conf := fmt.Sprintf("[[registry]]\nprefix = %q\nlocation = %q\n\n[[registry]]\nprefix = %q\nlocation = %q\n",
		"registry.ci.openshift.org", w.source.Host, "quay.io", w.destination.Host)
	return os.WriteFile(filepath.Join(w.dir, "registries.conf"), []byte(conf), 0o600)
}

func (w *world) close() {
	for _, p := range []*registrytest.Proxy{w.source, w.destination} {
		if p != nil {
			p.Close()
		}
	}
	for _, r := range w.registries {
		r.Close()
	}
}

// fill pushes an image for every source, and signs one of them.
func (w *world) fill(ctx context.Context) error {
	var all errgroup.Group
	all.SetLimit(8)
	for i, im := range w.images {
		all.Go(func() error { return w.push(ctx, im.source, newImage(im.source, i)) })
	}
	if err := all.Wait(); err != nil {
		return err
	}
	return w.sign(ctx)
}

func (w *world) push(ctx context.Context, source string, what remote.Taggable) error {
	_, err := registrytest.Write(ctx, w.backends[0]+"/"+source, what)
	return err
}

// newImage returns an image on the base layer of its repository's first folder. Every seventh
// image is an index for two architectures.
func newImage(name string, i int) remote.Taggable {
	base := registrytest.NewLayer("base of "+strings.Split(name, "/")[0], 400_000)
	if i%7 == 0 {
		return registrytest.NewPlatforms(registrytest.OCI, name, 20_000, []string{"amd64", "arm64"}, base)
	}
	return registrytest.NewImage(registrytest.Docker, name, "amd64", base, registrytest.NewLayer(name, 30_000))
}

// move pushes another image to the tag of a set's first source.
func (w *world) move(ctx context.Context, set string) (demoImage, error) {
	input, err := imageset.Load([]string{filepath.Join(w.dir, "image-sets", set)}, nil)
	if err != nil {
		return demoImage{}, err
	}
	first := input.Sets[0].Mappings[0].Source
	i := slices.IndexFunc(w.images, func(im demoImage) bool { return im.source == first.Repository+":"+first.Tag })
	return w.images[i], w.push(ctx, w.images[i].source, newImage(w.images[i].source+" anew", 1))
}

// breakLine gives the first mapping of a set a source that does not exist, and returns the place.
func (w *world) breakLine(set string) (place string, err error) {
	input, err := imageset.Load([]string{filepath.Join(w.dir, "image-sets", set)}, nil)
	if err != nil {
		return "", err
	}
	m := input.Sets[0].Mappings[0]
	text, err := os.ReadFile(m.File)
	if err != nil {
		return "", err
	}
	changed := strings.Replace(string(text), m.Source.String(), m.Source.Name()+":no-such-tag", 1)
	return fmt.Sprintf("image-sets/%s/%s:%d", set, filepath.Base(m.File), m.Line), os.WriteFile(m.File, []byte(changed), 0o600)
}

// validate compares every destination with its source, down to the last blob.
func (w *world) validate(ctx context.Context) error {
	for _, im := range w.images {
		for _, to := range im.to {
			if err := registrytest.Validate(ctx, w.backends[0]+"/"+im.source, w.backends[1]+"/"+to); err != nil {
				return err
			}
		}
	}
	fmt.Printf("(Every destination was read back, and has its source's digest.)\n")
	return nil
}

// writes returns how many requests changed something at the destination.
func (w *world) writes() int {
	n := 0
	for _, q := range w.destination.Log() {
		if q.Kind != "token" && q.Method != http.MethodGet && q.Method != http.MethodHead {
			n++
		}
	}
	return n
}

func (w *world) showRequests() {
	for _, side := range []struct {
		name string
		p    *registrytest.Proxy
	}{{"source", w.source}, {"destination", w.destination}} {
		stats := side.p.Stats()
		var kinds []string
		for _, k := range slices.Sorted(maps.Keys(stats.Requests)) {
			kinds = append(kinds, fmt.Sprintf("%d %s", stats.Requests[k], k))
		}
		fmt.Printf("requests to the %s: %s\n", side.name, strings.Join(kinds, ", "))
	}
}
