package wire

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"imagemirror/internal/registry"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// drip never stands still for as long as a stall takes.
func drip() registrytest.Fault { return dripTimes(1) }

// dripTimes drips as drip does, with longer pauses.
func dripTimes(factor int) registrytest.Fault {
	return registrytest.Drip(time.Duration(factor) * 20 * time.Millisecond)
}

// impatient returns settings with which a drip is too slow after a second, times a factor.
func impatient(factor int) registry.Config {
	c := settings()
	c.Stall, c.MinRate, c.Retries = time.Duration(factor)*time.Second, 16<<10, 2
	return c
}

// A source that is slow with a layer is left for another that has the layer.
func TestSlowSourceIsLeftForAnother(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(factor int) registrytest.Fault{
		"drips":           dripTimes,
		"stands still":    func(int) registrytest.Fault { return registrytest.StallAfter(1000) },
		"does not answer": func(int) registrytest.Fault { return registrytest.Stall() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			timed(t, func(factor int) error {
				p, other := newPair(t), newRegistry(t, nil)
				layer := registrytest.NewLayer("shared", 1_200_000)
				push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", layer))
				push(t, other, "ci/b:v1", registrytest.NewImage(registrytest.OCI, "b", "amd64", layer))
				p.source.Inject(registrytest.FaultRule{Kind: "GET blob", Match: onlyLarge(p.source, "GET blob"), Fault: fault(factor)})
				config := impatient(factor)
				config.Retries = 4
				run := mirrorWith(t, config, line(p, "ci/a:v1", "m/a:v1"), other.Host+"/ci/b:v1 "+p.destination.Host+"/m/b:v1")
				if n := p.source.Stats().Requests["GET blob"]; n > 3 {
					return fmt.Errorf("the slow source got %d requests for blobs, want its configuration and one or two for the layer", n)
				}
				return run.differ(p.destination, map[string]string{"m/a:v1": stream.Copied, "m/b:v1": stream.Copied})
			})
		})
	}
}

// A registry that was slow once is asked last for what others have too.
func TestSlowSourceIsAskedLast(t *testing.T) {
	t.Parallel()
	timed(t, func(factor int) error {
		return askAllLayers(t, factor)
	})
}

// askAllLayers copies layers that a slow source has, and another, too. It returns what is wrong
// with how often the slow one was asked.
func askAllLayers(t *testing.T, factor int) error {
	t.Helper()
	p, other := newPair(t), newRegistry(t, nil)
	var lines []string
	for i := range 6 {
		name := fmt.Sprintf("ci/a%d:v1", i)
		image := registrytest.NewImage(registrytest.OCI, name, "amd64", registrytest.NewLayer(name, int64(1_200_000+i)))
		push(t, p.source, name, image)
		push(t, other, name, image)
		lines = append(lines, line(p, name, fmt.Sprintf("m/a%d:v1", i)), fmt.Sprintf("%s/%s %s/m/b%d:v1", other.Host, name, p.destination.Host, i))
	}
	p.source.Inject(registrytest.FaultRule{Name: "drip", Kind: "GET blob", Match: onlyLarge(p.source, "GET blob"), Fault: dripTimes(factor)})
	config := impatient(factor)
	config.Concurrency = 2 // blobs go one after the other
	if failed := mirrorWith(t, config, lines...).failed(); failed > 0 {
		return fmt.Errorf("%d images failed", failed)
	}
	slow := 0
	for _, r := range p.source.Log() {
		if r.Fault == "drip" {
			slow++
		}
	}
	if slow == 0 || slow > 2 {
		return fmt.Errorf("the slow source was asked for %d of 6 layers, want those under way when it stalled first: 2 at most", slow)
	}
	return nil
}

// A layer that no other source has fails its own image only.
func TestSlowLayerFailsItsOwnImageOnly(t *testing.T) {
	t.Parallel()
	timed(t, func(factor int) error {
		p := newPair(t)
		push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 1_200_000)))
		push(t, p.source, "ci/b:v1", registrytest.NewImage(registrytest.OCI, "b", "amd64", registrytest.NewLayer("b", 1000)))
		p.source.Inject(registrytest.FaultRule{Kind: "GET blob", Match: onlyLarge(p.source, "GET blob"), Fault: dripTimes(factor)})
		run := mirrorWith(t, impatient(factor), line(p, "ci/a:v1", "m/a:v1"), line(p, "ci/b:v1", "m/b:v1"))
		e := run.results[p.destination.Host+"/m/a:v1"].Error
		if want := fmt.Sprintf("%s was too slow: fewer than 16384 bytes per second for %ds", p.source.Host, factor); e == nil || !strings.Contains(e.Message, want) || !strings.Contains(e.Advice, "MIRROR_MIN_RATE") {
			return fmt.Errorf("the error is %+v, want %q", e, want)
		}
		return run.differ(p.destination, map[string]string{"m/a:v1": stream.Failed, "m/b:v1": stream.Copied})
	})
}
