package progress

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"imagemirror/internal/text"
)

// A Planning display shows the progress of a plan that is being made.
type Planning interface {
	// Close shows a summary and leaves the terminal to others. It must be the last call.
	Close(Planned)
}

// Planned counts what a plan holds.
type Planned struct {
	Mappings, Current, Copies, Failed int
	Bytes                             int64 // to send
}

// NewPlanning starts to display a plan that is being made. It polls count for how many mappings
// are resolved, and how many there are: 0 until that is known. If f is not a terminal,
// everything goes to log.
func NewPlanning(f *os.File, log *slog.Logger, count func() (resolved, mappings int64)) Planning {
	if canDraw(f) {
		return newLivePlanning(f, count)
	}
	return newPlanningLines(log, count)
}

// livePlanning displays a plan on a terminal, as one line with a bar.
type livePlanning struct {
	out       io.Writer
	began     time.Time
	container *mpb.Progress
	bar       *mpb.Bar
}

func newLivePlanning(out io.Writer, count func() (resolved, mappings int64), options ...mpb.ContainerOption) *livePlanning {
	l := &livePlanning{out: out, began: time.Now()}
	l.container = mpb.New(append([]mpb.ContainerOption{mpb.WithOutput(out)}, options...)...)
	fill := func(style mpb.BarFiller) mpb.BarFiller {
		return mpb.BarFillerFunc(func(w io.Writer, s decor.Statistics) error {
			s.Current, s.Total = count()
			return style.Fill(w, s)
		})
	}
	head := func(decor.Statistics) string {
		resolved, mappings := count()
		if mappings == 0 {
			return home + "reading the tags of wildcards"
		}
		all := fmt.Sprint(mappings)
		return home + fmt.Sprintf("planning %*d/%s mappings", len(all), resolved, all)
	}
	tail := func(decor.Statistics) string {
		return fmt.Sprintf("%4s", time.Since(l.began).Truncate(time.Second))
	}
	l.bar = l.container.New(0, mpb.BarStyle().Padding(" "), mpb.BarFillerMiddleware(fill),
		mpb.PrependDecorators(decor.Any(head)), mpb.AppendDecorators(decor.Any(tail)), mpb.BarRemoveOnComplete())
	return l
}

func (l *livePlanning) Close(p Planned) {
	l.bar.Abort(true)
	l.container.Wait()
	s := home + fmt.Sprintf("Planned %d mappings in %s: %d to copy", p.Mappings, text.Round(time.Since(l.began)), p.Copies)
	if p.Copies > 0 {
		s += fmt.Sprintf(" (%s)", text.Size(p.Bytes))
	}
	s += fmt.Sprintf(", %d current", p.Current)
	if p.Failed > 0 {
		s += fmt.Sprintf(", %d failed", p.Failed)
	}
	_, _ = io.WriteString(l.out, s+"\n")
}

// logEvery is the time between two log lines about a plan that is being made.
const logEvery = 10 * time.Second

// planningLines displays a plan as log lines.
type planningLines struct {
	log  *slog.Logger
	stop chan struct{}
	over chan struct{}
}

func newPlanningLines(log *slog.Logger, count func() (resolved, mappings int64)) *planningLines {
	l := &planningLines{log: log, stop: make(chan struct{}), over: make(chan struct{})}
	log.Info("planning")
	go l.serve(count)
	return l
}

func (l *planningLines) serve(count func() (resolved, mappings int64)) {
	defer close(l.over)
	next := time.NewTicker(logEvery)
	defer next.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-next.C:
			resolved, mappings := count()
			l.log.Info("planning", "resolved", resolved, "mappings", mappings)
		}
	}
}

func (l *planningLines) Close(p Planned) {
	close(l.stop)
	<-l.over
	l.log.Info("planned", "mappings", p.Mappings, "current", p.Current, "copies", p.Copies, "failed", p.Failed, "bytes", p.Bytes)
}
