// Package imports is the command import: it turns the configuration of other mirroring tools into
// image sets.
package imports

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/user"
	"path/filepath"
	"strings"

	"imagemirror/internal/command"
	"imagemirror/internal/draft"
	"imagemirror/internal/finding"
	"imagemirror/internal/foreign"
	"imagemirror/internal/imageset"
	"imagemirror/internal/kustomization"
	"imagemirror/internal/text"
)

const about = `Turns files of regsync, skopeo sync (its YAML) and image-syncer (images, auth or both in one) into
an image set below DIR. What an image set cannot say is listed, as FILE:LINE: KEY: WHY. What differs
in settings that are for a whole set becomes a set of its own: NAME-2, NAME-3.
Credentials are never read: see docs/how-to/credentials.md.`

type config struct {
	*command.Command
	from   string
	name   string
	owners string
	out    string
	target foreign.SkopeoTarget
}

// Command returns the command import.
func Command() *command.Command {
	c := config{Command: &command.Command{
		Name:     "import",
		Synopsis: "[-from TOOL] [-name NAME] [-dest PREFIX [-scoped]] [-owners NAMES] [-out DIR] FILE...",
		About:    about,
	}}
	c.Run = c.run
	c.Flags.StringVar(&c.from, "from", "", "`TOOL` that the files are for: "+foreign.Tools+" (default the one that they look like)")
	c.Flags.StringVar(&c.name, "name", "", "`NAME` of the set (default the first file's, without its ending)")
	c.Flags.StringVar(&c.target.Prefix, "dest", "", "`PREFIX` that skopeo sync copies to, such as quay.io/payments: its file does not have it")
	c.Flags.BoolVar(&c.target.Scoped, "scoped", false, "below -dest, keep the whole name of each source, as skopeo sync --scoped does")
	c.Flags.StringVar(&c.owners, "owners", "", "`NAMES` of the set's approvers, separated by commas (default you, by git's user.email or your login)")
	c.Flags.StringVar(&c.out, "out", "image-sets", "`DIR` of image sets; if it is not installed with kustomize, only the set's directory is written")
	return c.Command
}

func (c *config) run(ctx context.Context, files []string) error {
	if len(files) == 0 {
		return command.Refuse(errors.New("no FILE is given: name a file of " + foreign.Tools))
	}
	name, owners, err := c.checked(ctx, files[0])
	if err != nil {
		return command.Refuse(err)
	}
	entries, found, err := c.read(files)
	if err != nil {
		return command.Refuse(err)
	}
	sets := groupEntries(entries, found)
	found.Sort()
	for _, w := range found.Warnings() {
		c.Warn(w.Error())
	}
	switch err := found.Err(); {
	case err != nil:
		return command.Refuse(err)
	case len(sets) == 0:
		return command.Refuse(errors.New("the files name no image that an image set can mirror: nothing is written"))
	}
	return c.write(sets, name, owners, len(found.Warnings()))
}

// checked returns the name of the set and its owners.
func (c *config) checked(ctx context.Context, file string) (name string, owners []string, err error) {
	if c.from != "" && foreign.ToolOf(c.from) == nil {
		return "", nil, fmt.Errorf("-from is %q: give %s", c.from, foreign.Tools)
	}
	name = cmp.Or(c.name, defaultName(file))
	if err := draft.CheckNewName(name); err != nil {
		return "", nil, fmt.Errorf("%w; give it with -name", err)
	}
	owners, err = c.approvers(ctx)
	return name, owners, err
}

// approvers returns the set's owners: the given ones, or the caller, by git's user.email or the
// login.
func (c *config) approvers(ctx context.Context) ([]string, error) {
	if c.owners != "" {
		owners := strings.Split(c.owners, ",")
		return owners, draft.CheckOwners(owners)
	}
	name, err := draft.Caller(ctx)
	if err == nil {
		return []string{name}, draft.CheckOwners([]string{name})
	}
	if u, unknown := user.Current(); unknown == nil && draft.CheckOwners([]string{u.Username}) == nil {
		return []string{u.Username}, nil
	}
	return nil, err
}

// defaultName returns a name like that of a file.
func defaultName(file string) string {
	base := filepath.Base(file)
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(strings.TrimSuffix(base, filepath.Ext(base))))
	return strings.Trim(name, "-")
}

// read reads all files.
func (c *config) read(files []string) ([]foreign.Entry, *finding.List, error) {
	var entries []foreign.Entry
	var found finding.List
	for _, file := range files {
		data, err := imageset.ReadFile(file, foreign.MaxFile)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", text.Printable(file), err)
		}
		got, mistakes := foreign.Read(foreign.ToolOf(c.from), file, data, c.target)
		found.Merge(mistakes)
		entries = append(entries, got.Entries...)
	}
	return entries, &found, nil
}

// write writes the sets, and tells what was written.
func (c *config) write(sets []*entryGroup, name string, owners []string, unsaid int) error {
	var drafts []*draft.Draft
	for i, s := range sets {
		d := &draft.Draft{Name: name, Owners: owners}
		if i > 0 {
			d.Name = fmt.Sprintf("%s-%d", name, i+1)
		}
		d.Mapping, d.Spec = s.mapping(), s.spec(d.Minute())
		drafts = append(drafts, d)
	}
	root := filepath.Clean(c.out)
	write := draft.WriteBare
	if kustomization.IsTree(root) {
		write = draft.Write
	}
	if err := write(root, drafts); err != nil {
		return err
	}
	for i, d := range drafts {
		if _, err := fmt.Printf("%s/%s is written, with %s.\n", root, d.Name, text.Count(len(sets[i].entries), "mapping")); err != nil {
			return err
		}
	}
	next := "Nothing else was asked for."
	if unsaid > 0 {
		next = fmt.Sprintf("%s above could not be written into it.", text.Count(unsaid, "line"))
	}
	_, err := fmt.Printf("%s See what a run would do: imagemirror run -dry-run %s/%s\n", next, root, drafts[0].Name)
	return err
}
