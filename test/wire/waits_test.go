package wire

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"imagemirror/internal/execute"
	"imagemirror/internal/imageset"
	"imagemirror/internal/mirror"
	"imagemirror/internal/plan"
	"imagemirror/internal/registry"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
	"imagemirror/internal/waits"
)

// A waitLog keeps what a run and its blobs wait for.
type waitLog struct {
	awaited waits.Kind
	told    func() // is called for each wait of that kind

	mu      sync.Mutex
	run     []waits.Wait // that belong to no blob
	blobs   []waits.Wait
	waiting int
}

// Begin keeps a wait of a request that belongs to no blob.
func (w *waitLog) Begin(x waits.Wait) (end func()) { return w.begin(&w.run, x) }

func (w *waitLog) begin(list *[]waits.Wait, x waits.Wait) (end func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if x.Kind == w.awaited {
		w.told()
	}
	*list = append(*list, x)
	w.waiting++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.waiting--
	}
}

func (w *waitLog) Blob(string, string, int64) mirror.Transfer { return &watchedBlob{w} }
func (*waitLog) Mounted(int64)                                {}
func (*waitLog) Image(mirror.Outcome)                         {}

// A watchedBlob is a transfer.
type watchedBlob struct{ *waitLog }

func (b *watchedBlob) Begin(x waits.Wait) (end func()) { return b.begin(&b.blobs, x) }
func (*watchedBlob) Add(int64)                         {}
func (*watchedBlob) Done(error)                        {}

// A toldWait is a wait that a run tells of.
type toldWait struct {
	name   string
	at     registrytest.FaultRule // requests that have the fault
	fault  toldFault              // nil: none
	source bool                   // which registry has the fault, and is waited for
	blob   bool                   // whether a transfer waits
	config func(*registry.Config)
	want   waits.Wait
}

// A toldFault makes a fault that lasts until the wait was told, or seconds.
type toldFault func(told <-chan struct{}, seconds int) registrytest.Fault

// Whatever a blob or another request waits for is told, with the registry and the time it takes at
// most.
func TestWaitsAreTold(t *testing.T) {
	t.Parallel()
	stall := settings().Stall
	held := func(told <-chan struct{}, _ int) registrytest.Fault { return heldUntil(told) }
	fails := func(<-chan struct{}, int) registrytest.Fault { return registrytest.Status(503, "") }
	throttled := func(_ <-chan struct{}, seconds int) registrytest.Fault {
		return afterAll(registrytest.TooManyRequests(strconv.Itoa(seconds)))
	}
	once := func(kind string) registrytest.FaultRule { return registrytest.FaultRule{Kind: kind, Times: 1} }
	for _, c := range []toldWait{
		{name: "an answer", source: true, want: waits.Wait{Kind: waits.Answer, Limit: stall}},
		{name: "an answer with a blob", source: true, blob: true, want: waits.Wait{Kind: waits.Answer, Limit: stall}},
		{name: "bytes", source: true, blob: true, want: waits.Wait{Kind: waits.Bytes, Limit: stall}},
		{name: "that bytes are taken", blob: true, want: waits.Wait{Kind: waits.Upload, Limit: stall}},
		{name: "a token", blob: true, want: waits.Wait{Kind: waits.Token, Limit: stall}},
		{name: "Retry-After for a manifest", source: true, want: waits.Wait{Kind: waits.Pause}, at: once("GET manifest"), fault: throttled},
		{name: "Retry-After for a download", source: true, blob: true, want: waits.Wait{Kind: waits.Pause}, at: once("GET blob"), fault: throttled},
		{name: "Retry-After for an upload", blob: true, want: waits.Wait{Kind: waits.Pause}, at: once("PUT upload"), fault: throttled},
		{name: "the next attempt", source: true, blob: true, want: waits.Wait{Kind: waits.Again}, at: once("GET blob"), fault: fails},
		{name: "a slot", want: waits.Wait{Kind: waits.Slot}, config: func(c *registry.Config) { c.Concurrency = 1 },
			at: registrytest.FaultRule{Kind: "HEAD manifest", After: 1}, fault: held},
		{name: "MIRROR_RATE", source: true, want: waits.Wait{Kind: waits.Turn}, config: func(c *registry.Config) { c.Rate = 1000 }},
		{name: "another blob's upload", want: waits.Wait{Kind: waits.First}, at: registrytest.FaultRule{Kind: "POST mount"}, fault: held},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			timed(t, func(factor int) error { return c.try(t, factor) })
		})
	}
}

// try copies an image, and returns an error if the wait was not told.
func (c toldWait) try(t *testing.T, factor int) error {
	t.Helper()
	p := newPair(t)
	layers := []registrytest.Layer{registrytest.NewLayer("a", 300_000), registrytest.NewLayer("b", 300_000), registrytest.NewLayer("c", 300_000)}
	push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", layers...))
	at := p.destination
	if c.source {
		at = p.source
	}
	told := make(chan struct{})
	w := &waitLog{awaited: c.want.Kind, told: sync.OnceFunc(func() { close(told) })}
	if c.fault != nil {
		c.at.Fault = c.fault(told, factor)
		at.Inject(c.at)
	}
	config := settings()
	if c.config != nil {
		c.config(&config)
	}
	runWatched(t, w, config, line(p, "ci/a:v1", "m/a:v1", "m/b:v1", "m/c:v1")).allAre(t, stream.Copied)
	if w.waiting != 0 {
		t.Errorf("%d waits have no end", w.waiting)
	}
	all := w.run
	if c.blob {
		all = w.blobs
	}
	c.want.Host = at.Host
	if !slices.ContainsFunc(all, func(got waits.Wait) bool { return c.matches(got, seconds(factor)) }) {
		return fmt.Errorf("told %v, want %v", all, c.want)
	}
	return nil
}

// matches reports whether a wait is the one that was to be told. A pause is told with what is left
// of it, and the time until the next attempt is random.
func (c toldWait) matches(got waits.Wait, pause time.Duration) bool {
	switch got.Kind {
	case waits.Pause:
		if got.Limit <= 0 || got.Limit > pause {
			return false
		}
		got.Limit = 0
	case waits.Again:
		got.Limit = got.Limit.Round(time.Second)
	}
	return got == c.want
}

// runWatched copies the images of the lines of a mapping file with one client, and tells w what
// that waits for.
func runWatched(t *testing.T, w *waitLog, config registry.Config, lines ...string) run {
	t.Helper()
	input, err := imageset.Load([]string{mappingFile(t, lines...)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, c := waits.Watch(t.Context(), w), client(t, config)
	p, err := plan.Make(ctx, plan.Options{Client: c}, input.Sets)
	if err != nil {
		t.Fatal(err)
	}
	work, err := execute.Gather([]*stream.Content{&p.Content})
	if err != nil {
		t.Fatal(err)
	}
	results := work.Run(t.Context(), mirror.Options{Client: c, Observer: w, Grace: time.Second})
	return run{plan: &p.Content, results: resultsOf(t, results)}
}
