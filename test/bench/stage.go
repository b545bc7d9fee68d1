package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sync/errgroup"

	"imagemirror/internal/registrytest"
)

// A sourceRegistry is a registry with the images of a workload, for all tools.
type sourceRegistry struct {
	*registrytest.Registry
	dir     string
	content *registrytest.WorkloadImages
}

// fill starts a source registry and pushes a workload's images to it.
func (b *bench) fill(ctx context.Context, w benchWorkload) (*sourceRegistry, error) {
	dir := filepath.Join(b.content, "source")
	r, err := w.start(dir)
	if err != nil {
		return nil, err
	}
	content, err := w.images.Write(ctx, r.Host)
	if err == nil && w.tags > 1 {
		var all []string
		if all, err = tag(ctx, r.Host, content.Tags, w.tags); !w.choose {
			content.Tags = all
		}
	}
	if err == nil && w.signed > 0 {
		err = attachAll(ctx, r.Host, content.Tags, w.signed)
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	return &sourceRegistry{Registry: r, dir: dir, content: content}, nil
}

// tag gives images as many tags in all, and returns them.
func tag(ctx context.Context, host string, images []string, tags int) ([]string, error) {
	all := make([]string, 0, len(images)*tags)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for _, image := range images {
		all = append(all, image)
		for n := range tags - 1 {
			other := fmt.Sprintf("%s-%d", image, n)
			all = append(all, other)
			group.Go(func() error { return copyTag(ctx, host+"/"+image, host+"/"+other) })
		}
	}
	return all, group.Wait()
}

func copyTag(ctx context.Context, from, to string) error {
	image, err := name.NewTag(from)
	if err != nil {
		return err
	}
	other, err := name.NewTag(to)
	if err != nil {
		return err
	}
	content, err := remote.Get(image, remote.WithContext(ctx))
	if err != nil {
		return fmt.Errorf("asking for %q: %w", from, err)
	}
	if err := remote.Tag(other, content, remote.WithContext(ctx)); err != nil {
		return fmt.Errorf("tagging %q: %w", to, err)
	}
	return nil
}

func (s *sourceRegistry) close() error {
	s.Close()
	return os.RemoveAll(s.dir)
}

// A testbed is what one tool finds: the source and the destination registries, each behind a proxy.
type testbed struct {
	source       *sourceRegistry
	front        *registrytest.Proxy // before the source
	destinations []*destinationRegistry
	pairs        []imagePair
	dir          string // of the destinations' content
	choose       bool   // the pairs are what is selected of whole repositories
	tls          bool   // the proxies speak TLS, with certificates that nobody trusts
	always       bool   // referrers travel to images that are current, too
}

type destinationRegistry struct {
	*registrytest.Registry
	front *registrytest.Proxy
}

// An imagePair is a mapping. Its last two fields are the source and the destination without the
// proxies.
type imagePair struct{ source, destination, from, to string }

// set sets the stage for one tool. The destinations are empty, or have everything if the
// workload is quiet.
func (b *bench) set(w benchWorkload, from *sourceRegistry) (*testbed, error) {
	s := &testbed{source: from, front: startFront(from.Registry, w), dir: filepath.Join(b.content, "destinations"), choose: w.choose, tls: w.link != nil, always: w.signed > 0}
	for i, copies := range w.copies {
		dir := filepath.Join(s.dir, fmt.Sprint(i))
		if w.quiet {
			dir = from.dir // of which nothing but reading will be asked
		}
		r, err := from.Registry, error(nil) // which keeps its content in the process
		if !w.api {
			r, err = w.start(dir)
		}
		if err != nil {
			return nil, errors.Join(err, s.close())
		}
		d := &destinationRegistry{Registry: r, front: startFront(r, w)}
		s.destinations = append(s.destinations, d)
		for n := range copies {
			s.addPairs(d, n)
		}
	}
	return s, nil
}

func startFront(r *registrytest.Registry, w benchWorkload) *registrytest.Proxy {
	o := registrytest.ProxyOptions{Delay: w.delay, Auth: &registrytest.Auth{}}
	if w.link != nil {
		o.TLS, o.HTTP2, o.Link = true, !w.link.http1, w.link.NetworkLink
	}
	return registrytest.StartProxy(r.Host, o)
}

// addPairs maps every image to the n-th place on a destination; the first has the names of the
// source.
func (s *testbed) addPairs(d *destinationRegistry, n int) {
	path := ""
	if n > 0 {
		path = fmt.Sprintf("copy-%d/", n)
	}
	for _, tag := range s.source.content.Tags {
		to := "/" + path + tag
		s.pairs = append(s.pairs, imagePair{s.front.Host + "/" + tag, d.front.Host + to, s.source.Host + "/" + tag, d.Host + to})
	}
}

func (s *testbed) close() error {
	s.front.Close()
	for _, d := range s.destinations {
		d.front.Close()
		if d.Registry != s.source.Registry {
			d.Close()
		}
	}
	return os.RemoveAll(s.dir)
}

func (s *testbed) hosts() []string {
	hosts := []string{s.front.Host}
	for _, d := range s.destinations {
		hosts = append(hosts, d.front.Host)
	}
	return hosts
}

func (s *testbed) reset() {
	s.front.Reset()
	for _, d := range s.destinations {
		d.front.Reset()
	}
}

// registries returns the process IDs of the registries.
func (s *testbed) registries() []int {
	pids := []int{s.source.PID}
	for _, d := range s.destinations {
		pids = append(pids, d.PID)
	}
	return pids
}

// check finds every destination at its source's digest.
func (s *testbed) check(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for _, p := range s.pairs {
		group.Go(func() error {
			want, err := digestOf(ctx, p.from)
			if err != nil {
				return err
			}
			got, err := digestOf(ctx, p.to)
			if err == nil && got != want {
				err = fmt.Errorf("%s is at %s, and its source at %s", p.destination, got, want)
			}
			return err
		})
	}
	return group.Wait()
}

func digestOf(ctx context.Context, image string) (string, error) {
	ref, err := name.ParseReference(image)
	if err != nil {
		return "", err
	}
	d, err := remote.Head(ref, remote.WithContext(ctx))
	if err != nil {
		return "", fmt.Errorf("asking for %q: %w", image, err)
	}
	return d.Digest.String(), nil
}
