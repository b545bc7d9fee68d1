// Package prune is the command prune: it lists tags that an image set has published and that no
// mapping names any more, and deletes those that a person has reviewed.
package prune

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"imagemirror/internal/atomicfile"
	"imagemirror/internal/cli/place"
	"imagemirror/internal/cli/registries"
	"imagemirror/internal/command"
	"imagemirror/internal/prune"
	"imagemirror/internal/record"
	"imagemirror/internal/text"
)

const about = `Lists tags at the destinations of an image set that runs of it have pushed and that no mapping has
named for prune.after of its settings, and writes them into the FILE of -out: review it. With -apply
it deletes what that file lists, if it is still at the digest that the file has, at most prune.most
tags at once. Additional tags and signatures go with the tag that they are for. It never deletes what
a mapping of the set, or of one beside it, names, or what somebody else has pushed.

SET is the directory of the set, its name below image-sets or, on a cluster, its name. With -apply it
may be left out; with it, the file is compared with the mappings once more.

Exit status: 0 all is listed or deleted, 1 some could not be deleted, 2 the input was refused.`

type config struct {
	place.Place
	registries.ClientEnv

	out, apply string
}

// Command returns the command prune.
func Command() *command.Command {
	var c config
	cmd := &command.Command{
		Name:     "prune",
		Synopsis: "[-out FILE | -apply FILE] [-record DIR] SET",
		About:    about,
		Env:      &c,
		Run:      c.run,
		Anywhere: true,
	}
	c.AddFlags(cmd)
	cmd.Flags.StringVar(&c.out, "out", "", "write what may be deleted into `FILE`")
	cmd.Flags.StringVar(&c.apply, "apply", "", "delete what `FILE` lists, which -out has written")
	return cmd
}

func (c *config) run(ctx context.Context, args []string) error {
	switch {
	case c.out != "" && c.apply != "":
		return command.Refuse(errors.New("-out and -apply exclude each other: review the file in between"))
	case len(args) > 1:
		return command.Refuse(errors.New("more than one SET is given: prune each by itself"))
	case len(args) == 0 && c.apply == "":
		return command.Refuse(errors.New("no image set is given: name its directory or, on a cluster, the set"))
	case c.apply != "":
		return c.delete(ctx, args)
	}
	return c.list(ctx, args[0])
}

// list lists what may be deleted.
func (c *config) list(ctx context.Context, arg string) error {
	client, err := c.Client()
	if err != nil {
		return command.Refuse(err)
	}
	w, err := c.wanted(ctx, client, arg)
	if err != nil {
		return command.Refuse(err)
	}
	recorded, err := c.ReadRecord(ctx, w.set.Name)
	if err != nil {
		return command.Refuse(err)
	}
	others, err := c.others(ctx, w.set.Name)
	if err != nil {
		return command.Refuse(err)
	}
	now, limits := time.Now(), w.set.Settings.WithDefaults().Prune
	found, left := prune.Find(prune.Question{Record: recorded, Others: others, Now: now, After: limits.After, Wanted: w.has})
	f, err := prune.Propose(ctx, client, w.set.Name, found, left, now)
	if err != nil {
		return err
	}
	f.After, f.Most = text.Duration(limits.After), limits.Most
	if err := printProposal(os.Stdout, f); err != nil {
		return err
	}
	if c.out == "" {
		return nil
	}
	content, err := f.Write()
	if err != nil {
		return err
	}
	if _, err := prune.Read(content); err != nil {
		return fmt.Errorf("the file would be refused: this is a bug, please report it: %w", err)
	}
	if err := atomicfile.Write(c.out, content); err != nil {
		return fmt.Errorf("-out: %w", err)
	}
	return nil
}

// others returns the records of other sets.
func (c *config) others(ctx context.Context, set string) (others []*record.Record, err error) {
	from, err := c.OpenReader()
	if err != nil {
		return nil, err
	}
	all, err := record.LoadAll(ctx, from)
	if err != nil {
		return nil, fmt.Errorf("finding out what other sets publish: %w", err)
	}
	for _, r := range all {
		if r.Set != set {
			others = append(others, r)
		}
	}
	return others, nil
}

// printProposal shows people what may be deleted.
func printProposal(w io.Writer, f *prune.Proposal) error {
	out := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	if len(f.Tags) > 0 {
		fmt.Fprintln(out, "TAG\tDIGEST\tUNWANTED FOR\tWITH IT")
	}
	for _, t := range f.Tags {
		fmt.Fprintf(out, "%s\t%s\t%s\t%d\n", t.Tag, text.ShortDigest(t.Digest), t.Age, len(t.With))
	}
	for _, l := range f.Left {
		fmt.Fprintf(out, "left: %s: %s\n", text.Printable(l.Tag), l.Why)
	}
	fmt.Fprintf(out, "%s may be deleted, %d left\n", text.Count(len(f.Tags), "tag"), len(f.Left))
	return out.Flush()
}
