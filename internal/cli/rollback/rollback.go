// Package rollback is the commands rollback and release: the first moves tags back to what they
// were, and holds them there; the second ends holds.
package rollback

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"time"

	"imagemirror/internal/cli/place"
	"imagemirror/internal/cli/registries"
	"imagemirror/internal/command"
	"imagemirror/internal/execute"
	"imagemirror/internal/mirror"
	"imagemirror/internal/progress"
	"imagemirror/internal/report"
	"imagemirror/internal/rollback"
	"imagemirror/internal/stream"
	"imagemirror/internal/text"
)

const about = `Shows what the tags of an image set go back to: the image before the last move of each or, with
-to, the one of an earlier time. With -apply it moves them, and holds them there: runs leave a tag
that is held until its source moves on or, with -for, for that long. No bytes move. If a registry
has collected an image, or a tag may not move, nothing moves.

SET is the directory of the set, its name below image-sets or, on a cluster, its name. A
DESTINATION is a tag as its mapping names it, or a repository for all tags that it has; without any,
all tags of the set go back.

Exit status: 0 the tags are, or can go, where they were, 1 some cannot, 2 the input was refused.`

// maxFor bounds -for.
const maxFor = 366 * 24 * time.Hour

type config struct {
	place.Place
	registries.ClientEnv

	apply, partial   bool
	to, by, why, out string
	duration         time.Duration
}

// Command returns the command rollback.
func Command() *command.Command {
	var c config
	cmd := &command.Command{
		Name:     "rollback",
		Synopsis: "[-apply] [-to RUN|TIME] [-for TIME] [-why TEXT] [-record DIR] SET [DESTINATION...]",
		About:    about,
		Env:      &c,
		Run:      c.run,
		Anywhere: true,
	}
	c.AddFlags(cmd)
	cmd.Flags.BoolVar(&c.apply, "apply", false, "move the tags; without, nothing is changed")
	cmd.Flags.BoolVar(&c.partial, "partial", false, "move the others if some cannot go back")
	cmd.Flags.StringVar(&c.to, "to", "", "go back to what the tags were after a run, or at a time: the `RUN|TIME`, such as 2026-03-01T12:00:00Z, or an age such as 36h")
	cmd.Flags.Func("for", "hold the tags for a `TIME` such as 24h, whatever the source does (default until the source moves)", c.setFor)
	cmd.Flags.StringVar(&c.by, "by", "", "`NAME` of who asks for it (default the user's)")
	cmd.Flags.StringVar(&c.why, "why", "", "`TEXT` that says why, for reports and pages")
	cmd.Flags.StringVar(&c.out, "out", "", "with -apply, also write report.json, report.md and junit.xml into `DIR`")
	return cmd
}

func (c *config) run(ctx context.Context, args []string) error {
	if err := c.check(args); err != nil {
		return command.Refuse(err)
	}
	set, err := c.Files(ctx, args[0])
	if err != nil {
		return command.Refuse(err)
	}
	recorded, err := c.ReadRecord(ctx, set.Name)
	if err != nil {
		return command.Refuse(err)
	}
	client, err := c.Client()
	if err != nil {
		return command.Refuse(err)
	}
	back, err := rollback.Choose(rollback.Options{
		Client: client, Set: set, Record: recorded, Names: args[1:], To: c.to, For: c.duration, By: c.by, Why: c.why, Now: time.Now,
	})
	if err != nil {
		return command.Refuse(err)
	}
	back.Ask(ctx)
	if ctx.Err() != nil {
		return errors.New("interrupted: nothing was moved")
	}
	if n := back.Count(back.IsUnverified); n > 0 {
		c.Warn(fmt.Sprintf("verify demands signatures of %s, and a rollback verifies none: check the images in the column TO yourself", text.Count(n, "tag")))
	}
	if !c.apply || back.Blocked() && !c.partial {
		return c.show(back)
	}
	return c.move(ctx, set.Name, back, mirror.Options{Client: client, Grace: execute.Grace})
}

