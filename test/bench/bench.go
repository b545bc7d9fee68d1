package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"
)

// A bench is one call of this program.
type bench struct {
	options
	dir     string // of programs and their files
	content string // what the registries keep
}

func newBench(ctx context.Context, o options) (*bench, error) {
	b := &bench{options: o}
	// The registries, which inherit this, and the proxies leave the cores to the tools, which
	// do not inherit it. (Distribution allocates 4 MiB for each blob that is read.)
	debug.SetGCPercent(300)
	err := os.Setenv("GOGC", "300")
	if err != nil {
		return nil, err
	}
	if b.dir, err = os.MkdirTemp("", "imagemirror-bench-"); err != nil {
		return nil, err
	}
	if b.content, err = os.MkdirTemp(o.dir, "imagemirror-bench-"); err != nil {
		return nil, errors.Join(err, b.close())
	}
	if err := b.build(ctx); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *bench) close() error {
	var err error
	for _, dir := range []string{b.dir, b.content} {
		if dir != "" {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}
	return err
}

// defaultDir returns a directory in memory if there is one: the speed of a disk is not to be
// measured.
func defaultDir() string {
	const memory = "/dev/shm"
	if info, err := os.Stat(memory); err == nil && info.IsDir() {
		return memory
	}
	return os.TempDir()
}

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}

// A comparison is what the tools took for one workload.
type comparison struct {
	benchWorkload
	concurrency int
	bounds      map[string]leastCost // by phase
	results     []result
}

// A result is what one tool took for one phase.
type result struct {
	tool, phase         string
	source, destination map[string]int // requests by registrytest.Request.Kind
	down, up            int64          // bytes of blobs
	cost
	others    time.Duration // CPU of the registries and the proxies
	elsewhere time.Duration // CPU of what has nothing to do with the benchmark
	err       error
}

// compare measures all tools with one workload.
func (b *bench) compare(ctx context.Context, w benchWorkload) (comparison, error) {
	c := comparison{benchWorkload: w, concurrency: b.concurrency, bounds: map[string]leastCost{}}
	b.say("%s: pushing %d images to the source", w.name, w.images.Images)
	from, err := b.fill(ctx, w)
	if err != nil {
		return c, err
	}
	for _, phase := range w.phases() {
		c.bounds[phase] = w.bound(from.content, phase)
	}
	if err := b.warm(ctx, w, from); err != nil {
		return c, errors.Join(err, from.close())
	}
	for _, t := range allTools() {
		if !b.uses(t, w) {
			continue
		}
		results, err := b.turn(ctx, w, from, t, w.phases()...)
		if err != nil {
			return c, errors.Join(err, from.close())
		}
		c.results = append(c.results, results...)
	}
	return c, from.close()
}

// warm lets a tool copy everything once, without measuring it. Otherwise the first tool would
// pay for what the source and the proxies do for the first time.
func (b *bench) warm(ctx context.Context, w benchWorkload, from *sourceRegistry) error {
	for _, t := range allTools() {
		if b.uses(t, w) {
			w.name, w.delay, w.link = w.name+", warming up", 0, nil
			_, err := b.turn(ctx, w, from, t, w.phases()[0])
			return err
		}
	}
	return nil
}

// turn measures one tool, phase by phase.
func (b *bench) turn(ctx context.Context, w benchWorkload, from *sourceRegistry, t tool, phases ...string) (results []result, err error) {
	s, err := b.set(w, from)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	j, err := t.job(b, s)
	if err != nil {
		return nil, err
	}
	for _, phase := range phases {
		r, err := b.measure(ctx, s, j)
		if err != nil {
			return results, err
		}
		r.tool, r.phase = t.name, phase
		b.say("%s: %s %s: %.1f s", w.name, t.name, phase, r.Wall.Seconds())
		results = append(results, r)
	}
	return results, nil
}

// measure runs a job and looks at what it did. A tool that fails is a result.
func (b *bench) measure(ctx context.Context, s *testbed, j launchSpec) (result, error) {
	s.reset()
	others, all := spent(s.registries()), spentByAll()
	c, err := j.start(ctx)
	if err != nil {
		return result{}, err
	}
	others, all = spent(s.registries())-others, spentByAll()-all
	r := result{cost: c, others: others, elsewhere: max(0, all-others-c.CPU), destination: map[string]int{}}
	from := s.front.Stats()
	r.source, r.down = from.Requests, from.BlobDown
	for _, d := range s.destinations {
		to := d.front.Stats()
		for kind, n := range to.Requests {
			r.destination[kind] += n
		}
		r.up += to.BlobUp
	}
	if r.err = s.check(ctx); c.Error != "" {
		r.err = fmt.Errorf("%s: %s", c.Error, lastLines(j.Output))
	}
	return r, ctx.Err()
}

// requests returns the number of requests that are not for tokens.
func (r result) requests() int {
	return total(r.source) + total(r.destination) - r.source["token"] - r.destination["token"]
}

// lastLines returns the end of what a job printed.
func lastLines(file string) string {
	const most = 500
	b, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(b[max(0, len(b)-most):]))
}
