package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"imagemirror/internal/registrytest"
)

// A benchWorkload is images to mirror, and the distance of the registries. All demand bearer
// tokens.
type benchWorkload struct {
	name   string
	images registrytest.Workload
	tags   int           // of each image; 0: one
	delay  time.Duration // of each request
	copies []int         // how many destinations an image has, on each of the destination registries
	quiet  bool          // everything is there already
	signed int           // every so many images have a referrer, and later ones travel too; 0: none
	api    bool          // the registries have the referrers API; quiet workloads only
	choose bool          // of the tags of each image only the first is mirrored, by a selection
	tools  []string      // nil: all
	link   *farLink      // nil: plain HTTP, without a limit
}

// A farLink is TLS over a link whose TCP connections each have a round trip and a rate.
type farLink struct {
	registrytest.NetworkLink
	http1 bool // no HTTP/2
}

const (
	kilobyte = 1000
	megabyte = 1000 * kilobyte
)

func workloads() []benchWorkload {
	const delay = 20 * time.Millisecond
	small := registrytest.Workload{PerRepo: 10, Bases: 1, BaseSize: 20 * kilobyte, TopSize: 10 * kilobyte}
	mixed := registrytest.Workload{Images: 60, IndexEvery: 5, Bases: 3, BaseSize: 4 * megabyte, TopSize: megabyte}
	far3, always := []string{"ours", "regsync", "crane"}, []string{"ours", "pipe", "regsync"}
	return []benchWorkload{
		{name: "cold", images: sharing(60), delay: delay, copies: []int{1}},
		{name: "quiet", images: withImages(small, 450, 9), delay: delay, copies: []int{1}, quiet: true},
		{name: "small", images: withImages(small, 400, 10), delay: delay, copies: []int{1}},
		{name: "large", images: single(8, 100*megabyte), delay: time.Millisecond, copies: []int{1}},
		// crane, which is a process for each image, takes minutes.
		{name: "many", images: withImages(small, 500, 5), tags: 10, delay: delay, copies: []int{1}, quiet: true, tools: []string{"ours", "regsync"}},
		// What was signed later is looked for: by half of the images or one, with the referrers API or
		// without.
		{name: "signed", images: withImages(small, 5000, 50), delay: delay, copies: []int{1}, quiet: true, signed: 2, tools: always},
		{name: "unsigned", images: withImages(small, 5000, 50), delay: delay, copies: []int{1}, quiet: true, signed: 5000, tools: always},
		{name: "signed-api", images: withImages(small, 5000, 50), delay: delay, copies: []int{1}, quiet: true, signed: 2, api: true, tools: always},
		{name: "selected", images: withImages(small, 300, 10), tags: 9, delay: delay, copies: []int{1}, choose: true, tools: []string{"ours", "regsync"}},
		{name: "fan", images: sharing(30), delay: delay, copies: []int{3, 2}},
		{name: "far", images: single(12, 20*megabyte), copies: []int{1}, link: far(10, false), tools: far3},
		{name: "far-http1", images: single(12, 20*megabyte), copies: []int{1}, link: far(10, true), tools: far3},
		{name: "far-mixed", images: mixed, copies: []int{1}, link: far(10, false), tools: far3},
		{name: "far-mixed-http1", images: mixed, copies: []int{1}, link: far(10, true), tools: far3},
		{name: "far-quiet", images: withImages(small, 300, 10), copies: []int{1}, link: far(50, false), quiet: true, tools: far3},
	}
}

// far returns a link of 50 ms, whose connections have a rate in MB/s.
func far(rate int64, http1 bool) *farLink {
	return &farLink{registrytest.NetworkLink{RoundTrip: 50 * time.Millisecond, Rate: rate * megabyte}, http1}
}

// single returns images of one layer.
func single(images int, layer int64) registrytest.Workload {
	return registrytest.Workload{Images: images, TopSize: layer}
}

// sharing returns images as a build system makes them: three shared layers, one of their own,
// and every fifth for two platforms.
func sharing(images int) registrytest.Workload {
	return registrytest.Workload{Images: images, IndexEvery: 5, Bases: 3, BaseSize: 4 << 20, TopSize: 2 * megabyte}
}

func withImages(w registrytest.Workload, images, perRepo int) registrytest.Workload {
	w.Images, w.PerRepo = images, perRepo
	return w
}

// choose finds workloads by their names, which commas separate.
func choose(names string) ([]benchWorkload, error) {
	all := workloads()
	if names == "all" {
		return all, nil
	}
	var chosen []benchWorkload
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(all, func(w benchWorkload) bool { return w.name == name })
		if i < 0 {
			return nil, fmt.Errorf("-workload: there is no %q: bench -h lists them", name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// about describes the workload.
func (w benchWorkload) about() string {
	i := w.images
	s := fmt.Sprintf("%d images", i.Images)
	if w.tags > 1 {
		s += fmt.Sprintf(" with %d tags each", w.tags)
	}
	if i.PerRepo > 1 {
		s += fmt.Sprintf(" in %d repositories", (i.Images+i.PerRepo-1)/i.PerRepo)
	}
	if i.IndexEvery > 0 {
		s += fmt.Sprintf(", one of %d for two platforms", i.IndexEvery)
	}
	s += fmt.Sprintf(", layers: %s of its own", size(i.TopSize))
	if i.Bases > 0 {
		s += fmt.Sprintf(" and %d of %s that all share", i.Bases, size(i.BaseSize))
	}
	if len(w.copies) > 1 {
		s += fmt.Sprintf("; to %d destinations on %d registries", w.destinations(), len(w.copies))
	}
	if w.signed > 0 {
		s += fmt.Sprintf("; one of %d is signed", w.signed)
	}
	if w.choose {
		s += "; one tag of each is selected"
	}
	if w.quiet {
		s += "; all is there"
	}
	if w.api {
		s += "; with the referrers API"
	}
	return s + "; " + w.distance()
}

// distance describes the way to the registries.
func (w benchWorkload) distance() string {
	if w.link == nil {
		return fmt.Sprintf("%s a request", w.delay)
	}
	protocol := "HTTP/2"
	if w.link.http1 {
		protocol = "HTTP/1.1"
	}
	return fmt.Sprintf("%s over TLS, %s a round trip, %d MB/s a connection", protocol, w.link.RoundTrip, w.link.Rate/megabyte)
}

// destinations returns how many destinations an image has.
func (w benchWorkload) destinations() int {
	n := 0
	for _, copies := range w.copies {
		n += copies
	}
	return n
}

func (w benchWorkload) phases() []string {
	if w.quiet {
		return []string{"again"}
	}
	return []string{"cold", "again"}
}

func size(bytes int64) string {
	if bytes < megabyte {
		return fmt.Sprintf("%d KB", bytes/kilobyte)
	}
	return fmt.Sprintf("%d MB", bytes/megabyte)
}
