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

// The names of what a directory has: DIR/settled.jsonl and DIR/shards/NAME.jsonl.
const (
	settledFile  = "settled.jsonl"
	shardsFolder = "shards"
)

// temporary is a pattern for what is not a plan yet.
const temporary = ".split-"

// PrepareDirectory makes dir if it does not exist, and fails if a plan cannot be written there.
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

// shardFile is the name of a file that an earlier plan left.
var shardFile = regexp.MustCompile(`^s[0-9]+\.jsonl$`)

// checkShards refuses a folder that will be replaced and has something in it that no plan left there.
func checkShards(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if !shardFile.MatchString(e.Name()) {
			return fmt.Errorf("%s would be lost with the shards of an earlier plan, and is none: name another directory, or move it away", filepath.Join(folder, e.Name()))
		}
	}
	return nil
}

// WriteDirectory writes a plan into files in dir, which has been prepared: what needs no copy into settled.jsonl, and
// each shard into shards/NAME.jsonl. It replaces an earlier plan once the new one is whole.
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
		if err := writeFile(next, part); err != nil {
			return err
		}
	}
	for _, name := range []string{settledFile, shardsFolder} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	// The shards come first, so that no one takes old shards for those of the new settled file.
	for _, name := range []string{shardsFolder, settledFile} {
		if err := os.Rename(filepath.Join(next, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func writeFile(dir string, part *stream.Content) error {
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
