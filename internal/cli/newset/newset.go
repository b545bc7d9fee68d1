// Package newset is the command new-set: it writes a new image set, which the presubmit
// passes and a cluster runs as it is.
package newset

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"imagemirror/internal/command"
	"imagemirror/internal/draft"
	"imagemirror/internal/kustomization"
)

const about = `Writes a new image set below DIR (default image-sets), with a first mapping, and lists it beside
the others. If the set would not pass the check, nothing is written.`

type config struct {
	name        string
	destination string
	source      string
	owners      string
}

// Command returns the command new-set.
func Command() *command.Command {
	var c config
	cmd := &command.Command{
		Name:     "new-set",
		Synopsis: "-name NAME -dest PREFIX [-source IMAGE] [-owners NAMES] [DIR]",
		About:    about,
		Run:      c.run,
	}
	cmd.Flags.StringVar(&c.name, "name", "", "`NAME` of the set")
	cmd.Flags.StringVar(&c.destination, "dest", "", "`PREFIX` of what the set publishes, such as quay.io/payments")
	cmd.Flags.StringVar(&c.source, "source", "", "first `IMAGE` of the set (default registry.ci.openshift.org/NAME/NAME:latest)")
	cmd.Flags.StringVar(&c.owners, "owners", "", "`NAMES` of its approvers, separated by commas (default you, by git's user.email)")
	return cmd
}

func (c *config) run(ctx context.Context, dirs []string) error {
	root, err := kustomization.Root(dirs)
	if err != nil {
		return command.Refuse(err)
	}
	d, err := c.draft(ctx)
	if err != nil {
		return command.Refuse(err)
	}
	if err := draft.Write(root, []*draft.Draft{d}); err != nil {
		return err
	}
	_, err = fmt.Printf("%s/%s is written, and listed in %s/%s. Its first mapping is\n%s", root, d.Name, root, kustomization.File, d.Mapping)
	return err
}

// draft returns the set that the flags describe.
func (c *config) draft(ctx context.Context) (*draft.Draft, error) {
	if c.name == "" || c.destination == "" {
		return nil, errors.New("the set's name and where it publishes are needed: imagemirror new-set -name payments -dest quay.io/payments, or make new-set NAME=payments DEST=quay.io/payments")
	}
	owners := c.owners
	if owners == "" {
		var err error
		if owners, err = draft.Caller(ctx); err != nil {
			return nil, err
		}
	}
	source := c.source
	if source == "" {
		source = fmt.Sprintf("registry.ci.openshift.org/%s/%s:latest", c.name, c.name)
	}
	return newDraft(c.name, c.destination, source, strings.Split(owners, ","))
}
