// Package sets is the command sets: it writes the kustomizations that install image sets.
package sets

import (
	"context"
	"errors"
	"fmt"
	"os"

	"imagemirror/internal/command"
	"imagemirror/internal/kustomization"
	"imagemirror/internal/text"
)

const about = `Writes the kustomizations that install the image sets in DIR (default image-sets): one for each
set, and one that lists them. Run it after a file of a set was added, renamed or removed.
It prints the files that changed. If a set has a file that it may not have, nothing is written.`

// Command returns the command sets.
func Command() *command.Command {
	return &command.Command{Name: "sets", Synopsis: "[DIR]", About: about, Run: run}
}

func run(_ context.Context, dirs []string) error {
	root, err := kustomization.Root(dirs)
	if err != nil {
		return command.Refuse(err)
	}
	if info, err := os.Stat(root); err != nil {
		return command.Refuse(fmt.Errorf("%s: no directory of image sets is there: run this in the root of the repository, or name the directory", text.Printable(root)))
	} else if !info.IsDir() {
		return command.Refuse(fmt.Errorf("%s is not a directory: name the directory of the image sets", text.Printable(root)))
	}
	tree, found := kustomization.Read(root)
	if err := found.Err(); err != nil {
		return command.Refuse(err)
	}
	changed, err := tree.Write()
	for _, path := range changed {
		_, failed := fmt.Println(path)
		err = errors.Join(err, failed)
	}
	return err
}
