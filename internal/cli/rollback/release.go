package rollback

import (
	"context"
	"errors"
	"fmt"
	"time"

	"imagemirror/internal/cli/place"
	"imagemirror/internal/command"
	"imagemirror/internal/record"
	"imagemirror/internal/rollback"
	"imagemirror/internal/text"
)

const aboutRelease = `Ends holds of an image set: the next run moves these tags to what their sources have. SET is the
directory of the set or its name. A DESTINATION is a tag as its mapping names it, or a repository for
all tags that it has; without any, all holds of the set end. No registry is asked.

Exit status: 0 the holds are over, 1 the record could not be written, 2 the input was refused.`

type releaser struct{ place.Place }

// ReleaseCommand returns the command release.
func ReleaseCommand() *command.Command {
	var c releaser
	cmd := &command.Command{
		Name: "release", Synopsis: "[-record DIR] SET [DESTINATION...]", About: aboutRelease, Env: &c, Run: c.run, Anywhere: true,
	}
	c.AddFlags(cmd)
	return cmd
}

func (c *releaser) run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return command.Refuse(errors.New("no image set is given: name it"))
	}
	set, names := place.SetName(args[0]), args[1:]
	r, err := c.ReadRecord(ctx, set)
	if err != nil {
		return command.Refuse(err)
	}
	if _, err := heldAmong(r, names); err != nil {
		return command.Refuse(err)
	}
	store, err := c.OpenWriter()
	if err != nil {
		return err
	}
	var released []*record.Destination
	err = store.Update(ctx, set, func(now *record.Record) *record.Record {
		released, _ = heldAmong(now, names) // somebody else may have released some since
		if len(released) == 0 {
			return now
		}
		over := map[string]*record.Hold{}
		for _, d := range released {
			over[d.Name] = nil
		}
		return now.WithHolds(over, time.Now())
	})
	if err != nil {
		return err
	}
	for _, d := range released {
		fmt.Printf("%s was held at %s: the next run moves it to what its source has\n", d.Name, text.ShortDigest(d.Hold.Digest))
	}
	return nil
}

// heldAmong returns the destinations of names that are held. Its error has a line for each name
// that matches none.
func heldAmong(r *record.Record, names []string) ([]*record.Destination, error) {
	var held []*record.Destination
	var errs []error
	each := [][]string{nil}
	if len(names) > 0 {
		each = nil
	}
	for _, name := range names {
		each = append(each, []string{name})
	}
	for _, one := range each {
		all, err := rollback.Named(r, one)
		before := len(held)
		for _, d := range all {
			if d.Hold != nil {
				held = append(held, d)
			}
		}
		if err == nil && len(held) == before {
			err = notHeld(r, one)
		}
		errs = append(errs, err)
	}
	return held, errors.Join(errs...)
}

// notHeld returns the error of a name under which nothing is held, or of a set if there is no name.
func notHeld(r *record.Record, one []string) error {
	if len(one) == 0 {
		return fmt.Errorf("no tag of %s is held", r.Set)
	}
	return fmt.Errorf("%s is not held", text.Line(one[0], 100))
}
