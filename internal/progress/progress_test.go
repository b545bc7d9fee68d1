package progress

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/fault"
	"imagemirror/internal/mirror"
	"imagemirror/internal/reference"
)

var digest = "sha256:" + strings.Repeat("0123456789abcdef", 4)

func outcome(name string, bytes int64, err error) mirror.Outcome {
	return mirror.Outcome{
		Job: mirror.Job{
			Source:      reference.Reference{Registry: "ci.io", Repository: name, Tag: "v1"},
			Destination: reference.Reference{Registry: "quay.io", Repository: name, Tag: "v1"},
			Digest:      digest,
		},
		Bytes: bytes,
		Took:  1234567 * time.Microsecond,
		Err:   err,
	}
}

// A refusal is a registry's error.
type refusal struct{ error }

func (refusal) Fault() fault.Fault {
	return fault.Fault{Side: reference.Destination, Status: 403, Advice: "ask for\x1b[2J the right to push"}
}

func TestLinesLogEachImage(t *testing.T) {
	for _, tc := range []struct {
		name     string
		images   int
		bytes    int64
		outcomes []mirror.Outcome
		want     string
	}{{
		name: "nothing to do",
		want: `level=INFO msg="nothing to copy"
`,
	}, {
		name:     "copied",
		images:   1,
		bytes:    2048,
		outcomes: []mirror.Outcome{outcome("org/a", 1024, nil)},
		want: `level=INFO msg=copying images=1 bytes=2048
level=INFO msg=copied source=ci.io/org/a:v1 destination=quay.io/org/a:v1 digest=` + digest + ` bytes=1024 took=1.2s
level=INFO msg=finished copied=1 failed=0 bytes=1024 took=0s
`,
	}, {
		name:     "failed, with a hostile name, error and advice",
		images:   1,
		outcomes: []mirror.Outcome{outcome("org/\x1b[31ma\n", 0, refusal{errors.New("denied:\r\n\u202egnorw\x9b")})},
		want: `level=INFO msg=copying images=1 bytes=0
level=ERROR msg=failed source=ci.io/org/\x1b[31ma\n:v1 destination=quay.io/org/\x1b[31ma\n:v1 digest=` + digest +
			` bytes=0 took=1.2s error="denied: \\u202egnorw�" advice="ask for\\x1b[2J the right to push"
level=INFO msg=finished copied=0 failed=1 bytes=0 took=0s
`,
	}, {
		name:   "interrupted ones are counted",
		images: 3,
		outcomes: []mirror.Outcome{
			outcome("org/a", 10, nil), outcome("org/b", 5, mirror.ErrInterrupted), outcome("org/c", 0, fmt.Errorf("wrapped: %w", mirror.ErrInterrupted)),
		},
		want: `level=INFO msg=copying images=3 bytes=0
level=INFO msg=copied source=ci.io/org/a:v1 destination=quay.io/org/a:v1 digest=` + digest + ` bytes=10 took=1.2s
level=INFO msg=finished copied=1 failed=0 interrupted=2 bytes=15 took=0s
`,
	}} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got bytes.Buffer
				d := newLines(logger(&got), &tally{images: tc.images, bytes: tc.bytes, began: time.Now()})
				d.Mounted(5)
				for _, o := range tc.outcomes {
					transfer := d.Blob(digest, o.Destination.Name(), 10)
					transfer.Add(10)
					transfer.Done(o.Err)
					d.Image(o)
				}
				d.Close()
				if diff := cmp.Diff(tc.want, got.String()); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			})
		})
	}
}

// logger returns a logger without times.
func logger(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

func TestNewLogsUnlessOnATerminal(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	New(f, logger(f), 2, -1).Close()
	got, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	if want := "level=INFO msg=copying images=2 bytes=0\n"; !strings.HasPrefix(string(got), want) {
		t.Errorf("got %q, want it to begin with %q", got, want)
	}
}

// A command that ends at once after Ctrl-C has said that it stops, once.
func TestStoppingIsShownBeforeTheEnd(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(cancel func())
		want int32
	}{
		{"not interrupted", func(func()) {}, 0},
		{"interrupted", func(cancel func()) { cancel() }, 1},
		{"interrupted meanwhile", func(cancel func()) { go cancel() }, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 1000 {
				ctx, cancel := context.WithCancel(t.Context())
				var shown atomic.Int32
				done := WhenStopped(ctx, func() { shown.Add(1) })
				c.end(cancel)
				ended := ctx.Err() != nil
				done()
				if got := shown.Load(); c.want >= 0 && got != c.want || got > 1 || ended && got == 0 {
					t.Fatalf("shown %d times, ended before: %t", got, ended)
				}
				cancel()
			}
		})
	}
}