// setFor sets -for.
func (c *config) setFor(value string) (err error) {
	if c.duration, err = text.ParseDuration(value); err != nil || c.duration <= 0 || c.duration > maxFor {
		return errors.New("give a time such as 24h, of 366 days at most")
	}
	return nil
}

// check refuses flags and arguments, and sets the defaults of flags.
func (c *config) check(args []string) error {
	switch {
	case len(args) == 0:
		return errors.New("no image set is given: name its directory or, on a cluster, the set")
	case c.out != "" && !c.apply:
		return errors.New("-out is for -apply, which has results: add -apply")
	}
	if c.by == "" {
		if u, err := user.Current(); err == nil {
			c.by = u.Username
		}
	}
	return nil
}

// show shows a dry run, or why nothing is moved.
func (c *config) show(back *rollback.Rollback) error {
	if err := printTags(os.Stdout, back, nil); err != nil {
		return err
	}
	moves, failed := back.Count((*rollback.Tag).MustMove), back.Count(func(t *rollback.Tag) bool { return t.Err != nil })
	switch {
	case failed > 0 && failed == len(back.Tags):
		return fmt.Errorf("%s cannot go back: nothing was moved", text.Count(failed, "tag"))
	case failed > 0:
		return fmt.Errorf("%d of %s cannot go back: nothing was moved; add -partial to move the others", failed, text.Count(len(back.Tags), "tag"))
	}
	_, err := fmt.Printf("Dry run: %d of %s to move back; add -apply to move and hold them\n", moves, text.Count(len(back.Tags), "tag"))
	return err
}

// move holds the tags, moves them and records what became of them. If it is killed on the way,
// each tag that it moved has a hold.
func (c *config) move(ctx context.Context, set string, back *rollback.Rollback, o mirror.Options) error {
	if err := c.RefuseActive(ctx, set); err != nil {
		return err
	}
	out, err := openOut(c.out)
	if err != nil {
		return command.Refuse(fmt.Errorf("-out: %w", err))
	}
	store, err := c.OpenWriter()
	if err != nil {
		return err
	}
	plan := back.Plan()
	if err := back.Hold(ctx, store); err != nil {
		return fmt.Errorf("nothing was moved: %w", err)
	}
	results, err := carry(ctx, plan, o)
	if err != nil {
		return err
	}
	kept := back.Keep(context.WithoutCancel(ctx), store, results)
	r, err := reportOf(results)
	if err != nil {
		return errors.Join(kept, err)
	}
	written := errors.Join(printTags(os.Stdout, back, r), out.Write(r))
	return cmp.Or(errors.Join(kept, written), c.verdict(back, r))
}

// verdict returns the error of tags that are not where they should be.
func (c *config) verdict(back *rollback.Rollback, r *report.Report) error {
	bad := back.Count(func(t *rollback.Tag) bool { return t.Err != nil }) + r.Summary.Failed
	if bad == 0 {
		_, err := fmt.Printf("%s moved back\n", text.Count(r.Summary.Copied, "tag"))
		return err
	}
	return fmt.Errorf("%d of %s did not go back", bad, text.Count(len(back.Tags), "tag"))
}

// carry carries the plan out.
func carry(ctx context.Context, plan *stream.Content, o mirror.Options) (*stream.Content, error) {
	work, err := execute.Gather([]*stream.Content{plan})
	if err != nil {
		return nil, err
	}
	images, size := work.Work()
	display := progress.New(os.Stderr, slog.Default(), images, size)
	defer display.Close()
	o.Observer = display
	return work.Run(ctx, o), nil
}

func reportOf(results *stream.Content) (*report.Report, error) {
	b := report.NewBuilder()
	if err := b.Add(results); err != nil {
		return nil, err
	}
	r := b.Report()
	r.From(report.Origin{Version: command.Version()})
	return r, nil
}

func openOut(dir string) (report.Output, error) {
	if dir == "" {
		return report.Output{}, nil
	}
	return report.OpenOutput(dir)
}
