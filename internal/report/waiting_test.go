package report

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"

	"imagemirror/internal/fault"
	"imagemirror/internal/stream"
)

// Mappings that are held or deferred have columns, a list with the reasons, and no part in the
// verdict, unless the settings do not allow to defer them.
func TestWaitingMappings(t *testing.T) {
	w := newWorld()
	s := w.sheet(stream.Plan, "", 0, 27, 31)
	for id, status := range map[int]string{27: stream.Current, 28: stream.Held, 29: stream.Deferred, 30: stream.Deferred, 31: stream.Current} {
		r := stream.Result{ID: id, Status: status, Digest: digestOf("source"), Old: digestOf("old"), Time: noon.Add(time.Second)}
		switch status {
		case stream.Current:
			r.Old = r.Digest
		case stream.Held:
			r.Note = "held since 2026-03-01 by ann: the new image does not start | `x`"
		case stream.Deferred:
			r.Allowed = id == 30
			r.Digest, r.Note = "", "docker.io allows 20 more pulls: it fits after 14:05 UTC"
		}
		s.add("result", r)
	}
	r, err := build(t, s)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Err(); err == nil || err.Error() != "1 of 5 mappings deferred, which the settings do not allow" || r.Causes[0].Kind != fault.Deferred {
		t.Errorf("the verdict is %v, its causes %+v", err, r.Causes)
	}
	if c := r.Summary; c.Held != 1 || c.Deferred != 2 || c.Overdue != 1 || c.Current != 2 || c.Failed != 0 {
		t.Errorf("the counts are %+v", c)
	}
	for _, file := range append(r.Files(), File{"table.txt", r.WriteTable}) {
		var got bytes.Buffer
		if err := file.Write(&got); err != nil {
			t.Fatal(err)
		}
		compareGolden(t, filepath.Join("testdata", "waiting", file.Name), got.Bytes())
	}
}
