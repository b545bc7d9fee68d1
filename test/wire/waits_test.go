package wire

import (
	"slices"
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

// Whatever a blob or another request waits for is told, with the registry and the time it takes at
// most.
func TestWaitsAreTold(t *testing.T) {
	t.Parallel()
	const stall = 10 * time.Second // of settings
	second := registrytest.TooManyRequests("1")
	for _, tc := range []struct {
		name   string
		fault  registrytest.FaultRule
		source bool // which registry has the fault, and is waited for
		blob   bool // whether a transfer waits
		config func(*registry.Config)
		want   waits.Wait
	}{
		{name: "an answer", source: true, want: waits.Wait{Kind: waits.Answer, Limit: stall}},
		{name: "an answer with a blob", source: true, blob: true, want: waits.Wait{Kind: waits.Answer, Limit: stall}},
		{name: "bytes", source: true, blob: true, want: waits.Wait{Kind: waits.Bytes, Limit: stall}},
		{name: "that bytes are taken", blob: true, want: waits.Wait{Kind: waits.Upload, Limit: stall}},
		{name: "a token", blob: true, want: waits.Wait{Kind: waits.Token, Limit: stall}},
		{name: "Retry-After for a manifest", source: true, want: waits.Wait{Kind: waits.Pause, Limit: time.Second},
			fault: registrytest.FaultRule{Kind: "GET manifest", Times: 1, Fault: second}},
		{name: "Retry-After for a download", source: true, blob: true, want: waits.Wait{Kind: waits.Pause, Limit: time.Second},
			fault: registrytest.FaultRule{Kind: "GET blob", Times: 1, Fault: second}},
		{name: "Retry-After for an upload", blob: true, want: waits.Wait{Kind: waits.Pause, Limit: time.Second},
			fault: registrytest.FaultRule{Kind: "PUT upload", Times: 1, Fault: afterAll(second)}},
		{name: "the next attempt", source: true, blob: true, want: waits.Wait{Kind: waits.Again},
			fault: registrytest.FaultRule{Kind: "GET blob", Times: 1, Fault: registrytest.Status(503, "")}},
		{name: "a slot", want: waits.Wait{Kind: waits.Slot}, config: func(c *registry.Config) { c.Concurrency = 1 },
			fault: registrytest.FaultRule{Kind: "HEAD manifest", Fault: registrytest.Delay(50 * time.Millisecond)}},
		{name: "MIRROR_RATE", source: true, want: waits.Wait{Kind: waits.Turn}, config: func(c *registry.Config) { c.Rate = 1000 }},
		{name: "another blob's upload", want: waits.Wait{Kind: waits.First}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			layers := []registrytest.Layer{registrytest.NewLayer("a", 300_000), registrytest.NewLayer("b", 300_000), registrytest.NewLayer("c", 300_000)}
			push(t, p.source, "ci/a:v1", registrytest.NewImage(registrytest.OCI, "a", "amd64", layers...))
			at := p.destination
			if tc.source {
				at = p.source
			}
			if tc.fault.Fault != nil {
				at.Inject(tc.fault)
			}
			config := settings()
			if tc.config != nil {
				tc.config(&config)
			}
			w := &waitLog{}
			results := runWatched(t, w, config, line(p, "ci/a:v1", "m/a:v1", "m/b:v1"))
			results.are(t, p.destination, map[string]string{"m/a:v1": stream.Copied})
			told := w.run
			if tc.blob {
				told = w.blobs
			}
			tc.want.Host = at.Host
			if !slices.ContainsFunc(told, func(got waits.Wait) bool {
				if got.Kind == waits.Pause || got.Kind == waits.Again { // of a random part, or the rest
					got.Limit = got.Limit.Round(time.Second)
				}
				return got == tc.want
			}) {
				t.Errorf("told %v, want %v", told, tc.want)
			}
			if w.waiting != 0 {
				t.Errorf("%d waits have no end", w.waiting)
			}
		})
	}
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
