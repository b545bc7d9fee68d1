package progress

import (
	"fmt"
	"io"
	"math"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"imagemirror/internal/text"
)

const (
	// perImage is how many bytes an image's requests count for in the bar, so that it moves even if
	// everything is mounted.
	perImage = 1 << 20
	// otherLines is how many lines are not for transfers: one for "and N more", the bar, the
	// cursor's, and one that is never redrawn, since tmux adds a screen that is wiped
	// completely to its history.
	otherLines = 4
	minName    = 24              // characters of a repository's name
	minBar     = 14              // characters of the bar
	maxHeld    = 56              // characters for what a transfer waits for, in a wide terminal
	maxCrowds  = 3               // lines for what requests wait for
	memory     = 8 * time.Second // how far back the rate looks, roughly
	learning   = 2 * time.Second // before this, there is no estimate of the time left
)

// home begins each line, since the cursor may not be at the beginning of its line: a terminal
// echoes Ctrl-C as "^C".
const home = "\r"

// A frame is one picture of the display: a line for each transfer that has one, and below them
// the bar for the whole run. Only the container's drawing goroutine uses it.
type frame struct {
	*live
	height func() int
	rows   int // lines for transfers
	room   int // lines for crowds

	now      time.Time
	shown    [maxRows]*transfer
	more     int // transfers that wait for a line
	crowds   []crowd
	finished int64
	crossed  int64 // bytes
	total    int64 // bytes that have to cross
	rate     speed // in bytes
	pace     speed // in bytes and images
	left     time.Duration
	filled   int64 // thousandths of the bar
}

// bar adds the frame to the container, as a bar with extra lines above it. There are no more
// lines than fit when it starts: mpb miscounts empty lines beyond the screen.
func (f *frame) bar(container *mpb.Progress) *mpb.Bar {
	f.rows = max(min(maxRows, f.height()-otherLines), 0)
	var extra []mpb.BarFiller
	for row := range f.rows {
		extra = append(extra, mpb.BarFillerFunc(func(w io.Writer, st decor.Statistics) error {
			return f.drawTransfer(w, f.shown[row], st.AvailableWidth)
		}))
	}
	extra = append(extra, mpb.BarFillerFunc(f.drawMore))
	f.room = max(min(maxCrowds, f.height()-otherLines-f.rows), 0)
	for row := range f.room {
		extra = append(extra, mpb.BarFillerFunc(func(w io.Writer, st decor.Statistics) error {
			return drawCrowd(w, f.crowds, row, st.AvailableWidth, f.now)
		}))
	}
	first := extra[0]
	extra[0] = mpb.BarFillerFunc(func(w io.Writer, st decor.Statistics) error {
		f.update(time.Now())
		return first.Fill(w, st)
	})
	slices.Reverse(extra) // mpb draws the last one on top
	measure := func(style mpb.BarFiller) mpb.BarFiller {
		return mpb.BarFillerFunc(func(w io.Writer, st decor.Statistics) error {
			st.Total, st.Current = 1000, f.filled
			return style.Fill(w, st)
		})
	}
	return container.New(0, mpb.BarStyle().Padding(" "),
		mpb.BarFillerMiddleware(measure),
		mpb.BarTopExtender(extra...),
		mpb.PrependDecorators(decor.Any(f.drawImages)),
		mpb.AppendDecorators(decor.Any(f.drawBytes)),
		mpb.BarRemoveOnComplete(),
	)
}

// update takes the picture at now.
func (f *frame) update(now time.Time) {
	f.shown, f.more = f.flights.show(min(f.rows, f.height()-otherLines))
	f.now, f.crowds = now, crowds(f.waitFor(f.shown[:]), now)
	f.finished = f.over()
	f.crossed, f.total = f.tally.crossed()
	done := float64(f.crossed) + float64(f.finished)*perImage
	all := float64(f.total) + float64(f.images)*perImage
	f.rate.sample(now, float64(f.crossed))
	f.pace.sample(now, done)
	f.left = 0
	if pace := f.pace.perSecond(); pace > 0 && f.took() >= learning {
		f.left = time.Duration(min((all-done)/pace, 1e6) * float64(time.Second))
	}
	f.filled = 0
	if all > 0 {
		f.filled = min(int64(done/all*1000), 1000)
	}
}

