package split

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"imagemirror/internal/cli/planning"
	"imagemirror/internal/command"
	"imagemirror/internal/finding"
	"imagemirror/internal/presubmit"
)

// checkSets lists the mistakes in the image sets: as lines on standard error, and in the form of
// -format on standard output.
func (c *config) checkSets(ctx context.Context, paths []string) error {
	input, found := presubmit.Check(paths, os.Stdin)
	if c.online {
		o, err := c.options()
		if err != nil {
			return refuseStart(err)
		}
		doubts, err := planning.Check(ctx, o, input)
		if err != nil {
			return err
		}
		found.Merge(doubts)
		found.Sort()
	}
	document := finding.Document{Findings: found.All()}
	for _, set := range input.Sets {
		document.Files = append(document.Files, set.Files...)
	}
	if err := document.Write(os.Stdout, c.format); err != nil {
		return fmt.Errorf("writing to standard output: %w", err)
	}
	warnings := found.Warnings()
	for _, w := range warnings {
		c.warn(w.Error())
	}
	mistakes := len(document.Findings) - len(warnings)
	sentence := fmt.Sprintf("%d mappings in %d sets: %d mistakes, %d warnings", input.Mappings(), len(input.Sets), mistakes, len(warnings))
	if err := c.Summarize(sentence); err != nil {
		return err
	}
	if err := found.Err(); err != nil {
		return command.Refuse(err)
	}
	slog.Info("checked", "sets", len(input.Sets), "mappings", input.Mappings(), "warnings", len(warnings))
	return nil
}

// checkFlags refuses flags that do not go together.
func (c *config) checkFlags() error {
	switch {
	case !finding.Known(c.format):
		return fmt.Errorf("-format is %q: give %s", c.format, finding.Forms)
	case !c.check && c.online:
		return errors.New("-online needs -check: without it, every run asks the registries")
	case !c.check && c.format != finding.Text:
		return errors.New("-format needs -check: it is the format of the findings")
	case c.check && (c.out != "" || c.shards != 1):
		return errors.New("-check makes no plan: remove -out and -shards")
	}
	return nil
}
