package wire

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"imagemirror/internal/execute"
	"imagemirror/internal/imageset"
	"imagemirror/internal/mirror"
	"imagemirror/internal/plan"
	"imagemirror/internal/progress"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// All copies of a run together keep to a registry's cap. Without one they have more requests in
// flight.
func TestShardsKeepToTheCap(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		cap, shards int // shards of the plan, which may have 6
	}{
		{"no cap", 0, 6},
		{"for some shards", 14, 3},
		{"for all shards", 26, 6},
		{"for less than one", 3, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			w := newWorkload(t, p, 36)
			slow := registrytest.FaultRule{Fault: registrytest.Delay(10 * time.Millisecond)}
			if c.cap == 0 {
				p.destination.Inject(registrytest.FaultRule{Kind: "PUT upload", Fault: crowd(27)})
			}
			p.source.Inject(slow)
			p.destination.Inject(slow)
			shards := splitShards(t, stream.Cap{InFlight: c.cap}, 6, w.lines...)
			if len(shards) != c.shards {
				t.Errorf("%d shards, want %d", len(shards), c.shards)
			}
			var all errgroup.Group
			for _, s := range shards {
				all.Go(func() error { return copyShard(t.Context(), t, s) })
			}
			if err := all.Wait(); err != nil {
				t.Fatal(err)
			}
			for side, r := range map[string]remoteRegistry{"source": p.source, "destination": p.destination} {
				most := r.Stats().MaxInFlight
				if c.cap > 0 && most > c.cap {
					t.Errorf("the %s had %d requests in flight, and the cap is %d", side, most, c.cap)
				}
				if c.cap == 0 && side == "destination" && most <= 26 {
					t.Errorf("the %s had only %d requests in flight without a cap, so the test shows nothing", side, most)
				}
			}
			wantArrived(t, p, w.names[0], "mirror/"+w.names[0])
		})
	}
}

// crowd returns a fault that lets the registry answer once n requests are in flight.
func crowd(n int64) registrytest.Fault {
	var arrived atomic.Int64
	full := make(chan struct{})
	held := heldUntil(full)
	return func(next http.Handler) http.Handler {
		if arrived.Add(1) == n {
			close(full)
		}
		return held(next)
	}
}

// splitShards makes a plan under a cap and cuts it into at most n shards.
func splitShards(t *testing.T, limit stream.Cap, n int, lines ...string) []*stream.Content {
	t.Helper()
	input, err := imageset.Load([]string{mappingFile(t, lines...)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	asking := client(t, settings())
	asking.Keep(limit.InFlight, limit.Rate)
	p, err := plan.Make(t.Context(), plan.Options{Client: asking, Cap: limit}, input.Sets)
	if err != nil {
		t.Fatal(err)
	}
	return p.Cut(n).Shards
}

// copyShard carries out a shard as its copy does.
func copyShard(ctx context.Context, t *testing.T, s *stream.Content) error {
	gathered, err := execute.Gather([]*stream.Content{s})
	if err != nil {
		return err
	}
	display := progress.New(os.Stderr, slog.New(slog.DiscardHandler), 0, 0)
	defer display.Close()
	c := client(t, settings())
	c.Keep(gathered.Cap().InFlight, gathered.Cap().Rate)
	return gathered.Carry(ctx, mirror.Options{Client: c, Observer: display, Grace: time.Second}, io.Discard)
}
