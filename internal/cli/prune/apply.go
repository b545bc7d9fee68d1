package prune

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"imagemirror/internal/command"
	"imagemirror/internal/prune"
	"imagemirror/internal/record"
	"imagemirror/internal/text"
)

// delete deletes what the file of -apply lists.
func (c *config) delete(ctx context.Context, args []string) error {
	f, err := readFile(c.apply)
	if err != nil {
		return command.Refuse(fmt.Errorf("%s: %w", text.Line(c.apply, 80), err))
	}
	client, err := c.Client()
	if err != nil {
		return command.Refuse(err)
	}
	var w *wanted
	if len(args) > 0 {
		if w, err = c.wanted(ctx, client, args[0]); err == nil && w.set.Name != f.Set {
			err = fmt.Errorf("%s is of the image set %q: name that", text.Line(c.apply, 80), f.Set)
		}
		if err != nil {
			return command.Refuse(err)
		}
		f.Most = min(f.Most, w.set.Settings.WithDefaults().Prune.Most) // people edit files
	}
	recorded, err := c.recorded(ctx, f.Set)
	if err != nil {
		return command.Refuse(err)
	}
	a := &prune.Application{Client: client, Record: recorded, Done: printDeletion, Refuse: func(name, digest string) string { return whyLeft(w, recorded, name, digest) }}
	outcomes := a.Apply(ctx, f)
	if recorded != nil {
		if err := c.forget(context.WithoutCancel(ctx), f, outcomes); err != nil {
			c.Warn(fmt.Sprintf("the record still has what was deleted: %v", err))
		}
	}
	return summarize(ctx, f, outcomes)
}

// readFile reads a file of -out.
func readFile(path string) (*prune.Proposal, error) {
	in, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	content, err := io.ReadAll(io.LimitReader(in, prune.MaxFile+1))
	if err != nil {
		return nil, err
	}
	f, err := prune.Read(content)
	if err != nil {
		return nil, err
	}
	return f, f.CheckAge(time.Now())
}

// recorded returns the record of a set, if it is said where records are.
func (c *config) recorded(ctx context.Context, set string) (*record.Record, error) {
	if c.Directory == "" && c.Record == "" {
		c.Warn("no record is named with -record, so the file is not compared with one, and none is updated")
		return nil, nil
	}
	return c.ReadRecord(ctx, set)
}

// whyLeft returns why a tag that the file lists must not be deleted, or "".
func whyLeft(w *wanted, recorded *record.Record, name, digest string) string {
	if w != nil && w.has(name) {
		return "a mapping names it"
	}
	if recorded == nil {
		return ""
	}
	d := recorded.Destination(name)
	switch {
	case d == nil: // an additional tag, or one that Apply asks the record about if it is there
		return ""
	case d.Gone.IsZero():
		return "by the record a mapping names it"
	case !slices.ContainsFunc(d.Moves, func(m *record.Move) bool { return m.Wrote && m.Digest == digest }):
		return "by the record no run of the set has pushed this digest"
	}
	return ""
}

// forget removes from the record what is not there any more.
func (c *config) forget(ctx context.Context, f *prune.Proposal, outcomes []prune.Deletion) error {
	deleted := map[string]bool{}
	for _, o := range outcomes {
		if o.Gone && len(o.Left) == 0 {
			deleted[o.Tag.Tag] = true
		}
	}
	for _, name := range f.Deleted {
		deleted[name] = true
	}
	store, err := c.OpenWriter()
	if err != nil {
		return err
	}
	return store.Update(ctx, f.Set, func(r *record.Record) *record.Record {
		return r.Without(func(d *record.Destination) bool { return !d.Gone.IsZero() && deleted[d.Name] })
	})
}

// printDeletion tells people of one tag.
func printDeletion(o prune.Deletion) {
	with := ""
	if n := len(o.With); n > 0 {
		with = fmt.Sprintf(", and %d with it", n)
	}
	switch {
	case o.Why != "":
		fmt.Printf("left %s: %s\n", o.Tag.Tag, o.Why)
	case o.Deleted:
		fmt.Printf("deleted %s at %s%s\n", o.Tag.Tag, text.ShortDigest(o.Tag.Digest), with)
	default:
		fmt.Printf("%s was deleted before%s\n", o.Tag.Tag, with)
	}
	for _, l := range o.Left {
		fmt.Printf("left %s: %s\n", l.Tag, l.Why)
	}
}

// summarize sums up what was deleted.
func summarize(ctx context.Context, f *prune.Proposal, outcomes []prune.Deletion) error {
	deleted, failed := 0, 0
	for _, o := range outcomes {
		if o.Deleted {
			deleted++
		}
		if o.Failed() {
			failed++
		}
	}
	fmt.Printf("%s deleted\n", text.Count(deleted, "tag"))
	if more := len(f.Tags) - len(outcomes); more > 0 && ctx.Err() == nil {
		fmt.Printf("%d more are listed, and prune.most is %d: run it again\n", more, f.Most)
	}
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted: run it again for the rest")
	case failed > 0:
		return fmt.Errorf("%d of %s left", failed, text.Count(len(outcomes), "tag"))
	}
	return nil
}
