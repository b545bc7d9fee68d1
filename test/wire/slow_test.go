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
func drip() registrytest.Fault { return registrytest.Drip(20 * time.Millisecond) }

// impatient returns settings with which a drip is too slow after a second.
func impatient() registry.Config {
	c := settings()
	c.Stall, c.MinRate, c.Retries = time.Second, 16<<10, 2
	return c
}

// A source that is slow with a layer is left for another that has the layer.
func TestSlowSourceIsLeftForAnother(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]registrytest.Fault{
		"drips": drip(), "stands still": registrytest.StallAfter(1000), "does not answer": registrytest.Stall(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, other := newPair(t), newRegistry(t, nil)
			layer := registrytest.NewLayer("shared", 1_200_000)
			push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", layer))
			push(t, other, "ci/b:v1", registrytest.NewImage(registrytest.OCI, "b", "amd64", layer))
			p.source.Inject(registrytest.FaultRule{Kind: "GET blob", Match: onlyLarge(p.source, "GET blob"), Fault: fault})
			config := impatient()
			config.Retries = 4
			run := mirrorWith(t, config, line(p, "ci/a:v1", "m/a:v1"), other.Host+"/ci/b:v1 "+p.destination.Host+"/m/b:v1")
			run.are(t, p.destination, map[string]string{"m/a:v1": stream.Copied, "m/b:v1": stream.Copied})
			if n := p.source.Stats().Requests["GET blob"]; n > 3 {
				t.Errorf("the slow source got %d requests for blobs, want its configuration and one or two for the layer", n)
			}
		})
	}
}

// A registry that was slow once is asked last for what others have too.
func TestSlowSourceIsAskedLast(t *testing.T) {
	t.Parallel()
	p, other := newPair(t), newRegistry(t, nil)
	var lines []string
	for i := range 6 {
		name := fmt.Sprintf("ci/a%d:v1", i)
		image := registrytest.NewImage(registrytest.OCI, name, "amd64", registrytest.NewLayer(name, int64(1_200_000+i)))
		push(t, p.source, name, image)
		push(t, other, name, image)
		lines = append(lines, line(p, name, fmt.Sprintf("m/a%d:v1", i)), fmt.Sprintf("%s/%s %s/m/b%d:v1", other.Host, name, p.destination.Host, i))
	}
	p.source.Inject(registrytest.FaultRule{Name: "drip", Kind: "GET blob", Match: onlyLarge(p.source, "GET blob"), Fault: drip()})
	config := impatient()
	config.Concurrency = 2 // blobs go one after the other
	if failed := mirrorWith(t, config, lines...).failed(); failed > 0 {
		t.Errorf("%d images failed", failed)
	}
	slow := 0
	for _, r := range p.source.Log() {
		if r.Fault == "drip" {
			slow++
		}
	}
	if slow == 0 || slow > 3 {
		t.Errorf("the slow source was asked for %d of 6 layers, want those under way when it stalled first", slow)
	}
}

// A layer that no other source has fails its own image only.
func TestSlowLayerFailsItsOwnImageOnly(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", registrytest.NewLayer("a", 1_200_000)))
	push(t, p.source, "ci/b:v1", registrytest.NewImage(registrytest.OCI, "b", "amd64", registrytest.NewLayer("b", 1000)))
	p.source.Inject(registrytest.FaultRule{Kind: "GET blob", Match: onlyLarge(p.source, "GET blob"), Fault: drip()})
	run := mirrorWith(t, impatient(), line(p, "ci/a:v1", "m/a:v1"), line(p, "ci/b:v1", "m/b:v1"))
	run.are(t, p.destination, map[string]string{"m/a:v1": stream.Failed, "m/b:v1": stream.Copied})
	e := run.results[p.destination.Host+"/m/a:v1"].Error
	if want := p.source.Host + " was too slow: fewer than 16384 bytes per second for 1s"; !strings.Contains(e.Message, want) || !strings.Contains(e.Advice, "MIRROR_MIN_RATE") {
		t.Errorf("the error is %+v, want %q", e, want)
	}
}
