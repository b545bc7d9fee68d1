package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"imagemirror/internal/execute"
	"imagemirror/internal/mirror"
	"imagemirror/internal/progress"
	"imagemirror/internal/registry"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// crowded returns settings with three slots, in which any rate will do and a turn takes a third of
// a second, times a factor.
func crowded(factor int) registry.Config {
	c := settings()
	c.Stall, c.Concurrency = time.Duration(factor)*2*time.Second, 3
	return c
}

// pushImages pushes images with a layer each, and returns their names.
func pushImages(t *testing.T, to remoteRegistry, prefix string, n int) (names []string) {
	t.Helper()
	for i := range n {
		name := fmt.Sprintf("ci/%s%d:v1", prefix, i)
		push(t, to, name, registrytest.NewImage(registrytest.OCI, name, "amd64", registrytest.NewLayer(name, int64(1_200_000+i))))
		names = append(names, name)
	}
	return names
}

// lines returns the lines that copy images from one registry to another.
func lines(from, to remoteRegistry, names []string) (all []string) {
	for _, name := range names {
		all = append(all, from.Host+"/"+name+" "+to.Host+"/"+strings.Replace(name, "ci/", "m/", 1))
	}
	return all
}

// isLarge reports whether an upload is of a layer.
func isLarge(r *http.Request) bool { return r.ContentLength > 1_000_000 }

// An awaiter calls done once n images have been copied.
type awaiter struct {
	mirror.Observer
	n    int
	done func()
}

// Image takes an outcome. The engine calls it one at a time.
func (a *awaiter) Image(o mirror.Outcome) {
	if o.Err == nil {
		a.n--
	}
	if a.n == 0 {
		a.done()
	}
	a.Observer.Image(o)
}

// copyUntil copies what a plan names, until n images have been copied.
func copyUntil(t *testing.T, n int, config registry.Config, p *stream.Content) run {
	t.Helper()
	work, err := execute.Gather([]*stream.Content{p})
	if err != nil {
		t.Fatal(err)
	}
	images, size := work.Work()
	display := progress.New(os.Stderr, slog.New(slog.DiscardHandler), images, size)
	defer display.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*config.Stall)
	defer cancel()
	var out bytes.Buffer
	o := mirror.Options{Client: client(t, config), Observer: &awaiter{display, n, cancel}, Grace: time.Millisecond}
	if err := work.Carry(ctx, o, &out); !errors.Is(err, execute.ErrInterrupted) {
		t.Fatalf("got %v, want images that never arrive", err)
	}
	return run{plan: p, results: resultsOf(t, read(t, &out))}
}

// want returns the images whose status at a registry is another.
func (r run) want(at remoteRegistry, names []string, status string) error {
	want := map[string]string{}
	for _, name := range names {
		want[strings.Replace(name, "ci/", "m/", 1)] = status
	}
	return r.differ(at, want)
}

// Layers that drip hold slots for a turn only, if others wait for them.
func TestDrippingLayersDoNotStarveOthers(t *testing.T) {
	t.Parallel()
	timed(t, func(factor int) error {
		p, other := newPair(t), newRegistry(t, nil)
		slow, good := pushImages(t, p.source, "slow", 4), pushImages(t, p.source, "good", 4)
		elsewhere := pushImages(t, other, "other", 4)
		all := append(lines(p.source, p.destination, append(slow, good...)), lines(other, p.destination, elsewhere)...)
		planned := split(t, settings(), all...)
		p.reset()
		other.Reset()
		p.source.Inject(registrytest.FaultRule{Kind: "GET blob", Path: regexp.MustCompile("/ci/slow"), Fault: dripTimes(factor)})
		got := copyUntil(t, 8, crowded(factor), planned)
		if n := other.Stats().Requests["GET blob"]; n != 8 {
			return fmt.Errorf("the good source got %d requests for blobs, want 8", n)
		}
		return errors.Join(got.want(p.destination, slow, stream.Failed), got.want(p.destination, append(good, elsewhere...), stream.Copied))
	})
}

// A layer for two registries does not reach one at the pace of the other, if that is slow.
func TestSlowDestinationHoldsUpNoOtherOfItsLayer(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]registrytest.FaultRule{
		"takes in slowly":       {Kind: "PUT upload", Match: isLarge, Fault: registrytest.SlowUpload(100, 20*time.Millisecond)}, // for minutes
		"does not open uploads": {Path: regexp.MustCompile("/uploads/"), Fault: registrytest.Stall()},
		"refuses uploads":       {Kind: "PUT upload", Fault: registrytest.Status(503, "later")},
		"commits slowly":        {Kind: "PUT upload", Match: isLarge, Fault: afterAll(registrytest.Stall())},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			timed(t, func(factor int) error {
				p, other := newPair(t), newRegistry(t, nil)
				names := pushImages(t, p.source, "a", 1)
				planned := split(t, settings(), append(lines(p.source, p.destination, names), lines(p.source, other, names)...)...)
				p.destination.Inject(rule)
				config := crowded(factor)
				config.Retries = 100
				got := copyUntil(t, 1, config, planned)
				return errors.Join(got.want(p.destination, names, stream.Failed), got.want(other, names, stream.Copied))
			})
		})
	}
}

// If all is slow, and there is nothing else to do, slow transfers go on until they are done.
func TestSlowTransfersArriveAllTheSame(t *testing.T) {
	t.Parallel()
	timed(t, func(factor int) error {
		p := newPair(t)
		names := pushImages(t, p.source, "a", 5)
		delay := registrytest.Delay(time.Duration(factor) * 700 * time.Millisecond)
		p.source.Inject(registrytest.FaultRule{Kind: "GET blob", Match: onlyLarge(p.source, "GET blob"), Fault: delay})
		run := mirrorWith(t, crowded(factor), lines(p.source, p.destination, names)...)
		// Each yields once at most.
		if n := p.source.Stats().Requests["GET blob"]; n > 15 {
			return fmt.Errorf("the source got %d requests for 10 blobs, want 15 at most", n)
		}
		return run.want(p.destination, names, stream.Copied)
	})
}