// drawTransfer draws a transfer. What it waits for comes last in a wide terminal, and replaces its
// sizes in others. The digest and the sizes are left out if they leave no room for the
// repository's name.
func (f *frame) drawTransfer(w io.Writer, t *transfer, width int) error {
	room := width - len("  ") - len(" 100%")
	if t == nil || room <= 0 {
		return nil
	}
	crossed := max(t.crossed.Load(), 0)
	percent := ""
	if t.size > 0 {
		percent = fmt.Sprintf("%d%%", min(int(float64(crossed)/float64(t.size)*100), 100))
	}
	digest := fitColumn(text.ShortDigest(t.digest), shortDigest) + "  "
	amount := fmt.Sprintf("%10s / %-10s", text.Size(crossed), text.Size(t.size))
	held := func(int) string { return "" }
	if waits, ok := t.waitsFor(); ok && waits.noticeable(f.now) {
		held = func(room int) string { return "  " + waits.say(f.now, room-len("  ")) }
	}
	last := ""
	if wide := maxHeld + 2*minName; room >= wide+len(digest)+len(amount) {
		room -= maxHeld
		last, held = held(maxHeld), func(int) string { return "" }
	}
	digest, rest := layOut(room-minName, digest, amount, held(room-minName))
	name := fitColumn(t.repository, room-len(digest)-utf8.RuneCountInString(rest))
	_, err := fmt.Fprintf(w, home+"  %s%s%s %4s%s\n", digest, name, rest, percent, last)
	return err
}

// layOut chooses what fits into room beside a transfer's name: what stands before and after it.
func layOut(room int, digest, amount, held string) (before, after string) {
	choices := [][2]string{{digest, amount}, {"", amount}}
	if held != "" {
		choices = [][2]string{{digest, held}, {"", held}, {"", amount}}
	}
	for _, c := range choices {
		if len(c[0])+utf8.RuneCountInString(c[1]) <= room {
			return c[0], c[1]
		}
	}
	return "", ""
}

// drawCrowd draws what requests wait for, if there are as many crowds.
func drawCrowd(w io.Writer, crowds []crowd, row, width int, now time.Time) error {
	if row >= len(crowds) || width <= len("  ") {
		return nil
	}
	said := []rune(crowds[row].say(now, width-len("  ")))
	_, err := fmt.Fprintf(w, home+"  %s\n", string(said[:min(len(said), width-len("  "))]))
	return err
}

func (f *frame) drawMore(w io.Writer, _ decor.Statistics) error {
	if f.more == 0 {
		return nil
	}
	_, err := fmt.Fprintf(w, home+"  and %d more\n", f.more)
	return err
}

func (f *frame) drawImages(decor.Statistics) string {
	all := fmt.Sprint(f.images)
	s := home + fmt.Sprintf("%*d/%s images", len(all), f.finished, all)
	if n := f.failed.Load(); n > 0 {
		s += fmt.Sprintf(", %d failed", n)
	}
	return s
}

// drawBytes draws sizes, rate and time left, as far as they leave room for the bar.
func (f *frame) drawBytes(st decor.Statistics) string {
	s := ""
	left := ""
	switch ends := f.ends.Load(); {
	case ends > 0:
		left = "stops in " + shortWait(max(time.Unix(0, ends).Sub(f.now), 0))
	case f.left >= time.Second:
		left = f.left.Round(time.Second).String() + " left"
	}
	for _, part := range []string{
		text.Size(f.crossed) + " / " + text.Size(f.total),
		fmt.Sprintf("%14s", text.Size(int64(f.rate.perSecond()))+"/s"),
		fmt.Sprintf("%12s", left),
	} {
		if st.AvailableWidth < len(s)+len(part)+minBar {
			break
		}
		s += part
	}
	return s
}

// A speed is a mean in which the past counts exponentially less.
type speed struct {
	at      time.Time
	value   float64
	amount  float64
	seconds float64
}

func (s *speed) sample(now time.Time, value float64) {
	if !s.at.IsZero() {
		passed := now.Sub(s.at).Seconds()
		keep := math.Exp(-passed / memory.Seconds())
		s.amount = s.amount*keep + (value - s.value)
		s.seconds = s.seconds*keep + passed
	}
	s.at, s.value = now, value
}

func (s *speed) perSecond() float64 {
	if s.seconds == 0 {
		return 0
	}
	return max(s.amount/s.seconds, 0)
}
