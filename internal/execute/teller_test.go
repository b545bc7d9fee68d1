package execute

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"imagemirror/internal/credentials"
	"imagemirror/internal/mirror"
	"imagemirror/internal/reference"
	"imagemirror/internal/registry"
	"imagemirror/internal/stream"
	"imagemirror/internal/waits"
)

type anonymous struct{}

func (anonymous) For(context.Context, reference.Side, string, string) (credentials.Credential, error) {
	return credentials.Credential{}, nil
}

// watcher counts the images that are reported to it, and closes a channel after the last one.
type watcher struct {
	all  int64
	seen atomic.Int64
	done chan struct{}
}

func newWatcher(all int) *watcher { return &watcher{all: int64(all), done: make(chan struct{})} }

func (w *watcher) Image(mirror.Outcome) {
	if w.seen.Add(1) == w.all {
		close(w.done)
	}
}

func (w *watcher) Blob(string, string, int64) mirror.Transfer { return nil }
func (w *watcher) Mounted(int64)                              {}
func (w *watcher) Begin(waits.Wait) func()                    { return func() {} }

func options(t *testing.T, o mirror.Observer) mirror.Options {
	t.Helper()
	c, err := registry.New(registry.Config{Concurrency: 2, Retries: 1, Stall: time.Minute}, anonymous{})
	if err != nil {
		t.Fatal(err)
	}
	return mirror.Options{Client: c, Observer: o, Grace: 10 * time.Millisecond}
}

// hopeless returns a plan of images that fail at once, without a request: the manifests are
// missing. Their results are more than any pipe takes in.
func hopeless(t *testing.T) *Batch {
	t.Helper()
	const images = 1000
	name := strings.Repeat("x", 500)
	var out strings.Builder
	w := stream.NewWriter(&out, stream.Header{Stream: stream.Plan, Run: "r", Mappings: images})
	for id := range images {
		w.Mapping(stream.Mapping{ID: id, Source: "a.example/b:c", Destination: fmt.Sprintf("d.example/%s:v%d", name[:100], id), File: "mapping_x", Line: id})
	}
	for id := range images {
		w.Copy(stream.Copy{ID: id, Digest: digest})
	}
	if err := w.End(); err != nil {
		t.Fatal(err)
	}
	c, err := stream.Read(strings.NewReader(out.String()), "plan")
	if err != nil {
		t.Fatal(err)
	}
	p, err := Gather([]*stream.Content{c})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	return r, w
}

// carry carries out a plan and hands on what comes of it.
func carry(ctx context.Context, p *Batch, o mirror.Options, w io.Writer) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- p.Carry(ctx, o, w) }()
	return ended
}

// readMappings reads up to the last mapping.
func readMappings(t *testing.T, r *bufio.Reader, p *Batch) {
	t.Helper()
	for range 1 + len(p.mappings) {
		if _, err := r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOutputThatTakesNothing(t *testing.T) {
	for _, c := range []struct {
		name  string
		reads bool // the mappings, and nothing behind them
	}{
		{"from the beginning", false},
		{"of the results", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := hopeless(t)
			watch := newWatcher(len(p.jobs))
			r, w := pipe(t)
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			ended := carry(ctx, p, options(t, watch), w)
			if c.reads {
				readMappings(t, bufio.NewReader(r), p)
				<-watch.done // the engine goes on all the same
			} else if _, err := r.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			interrupt()
			if err := <-ended; !errors.Is(err, errStuck) {
				t.Errorf("got %v, want %v", err, errStuck)
			}
			<-watch.done
		})
	}
}

// An output that waits for a while gets all results, even if the run was interrupted
// meanwhile.
func TestOutputThatTakesItsTime(t *testing.T) {
	p := hopeless(t)
	watch := newWatcher(len(p.jobs))
	r, w := pipe(t)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	ended := carry(ctx, p, options(t, watch), w)
	in := bufio.NewReader(r)
	head, err := in.Peek(1)
	if err != nil || len(head) == 0 {
		t.Fatal(err)
	}
	interrupt()
	read := make(chan *stream.Content, 1)
	go func() {
		c, err := stream.Read(in, "results")
		if err != nil {
			t.Error(err)
		}
		read <- c
	}()
	if err := <-ended; !errors.Is(err, ErrInterrupted) && err != nil {
		t.Errorf("got %v, want %v or nothing", err, ErrInterrupted)
	}
	_ = w.Close()
	if c := <-read; c == nil || c.Cut != nil || len(c.Results) != len(p.jobs) {
		t.Errorf("the results are %+v, want one for each of %d images", c, len(p.jobs))
	}
}

func TestOutputThatIsGone(t *testing.T) {
	p := hopeless(t)
	watch := newWatcher(len(p.jobs))
	r, w := pipe(t)
	ended := carry(t.Context(), p, options(t, watch), w)
	readMappings(t, bufio.NewReader(r), p)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "writing the results: ") || errors.Is(err, errStuck) {
		t.Errorf("got %v, want that the results could not be written", err)
	}
}
