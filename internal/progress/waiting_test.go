package progress

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/waits"
)

// Each reason has words with the time that is left, or that has passed if the end is unknown.
func TestWaitsAreSaidInWords(t *testing.T) {
	now := time.Date(2026, 11, 29, 15, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		wait waits.Wait
		sent bool
		want string
	}{
		{wait: waits.Wait{Kind: waits.Answer, Limit: time.Minute}, want: "no answer from quay.io, gives up in 48s"},
		{wait: waits.Wait{Kind: waits.Bytes, Limit: time.Minute}, want: "no bytes from quay.io, gives up in 48s"},
		{wait: waits.Wait{Kind: waits.Upload, Limit: time.Minute}, want: "quay.io takes no bytes, gives up in 48s"},
		{wait: waits.Wait{Kind: waits.Upload, Limit: time.Minute}, sent: true, want: "sent, waiting 12s for quay.io to store it"},
		{wait: waits.Wait{Kind: waits.Slot}, want: "waiting 12s for a slot of quay.io"},
		{wait: waits.Wait{Kind: waits.Pause, Limit: 90 * time.Second}, want: "quay.io asked to wait, 1m18s left"},
		{wait: waits.Wait{Kind: waits.Turn}, want: "waiting 12s for MIRROR_RATE at quay.io"},
		{wait: waits.Wait{Kind: waits.Again, Limit: 20 * time.Second}, want: "next attempt at quay.io in 8s"},
		{wait: waits.Wait{Kind: waits.Token, Limit: time.Minute}, want: "no token of quay.io yet, gives up in 48s"},
		{wait: waits.Wait{Kind: waits.First}, want: "waiting 12s for another blob's upload to quay.io"},
		{wait: waits.Wait{Kind: waits.Pause, Limit: time.Second}, want: "quay.io asked to wait, 0s left"},
	} {
		t.Run(tc.want, func(t *testing.T) {
			tc.wait.Host = "quay.io"
			w := shownWait{Wait: tc.wait, began: now.Add(-12 * time.Second), sent: tc.sent}
			if got := w.say(now, 80); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			w.Host = strings.Repeat("sub.", 30) + "example.org:5000"
			if got := w.say(now, 60); utf8.RuneCountInString(got) != 60 || !strings.Contains(got, "…") {
				t.Errorf("got %q with %d characters, want 60", got, utf8.RuneCountInString(got))
			}
		})
	}
}

// A transfer shows what it has waited for for a while: first in the source, then for the
// destination, which gets its bytes late.
func TestLiveShowsWhatATransferWaitsFor(t *testing.T) {
	const stall = time.Minute
	draw(t, 80, 24, 1, 10<<20, func(d *live, s *screen) {
		blob := d.Blob(digest, "quay.io/org/a", 10<<20)
		uploaded := blob.Begin(waits.Wait{Kind: waits.Upload, Host: "quay.io", Limit: stall})
		received := blob.Begin(waits.Wait{Kind: waits.Bytes, Host: "registry.ci.openshift.org", Limit: stall})
		row := func(want string) {
			t.Helper()
			pass(3 * time.Second)
			got, _, _ := strings.Cut(s.String(), "\n")
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		}
		row("  quay.io/org/a             no bytes from registr…hift.org, gives up in 57s   0%")
		received()
		blob.Add(5 << 20)
		row("  quay.io/org/a                     quay.io takes no bytes, gives up in 57s  50%")
		blob.Add(5 << 20)
		row("  quay.io/org/a                    sent, waiting 6s for quay.io to store it 100%")
		uploaded()
		row("  0123456789ab  quay.io/org/a                         10.0 MiB / 10.0 MiB   100%")
		for _, k := range []waits.Kind{waits.Slot, waits.Bytes} { // the second is over soon
			held := blob.Begin(waits.Wait{Kind: k, Host: "quay.io", Limit: stall})
			pass(time.Second)
			held()
		}
		d.Close()
	})
}

// In a wide terminal the columns stay where they are.
func TestLiveShowsWaitsBesideSizes(t *testing.T) {
	draw(t, 160, 24, 1, 10<<20, func(d *live, s *screen) {
		blob := d.Blob(digest, "quay.io/org/a", 10<<20)
		row := func(held string) {
			t.Helper()
			pass(3 * time.Second)
			got, _, _ := strings.Cut(s.String(), "\n")
			want := fmt.Sprintf("  0123456789ab  %-60s%10s / %-10s   0%%%s", "quay.io/org/a", "0 B", "10.0 MiB", held)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		}
		row("")
		blob.Begin(waits.Wait{Kind: waits.Pause, Host: "quay.io", Limit: time.Minute})
		row("  quay.io asked to wait, 57s left")
		d.Close()
	})
}

// Requests that wait for the same are one line, the largest group first, and only three.
func TestLiveGroupsWaits(t *testing.T) {
	draw(t, 80, 24, 9, 10<<20, func(d *live, s *screen) {
		for i, host := range []string{"a.io", "b.io", "c.io", "d.io"} {
			for range 4 - i {
				d.Begin(waits.Wait{Kind: waits.Answer, Host: host, Limit: time.Minute})
				d.Begin(waits.Wait{Kind: waits.Slot, Host: host})
			}
		}
		pass(5 * time.Second)
		expect(t, s, `
  no answer from a.io, gives up in 55s (4 requests)
  no answer from b.io, gives up in 55s (3 requests)
  no answer from c.io, gives up in 55s (2 requests)
0/9 images [                          ] 0 B / 10.0 MiB         0 B/s            `)
		d.Close()
	})
}

// In a pod there is a line every half minute. The registry that was waited for most is named,
// whatever else waits when the line is written.
func TestLinesLogProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got bytes.Buffer
		d := newLines(logger(&got), &tally{images: 3, bytes: 100 << 20, began: time.Now()})
		blob := d.Blob(digest, "quay.io/org/a", 90<<20)
		uploading := blob.Begin(waits.Wait{Kind: waits.Upload, Host: "quay.io", Limit: time.Minute})
		pass(20 * time.Second)
		blob.Add(60 << 20)
		d.Image(outcome("org/b", 0, nil))
		blob.Begin(waits.Wait{Kind: waits.Bytes, Host: "ci.io", Limit: time.Minute})
		pass(11 * time.Second)
		d.Mounted(10 << 20)
		for range 2 {
			d.Begin(waits.Wait{Kind: waits.Pause, Host: "ci.io", Limit: time.Minute})
		}
		pass(30 * time.Second)
		uploading()
		d.Stopping(8 * time.Second)
		d.Close()
		want := `level=INFO msg=copying images=3 bytes=104857600
level=INFO msg=copied source=ci.io/org/b:v1 destination=quay.io/org/b:v1 digest=` + digest + ` bytes=0 took=1.2s
level=INFO msg=progress done=1 images=3 failed=0 sent="60.0 MiB" of="100.0 MiB" rate="2.0 MiB/s" slowest=quay.io waiting="no bytes from ci.io, gives up in 50s (1 request)"
level=INFO msg=progress done=1 images=3 failed=0 sent="60.0 MiB" of="90.0 MiB" rate="0 B/s" slowest=ci.io waiting="ci.io asked to wait, 31s left (2 requests); no bytes from ci.io, gives up in 20s (1 request)"
level=WARN msg="stopping: what is under way may finish" grace=8s
level=INFO msg=finished copied=1 failed=0 bytes=0 took=1m1s
`
		if diff := cmp.Diff(want, got.String()); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}
