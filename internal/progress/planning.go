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
	"imagemirror/internal/waits"
)

// A Planning display shows the progress of a plan that is being made, and what it waits for.
type Planning interface {
	waits.Watcher
	// Stopping shows that the plan was told to stop.
	Stopping()
	// Close leaves the terminal to others. Only Summarize may follow.
	Close()
	// Summarize shows what was planned.
	Summarize(Planned)
}

// Planned counts what a plan holds.
type Planned struct {
	Mappings, Current, Copies, Failed int
	Bytes                             int64 // to send
}

// A Counter tells how many mappings of a plan are resolved, how many of these failed, and how many
// there are: 0 until that is known.
type Counter func() (resolved, failed, mappings int64)

// NewPlanning starts to display a plan that is being made, or something like it: doing is what,
// such as "planning". It polls count. If f is not a terminal, everything goes to log.
func NewPlanning(f *os.File, log *slog.Logger, doing string, count Counter) Planning {
	if canDraw(f) {
		return newLivePlanning(f, heightOf(f), doing, count)
	}
	return newPlanningLines(log, doing, count)
}

// livePlanning displays a plan on a terminal, as a line with a bar. Above it are lines for what is
// waited for.
type livePlanning struct {
	pool
	doing     string
	count     Counter
	out       io.Writer
	began     time.Time
	took      time.Duration
	container *mpb.Progress
	above     *above
	unlog     func()
	bar       *mpb.Bar

	now    time.Time // of the frame
	crowds []crowd
}

func newLivePlanning(out io.Writer, height func() int, doing string, count Counter, options ...mpb.ContainerOption) *livePlanning {
	l := &livePlanning{doing: doing, count: count, out: out, began: time.Now()}
	l.container = mpb.New(append([]mpb.ContainerOption{mpb.WithOutput(out)}, options...)...)
	l.above = newAbove(l.container, out)
	l.unlog = l.above.log()
	fill := func(style mpb.BarFiller) mpb.BarFiller {
		return mpb.BarFillerFunc(func(w io.Writer, s decor.Statistics) error {
			s.Current, _, s.Total = count()
			return style.Fill(w, s)
		})
	}
	tail := func(decor.Statistics) string { return fmt.Sprintf("%4s", shortWait(time.Since(l.began))) }
	l.bar = l.container.New(0, mpb.BarStyle().Padding(" "), mpb.BarFillerMiddleware(fill),
		mpb.BarTopExtender(l.extra(height)...),
		mpb.PrependDecorators(decor.Any(l.head)), mpb.AppendDecorators(decor.Any(tail)), mpb.BarRemoveOnComplete())
	return l
}

// extra returns the lines above the bar. mpb draws the last one on top, and there is always one.
func (l *livePlanning) extra(height func() int) []mpb.BarFiller {
	rows := max(min(maxCrowds, height()-otherLines), 1)
	fillers := make([]mpb.BarFiller, rows)
	for row := range rows {
		fillers[rows-1-row] = mpb.BarFillerFunc(func(w io.Writer, st decor.Statistics) error {
			if row == 0 {
				l.now = time.Now()
				l.crowds = crowds(l.all(), l.now)
			}
			return drawCrowd(w, l.crowds, row, st.AvailableWidth, l.now)
		})
	}
	return fillers
}

func (l *livePlanning) head(decor.Statistics) string {
	resolved, failed, mappings := l.count()
	if mappings == 0 {
		return home + "reading the tags of wildcards"
	}
	all := fmt.Sprint(mappings)
	s := home + fmt.Sprintf("%s %*d/%s mappings", l.doing, len(all), resolved, all)
	if failed > 0 {
		s += fmt.Sprintf(", %d failed", failed)
	}
	return s
}

// Stopping prints a line.
func (l *livePlanning) Stopping() {
	l.above.print("Stopping. Ctrl-C again quits at once.\n")
}

// Close removes the moving lines.
func (l *livePlanning) Close() {
	l.unlog()
	l.above.close()
	l.bar.Abort(true)
	l.container.Wait()
	l.took = time.Since(l.began)
}

// Summarize writes a line.
func (l *livePlanning) Summarize(p Planned) {
	s := home + fmt.Sprintf("Planned %d mappings in %s: %d to copy", p.Mappings, text.Round(l.took), p.Copies)
	if p.Copies > 0 {
		s += fmt.Sprintf(" (%s)", text.Size(p.Bytes))
	}
	s += fmt.Sprintf(", %d current", p.Current)
	if p.Failed > 0 {
		s += fmt.Sprintf(", %d failed", p.Failed)
	}
	_, _ = io.WriteString(l.out, s+"\n")
}

// planningLines displays a plan as log lines.
type planningLines struct {
	pool
	log     *slog.Logger
	sampler *sampler
}

func newPlanningLines(log *slog.Logger, doing string, count Counter) *planningLines {
	l := &planningLines{log: log}
	l.sampler = newSampler(l.all, func(slowest string, held []crowd) {
		resolved, failed, mappings := count()
		log.Info(doing, append([]any{"resolved", resolved, "mappings", mappings, "failed", failed}, attrsOf(slowest, held)...)...)
	})
	return l
}

// Stopping writes a line.
func (l *planningLines) Stopping() { l.log.Warn("stopping") }

// Close ends the lines about what goes on.
func (l *planningLines) Close() { l.sampler.end() }

// Summarize writes a line.
func (l *planningLines) Summarize(p Planned) {
	l.log.Info("planned", "mappings", p.Mappings, "current", p.Current, "copies", p.Copies, "failed", p.Failed, "bytes", p.Bytes)
}
