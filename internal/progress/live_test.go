package progress

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vbauerster/mpb/v8"

	"imagemirror/internal/mirror"
)

// A screen is a terminal, as far as mpb uses one: it moves up some lines and wipes from there.
type screen struct {
	mu    sync.Mutex
	lines []string
	most  int // lines at one time
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for rest := string(p); rest != ""; {
		if move, ok := strings.CutPrefix(rest, "\x1b["); ok {
			n, after, found := strings.Cut(move, "A\x1b[J")
			up, err := strconv.Atoi(n)
			if !found || err != nil || up > len(s.lines) {
				return 0, fmt.Errorf("an unknown movement: %q", rest)
			}
			s.lines, rest = s.lines[:len(s.lines)-up], after
			continue
		}
		line, after, found := strings.Cut(rest, "\n")
		if !found {
			return 0, fmt.Errorf("a line without an end: %q", rest)
		}
		s.lines, rest = append(s.lines, strings.TrimPrefix(line, home)), after
	}
	s.most = max(s.most, len(s.lines))
	return len(p), nil
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines, "\n")
}

// draw runs f in a synctest bubble, with a display on a screen of the given width and height.
func draw(t *testing.T, width, height, images int, bytes int64, f func(d *live, s *screen)) {
	synctest.Test(t, func(*testing.T) {
		s := &screen{}
		d := newLive(s, func() int { return height }, &tally{images: images, bytes: bytes, began: time.Now()},
			mpb.WithWidth(width), mpb.ForceTTY(), mpb.WithAutoRefresh())
		f(d, s)
	})
}

// pass lets d pass in the bubble, and waits until the display has been drawn again.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func expect(t *testing.T, s *screen, want string) {
	t.Helper()
	if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), s.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestLiveShowsTransfersAndFailures(t *testing.T) {
	draw(t, 80, 24, 3, 100<<20, func(d *live, s *screen) {
		a := d.Blob(digest, "quay.io/org/a", 40<<20)
		b := d.Blob("sha256:feed", "quay.io/"+strings.Repeat("long/", 20)+"b", 50<<20)
		a.Add(10 << 20)
		pass(170 * time.Millisecond)
		expect(t, s, `
0/3 images [=>                  ] 10.0 MiB / 100.0 MiB         0 B/s            `)

		pass(3 * time.Second)
		a.Add(20 << 20)
		pass(time.Second)
		expect(t, s, `
  feed          quay.io/long/long…g/long/long/long/b       0 B / 50.0 MiB     0%
  0123456789ab  quay.io/org/a                         30.0 MiB / 40.0 MiB    75%
0/3 images [=====>              ] 30.0 MiB / 100.0 MiB     5.8 MiB/s    12s left`)

		b.Add(7 << 20)
		b.Add(-2 << 20)
		b.Done(errors.New("broken off"))
		a.Add(10 << 20)
		a.Done(nil)
		d.Mounted(30 << 20)
		d.Image(outcome("org/a", 40<<20, nil))
		d.Image(outcome("org/\x1b[2Jb", 0, errors.New("the registry said\nno")))
		pass(time.Second)
		expect(t, s, `
failed  quay.io/org/\x1b[2Jb:v1: the registry said no
2/3 images, 1 failed [=====>     ] 40.0 MiB / 70.0 MiB     6.7 MiB/s     4s left`)

		d.Image(outcome("org/c", 0, mirror.ErrInterrupted))
		d.Close()
		expect(t, s, `
failed  quay.io/org/\x1b[2Jb:v1: the registry said no
Copied 1 of 3 images, 1 failed, 1 not finished: 40.0 MiB in 5.2s, 7.7 MiB/s`)
	})
}

func TestLiveWithNothingToCopy(t *testing.T) {
	draw(t, 80, 24, 0, 0, func(d *live, s *screen) {
		d.Close()
		expect(t, s, "Nothing to copy.")
	})
}

func TestLiveFitsNarrowTerminals(t *testing.T) {
	for _, tc := range []struct {
		width, height int
		want          string
	}{{
		width: 60, height: 24, want: `
  quay.io/some/repository             25 B / 100 B       25%
  quay.io/some/repository             20 B / 80 B        25%
  quay.io/some/repository             15 B / 60 B        25%
 0/40 images [              ] 60 B / 100.0 GiB         0 B/s`,
	}, {
		width: 30, height: 24, want: `
  quay.io/some/repository  25%
  quay.io/some/repository  25%
  quay.io/some/repository  25%
 0/40 images [              ] `,
	}, {
		width: 16, height: 24, want: `
  quay…tory  25%
  quay…tory  25%
  quay…tory  25%
 0/40 images [] `,
	}, {
		width: 7, height: 24, want: `
 0/40 …`,
	}, {
		width: 50, height: 5, want: `
  quay.io/some/repository                      25%
  and 2 more
 0/40 images [                  ] 60 B / 100.0 GiB`,
	}, {
		width: 50, height: 0, want: `
  and 3 more
 0/40 images [                  ] 60 B / 100.0 GiB`,
	}} {
		t.Run(fmt.Sprint(tc.width, "x", tc.height), func(t *testing.T) {
			draw(t, tc.width, tc.height, 40, 100<<30, func(d *live, s *screen) {
				for _, size := range []int64{60, 100, 80} {
					d.Blob(digest, "quay.io/some/repository", size).Add(size / 4)
				}
				pass(time.Second)
				expect(t, s, tc.want)
				d.Close()
			})
		})
	}
}

