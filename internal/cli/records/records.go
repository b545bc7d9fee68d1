// Package records updates the records of image sets after a run, notifies people of what changed,
// and writes metrics: for the commands that report.
package records

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"imagemirror/internal/metrics"
	"imagemirror/internal/notify"
	"imagemirror/internal/record"
	"imagemirror/internal/report"
)

// Config says where records are kept, and how people are notified.
type Config struct {
	record.Config
	notify.Env
}

// Keep updates the records, if they are asked for, notifies the targets of their sets, and writes
// the metrics of all records into a directory. Its error has a line for each step that
// failed. It fails no run.
func (c Config) Keep(ctx context.Context, updates map[string]record.Update, out report.Output) error {
	if len(updates) == 0 {
		return nil
	}
	store, err := c.OpenStore()
	if err != nil {
		return fmt.Errorf("no record is updated: %w", err)
	}
	if store == nil && c.NotifyDir != "" {
		return errors.New("nobody is notified: MIRROR_NOTIFY_DIR is set, but no record tells what is new: give -record DIR or MIRROR_RECORD")
	}
	if store == nil {
		return nil
	}
	kept := c.NewSender().Keep(ctx, store, updates)
	var unread error
	written := out.WriteFile(report.File{Name: metrics.File, Write: func(w io.Writer) error {
		var all []*record.Record
		all, unread = record.LoadAll(ctx, store)
		return metrics.Write(w, all, time.Now())
	}})
	return errors.Join(kept, unread, written)
}
