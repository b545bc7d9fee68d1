package progress

import (
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"

	"imagemirror/internal/mirror"
	"imagemirror/internal/secret"
	"imagemirror/internal/stream"
	"imagemirror/internal/text"
)

// maxFailures is how many failures are printed above the moving lines. A registry that is down
// fails thousands of images for one reason, which report states once.
const maxFailures = 50

// live displays a run on a terminal. It only counts what the engine reports, and draws the
// counts a few times a second, so that the engine never waits for the terminal.
type live struct {
	*tally
	out       io.Writer
	container *mpb.Progress
	bar       *mpb.Bar
	above     *above
	printed   atomic.Int64 // failures
	unlog     func()       // ends the printing of log lines above the moving ones
	ends      atomic.Int64 // when the run ends at the latest, in Unix nanoseconds; 0 unless it stops
}

// newLive starts to draw on out. height returns how many lines out has at the moment.
func newLive(out io.Writer, height func() int, t *tally, options ...mpb.ContainerOption) *live {
	l := &live{tally: t, out: out}
	l.container = mpb.New(append([]mpb.ContainerOption{mpb.WithOutput(out)}, options...)...)
	l.above = newAbove(l.container, out)
	l.unlog = l.above.log()
	f := &frame{live: l, height: height}
	l.bar = f.bar(l.container)
	return l
}

// Image counts the image, and prints a line if it failed.
func (l *live) Image(o mirror.Outcome) {
	if !l.count(o) {
		return
	}
	switch n := l.printed.Add(1); {
	case n <= maxFailures:
		message := text.Line(stream.ErrorOf(o.Err).Message, maxText)
		l.above.print(fmt.Sprintf("failed  %s: %s\n", text.Printable(o.Destination.String()), message))
	case n == maxFailures+1:
		l.above.print("More images failed: they are counted here, and are in the results.\n")
	}
}

// Stopping prints a line: without it, a person may take the wait for a hang.
func (l *live) Stopping(grace time.Duration) {
	l.ends.Store(time.Now().Add(grace).UnixNano())
	l.above.print(fmt.Sprintf("Stopping: what is under way gets up to %s. Ctrl-C again quits at once.\n", grace))
}

// Close replaces the moving lines with a summary.
func (l *live) Close() {
	l.unlog()
	l.above.close()
	l.bar.Abort(true)
	l.container.Wait()
	_, _ = io.WriteString(l.out, home+l.summary())
}

func (l *live) summary() string {
	if l.images == 0 {
		return "Nothing to copy.\n"
	}
	s := fmt.Sprintf("Copied %d of %d images", l.copied.Load(), l.images)
	if n := l.failed.Load(); n > 0 {
		s += fmt.Sprintf(", %d failed", n)
	}
	if n := l.interrupted.Load(); n > 0 {
		s += fmt.Sprintf(", %d not finished", n)
	}
	took, sent := l.took(), l.sent.Load()
	s += fmt.Sprintf(": %s in %s", text.Size(sent), text.Round(took))
	if seconds := took.Seconds(); seconds >= 1 && sent > 0 {
		s += fmt.Sprintf(", %s/s", text.Size(int64(float64(sent)/seconds)))
	}
	return s + "\n"
}

// An above writes lines above the moving ones. A goroutine passes them on, since the container
// accepts them only between two frames.
type above struct {
	container io.Writer
	out       io.Writer // used after the container gave up because the terminal is gone

	mu      sync.Mutex
	pending []string
	closed  bool
	wake    chan struct{}
	ended   chan struct{}
}

func newAbove(container, out io.Writer) *above {
	a := &above{container: container, out: out, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	go a.serve()
	return a
}

func (a *above) print(line string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return
	}
	a.pending = append(a.pending, home+line)
	select {
	case a.wake <- struct{}{}:
	default: // it is awake already
	}
}

func (a *above) serve() {
	defer close(a.ended)
	for range a.wake {
		a.mu.Lock()
		lines := a.pending
		a.pending = nil
		a.mu.Unlock()
		for _, line := range lines {
			if _, err := io.WriteString(a.container, line); err != nil {
				_, _ = io.WriteString(a.out, line)
			}
		}
	}
}

// log makes the default logger print above the moving lines, which would wipe its lines otherwise.
func (a *above) log() (end func()) {
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(secret.NewWriter(text.NewCIWriter(a)), nil)))
	return func() { slog.SetDefault(before) }
}

// Write prints the lines in p.
func (a *above) Write(p []byte) (int, error) {
	a.print(string(p))
	return len(p), nil
}

// close returns once all lines have been passed on.
func (a *above) close() {
	a.mu.Lock()
	if !a.closed {
		a.closed = true
		close(a.wake)
	}
	a.mu.Unlock()
	<-a.ended
}