// There are more transfers than lines. One that ends leaves its line to another, and the rest keep
// theirs.
func TestLiveKeepsLines(t *testing.T) {
	draw(t, 80, 24, 1, 1<<30, func(d *live, s *screen) {
		var transfers []mirror.Transfer
		for i := range int64(8) {
			transfers = append(transfers, d.Blob(fmt.Sprint("sha256:", i), "quay.io/a", 1000-i))
		}
		pass(time.Second)
		transfers[2].Done(nil)
		pass(time.Second)
		var got []string
		for line := range strings.Lines(s.String()) {
			got = append(got, strings.Fields(line)[0])
		}
		if diff := cmp.Diff([]string{"0", "1", "6", "3", "4", "5", "and", "0/1"}, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		d.Close()
	})
}

func TestLiveBoundsFailures(t *testing.T) {
	draw(t, 80, 24, 1000, 0, func(d *live, s *screen) {
		for range 1000 {
			d.Image(outcome("org/a", 0, errors.New(strings.Repeat("é", 5000))))
		}
		d.Close()
		lines := strings.Split(s.String(), "\n")
		if got, want := len(lines), maxFailures+2; got != want {
			t.Fatalf("got %d lines, want %d", got, want)
		}
		if got, want := lines[0], "failed  quay.io/org/a:v1: "+strings.Repeat("é", maxText)+"…"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got, want := lines[maxFailures+1], "Copied 0 of 1000 images, 1000 failed: 0 B in 0s"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// Many goroutines report at once. The bubble fails the test if a goroutine of the display is left.
func TestLiveTakesConcurrentReports(t *testing.T) {
	const workers, each = 64, 100
	draw(t, 100, 24, workers*each, workers*each*10, func(d *live, s *screen) {
		var working sync.WaitGroup
		for range workers {
			working.Go(func() {
				for i := range each {
					tr := d.Blob(digest, "quay.io/org/a", 10)
					tr.Add(10)
					<-time.After(time.Duration(i) * 10 * time.Millisecond)
					tr.Done(nil)
					d.Mounted(1)
					var err error
					if i == 0 {
						err = errors.New("no")
					}
					d.Image(outcome("org/a", 10, err))
				}
			})
		}
		working.Wait()
		d.Close()
		d.Image(outcome("org/late", 0, errors.New("nobody sees this")))
		lines := strings.Split(s.String(), "\n")
		if got, want := lines[len(lines)-1], "Copied 6336 of 6400 images, 64 failed: 62.5 KiB in 49.5s, 1.3 KiB/s"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		// Images that fail at once are printed in any order.
		told := lines[:maxFailures+1]
		slices.Sort(told)
		if want := "More images failed: they are counted here, and are in the results."; told[0] != want {
			t.Errorf("got the line %q, want %q", told[0], want)
		}
		for _, line := range told[1:] {
			if want := "failed  quay.io/org/a:v1: no"; line != want {
				t.Errorf("got the line %q, want %q", line, want)
			}
		}
	})
}

// A broken is a container that has given up.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("it has ended") }

func TestLinesAboveSurviveTheContainer(t *testing.T) {
	var got bytes.Buffer
	a := newAbove(broken{}, &got)
	a.print("one\n")
	a.print("two\n")
	a.close()
	if want := "\rone\n\rtwo\n"; got.String() != want {
		t.Errorf("got %q, want %q", got.String(), want)
	}
}

func TestLiveStopping(t *testing.T) {
	draw(t, 80, 24, 1, 10<<20, func(d *live, s *screen) {
		d.Stopping(8 * time.Second)
		pass(170 * time.Millisecond)
		expect(t, s, `
Stopping: what is under way gets up to 8s. Ctrl-C again quits at once.
0/1 images [                          ] 0 B / 10.0 MiB         0 B/s stops in 7s`)
		d.Image(outcome("org/a", 0, mirror.ErrInterrupted))
		d.Close()
	})
}
