package notify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/fault"
	"imagemirror/internal/notify/notifytest"
	"imagemirror/internal/record"
	"imagemirror/internal/report"
	"imagemirror/internal/stream"
)

// ran returns what a run of web tells, which ended so many hours after noon. Kinds are of failures
// of quay.io/web/a:KIND.
func ran(t *testing.T, hours int, kinds ...fault.Kind) map[string]record.Update {
	t.Helper()
	end := noon.Add(time.Duration(hours) * time.Hour)
	c := &stream.Content{
		Header: stream.Header{Stream: stream.Results, Run: "r", Mappings: len(kinds) + 1, Started: end.Add(-time.Minute)}, End: &stream.End{Ended: end},
		Sets: []stream.Set{{Name: "web", Owners: []string{"ada"}, RemindSeconds: 86400,
			Targets: []stream.Target{{Kind: "slack", Name: "slack"}, {Kind: "webhook", Name: "hook"}, {Kind: "email", Name: "mail"}}}},
		Mappings: []stream.Mapping{{ID: 0, Source: "ci.example.com/a:good", Destination: "quay.io/web/a:good", Set: "web", File: "mapping_web", Line: 1}},
		Results:  []stream.Result{{ID: 0, Status: stream.Current, Digest: "sha256:" + strings.Repeat("a", 64)}},
	}
	for i, kind := range kinds {
		c.Mappings = append(c.Mappings, stream.Mapping{
			ID: i + 1, Source: "ci.example.com/a:x", Destination: "quay.io/web/a:" + string(kind), Set: "web", File: "mapping_web", Line: i + 2})
		c.Results = append(c.Results, stream.Result{ID: i + 1, Status: stream.Failed,
			Error: &stream.Error{Kind: kind, Side: "destination", Host: "quay.io", Message: "no " + string(kind), Advice: "do"}})
	}
	b := report.NewBuilder()
	b.MarkExecuted()
	if err := b.Add(c); err != nil {
		t.Fatal(err)
	}
	r := b.Report().BySet()["web"]
	r.Run = report.Run{ID: fmt.Sprintf("run-%d", hours), Start: end.Add(-time.Minute), End: end}
	return map[string]record.Update{"web": {Report: r, Whole: true, Now: end}}
}

// arrived returns what a receiver got, by the targets' first letters: s, h and m.
func arrived(r *notifytest.Receiver) string {
	counts := map[string]int{}
	for _, d := range r.Take() {
		switch {
		case strings.HasPrefix(d.To, "/services"):
			counts["slack"]++
		case d.To == "/hook":
			counts["hook"]++
		default:
			counts["mail"]++
		}
	}
	return fmt.Sprintf("slack %d, hook %d, mail %d", counts["slack"], counts["hook"], counts["mail"])
}

// A set fails and recovers, over several runs that share nothing but the record: each target gets
// one message of each change.
func TestKeepNotifiesOfChanges(t *testing.T) {
	r := notifytest.New(t)
	var down atomic.Bool
	r.Answer = func(_ http.ResponseWriter, req *http.Request) int {
		if down.Load() && req.URL.Path == "/hook" {
			return http.StatusBadGateway
		}
		return 0
	}
	store, err := record.OpenDirectory(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name  string
		hour  int
		kinds []fault.Kind
		down  bool // the webhook
		want  string
	}{
		{"all is well", 0, nil, false, "slack 0, hook 0, mail 0"},
		{"the first failing run", 1, []fault.Kind{fault.Credentials}, false, "slack 1, hook 1, mail 1"},
		{"the second", 2, []fault.Kind{fault.Credentials}, false, "slack 0, hook 0, mail 0"},
		{"another cause", 3, []fault.Kind{fault.Credentials, fault.Quota}, true, "slack 1, hook 0, mail 1"},
		{"the webhook is up again", 4, []fault.Kind{fault.Credentials, fault.Quota}, false, "slack 0, hook 1, mail 0"},
		{"a day later", 25, []fault.Kind{fault.Credentials, fault.Quota}, false, "slack 1, hook 1, mail 1"},
		{"two days later", 50, []fault.Kind{fault.Credentials, fault.Quota}, false, "slack 2, hook 2, mail 2"},
		{"one cause is over", 51, []fault.Kind{fault.Credentials}, false, "slack 1, hook 1, mail 1"},
		{"both are over", 52, nil, false, "slack 1, hook 1, mail 1"},
		{"all is well", 53, nil, false, "slack 0, hook 0, mail 0"},
	} {
		s, _ := opened(t, r, r.Hosts()...)
		s.now = func() time.Time { return noon.Add(time.Duration(step.hour) * time.Hour) }
		down.Store(step.down)
		if err := s.Keep(t.Context(), store, ran(t, step.hour, step.kinds...)); err != nil {
			t.Fatal(err)
		}
		if got := arrived(r); got != step.want {
			t.Errorf("%s: %s, want %s", step.name, got, step.want)
		}
	}
	last, err := store.Load(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	want := record.Notifications{Delivered: 21, Failed: 1, LastFail: noon.Add(3 * time.Hour)}
	if diff := cmp.Diff(want, last.Notifications); diff != "" || len(last.Causes)+len(last.Recovered) > 0 {
		t.Errorf("%d causes, %d that are over, and (-want +got):\n%s", len(last.Causes), len(last.Recovered), diff)
	}
}

// A broken store has no record; that keeps no message of another set back.
type broken struct{ record.Store }

func (b broken) Update(ctx context.Context, set string, change func(*record.Record) *record.Record) error {
	if set == "broken" {
		return errors.New("no space")
	}
	return b.Store.Update(ctx, set, change)
}

func TestKeepNamesRecordsThatAreNotUpdated(t *testing.T) {
	r := notifytest.New(t)
	store, err := record.OpenDirectory(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	updates := ran(t, 1, fault.Quota)
	updates["broken"] = updates["web"]
	s, _ := opened(t, r, r.Hosts()...)
	err = s.Keep(t.Context(), broken{store}, updates)
	if want := `the record of the image set "broken" is not updated: no space`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if got := arrived(r); got != "slack 1, hook 1, mail 1" {
		t.Error(got)
	}
	var none *Sender
	if err := none.Keep(t.Context(), store, ran(t, 2, fault.TLS)); err != nil || arrived(r) != "slack 0, hook 0, mail 0" {
		t.Errorf("without a Sender: %v", err)
	}
}
