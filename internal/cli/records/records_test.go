package records

import (
	"strings"
	"testing"
	"time"

	"imagemirror/internal/notify"
	"imagemirror/internal/record"
	"imagemirror/internal/report"
)

// Whoever gives secrets of targets wants people to be told, and hears if they are not.
func TestNotificationsNeedARecord(t *testing.T) {
	updates := map[string]record.Update{"web": {Report: report.NoPlan("no secret"), Now: time.Now()}}
	for _, c := range []struct {
		name   string
		config Config
		want   string
	}{
		{"neither", Config{}, ""},
		{"secrets only", Config{Env: notify.Env{NotifyDir: "x"}}, "nobody is notified: MIRROR_NOTIFY_DIR is set, but no record"},
		{"a record only", Config{Config: record.Config{Directory: t.TempDir()}}, ""},
		{"both", Config{Config: record.Config{Directory: t.TempDir()}, Env: notify.Env{NotifyDir: "x"}}, ""},
	} {
		err := c.config.Keep(t.Context(), updates, report.Output{})
		if (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}
