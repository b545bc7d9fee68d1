// Package records updates the records of image sets after a run, for the commands that report.
package records

import (
	"context"
	"fmt"

	"imagemirror/internal/notify"
	"imagemirror/internal/record"
)

// Keep updates the records, if they are asked for. Its error has a line for each that it could not
// update, which fails no run.
func Keep(ctx context.Context, c record.Config, updates map[string]record.Update) error {
	if len(updates) == 0 {
		return nil
	}
	store, err := c.OpenStore()
	if err != nil {
		return fmt.Errorf("no record is updated: %w", err)
	}
	if store == nil {
		return nil
	}
	var nobody *notify.Sender
	return nobody.Keep(ctx, store, updates)
}
