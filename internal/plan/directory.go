package plan

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"imagemirror/internal/stream"
)

// Names in a plan directory: DIR/settled.jsonl and DIR/shards/NAME.jsonl.
const (
	settledFile  = "settled.jsonl"
	shardsFolder = "shards"
)

// temporary is the pattern of directories that hold an unfinished plan.
const temporary = ".split-"

// PrepareDirectory creates dir if it does not exist. It fails if a plan cannot be written
// there.
func PrepareDirectory(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := checkShards(filepath.Join(dir, shardsFolder)); err != nil {
		return err
	}
	probe, err := os.MkdirTemp(dir, temporary)
	if err != nil {
		return err
	}
	return os.Remove(probe)
}

// shardFile matches the names of shard files.
var shardFile = regexp.MustCompile(`^s[0-9]+\.jsonl$`)

// checkShards fails if the folder, which will be replaced, has anything but shard files in it.
func checkShards(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if !shardFile.MatchString(e.Name()) {
			return fmt.Errorf("%s is not a shard file, and -out would delete it: move it or choose another directory", filepath.Join(folder, e.Name()))
		}
	}
	return nil
}

// WriteDirectory writes the parts of a plan into a prepared directory: the settled part into
// settled.jsonl, and each shard into shards/NAME.jsonl. It replaces an earlier plan only when
// the new one is complete.
func WriteDirectory(dir string, parts []*stream.Content) error {
	next, err := os.MkdirTemp(dir, temporary)
	if err != nil {
		return err
	}
	defer os.RemoveAll(next)
	if err := os.Mkdir(filepath.Join(next, shardsFolder), 0o755); err != nil {
		return err
	}
	for _, part := range parts {
		if err := writePart(next, part); err != nil {
			return err
		}
	}
	for _, name := range []string{settledFile, shardsFolder} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	// Shards come first, so that nobody reads old shards together with the new settled.jsonl.
	for _, name := range []string{shardsFolder, settledFile} {
		if err := os.Rename(filepath.Join(next, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func writePart(dir string, part *stream.Content) error {
	name := settledFile
	if shard := part.Header.Shard; shard != "" {
		name = filepath.Join(shardsFolder, shard+".jsonl")
	}
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	_, err = stream.Write(f, part)
	return errors.Join(err, f.Close())
}
