package status

import (
	"fmt"
	"math"
	"strings"
	"time"

	"imagemirror/internal/record"
	"imagemirror/internal/text"
)

// shownRuns is how many runs a sparkline shows.
const shownRuns = 30

// A spark is a drawing of the last runs: a bar each, in paths by verdict. A bar is as high as
// its run was long. A run that was not good is a full bar, so that it can be told without its
// color.
type spark struct {
	Width, Height      int
	Good, Failed, Void string // data of SVG paths
	Label              string
}

// Sizes in a drawing.
const (
	sparkStep   = 5
	sparkHeight = 22
)

// sparkOf draws the last runs, at most so many; the newest is at the right.
func sparkOf(runs []*record.Run, most int) spark {
	s := spark{Width: most * sparkStep, Height: sparkHeight}
	runs = runs[max(0, len(runs)-most):]
	var longest time.Duration
	bad := 0
	for _, run := range runs {
		longest = max(longest, run.End.Sub(run.Start))
		if run.Verdict != record.Good {
			bad++
		}
	}
	var good, failed, void strings.Builder
	for i := range most {
		x := i*sparkStep + sparkStep/2
		at := i - (most - len(runs))
		switch {
		case at < 0:
			bar(&void, x, 1)
		case runs[at].Verdict == record.Good:
			bar(&good, x, barHeight(runs[at].End.Sub(runs[at].Start), longest))
		default:
			bar(&failed, x, sparkHeight)
		}
	}
	s.Good, s.Failed, s.Void = good.String(), failed.String(), void.String()
	s.Label = sparkLabel(len(runs), bad, runs)
	return s
}

func bar(path *strings.Builder, x, height int) {
	fmt.Fprintf(path, "M%d %dv-%d", x, sparkHeight, height)
}

// barHeight returns the height of a good run. The square root keeps short runs visible beside
// one that took hours.
func barHeight(d, longest time.Duration) int {
	const least, most = 4, sparkHeight - 6
	if d <= 0 || longest <= 0 {
		return least
	}
	return least + int(math.Sqrt(float64(d)/float64(longest))*(most-least))
}

func sparkLabel(runs, bad int, last []*record.Run) string {
	switch {
	case runs == 0:
		return "No runs yet"
	case bad == 0:
		return fmt.Sprintf("Last %s: all good", text.Count(runs, "run"))
	}
	label := fmt.Sprintf("Last %s: %d not good", text.Count(runs, "run"), bad)
	if last[len(last)-1].Verdict == record.Good {
		label += ", the last one good"
	}
	return label
}
