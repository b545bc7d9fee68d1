package plan

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

// directory is a plan as DIR/settled.jsonl and DIR/shards/NAME.jsonl. What an earlier plan left there is replaced when the
// new one is whole.
type directory struct{ dir, temporary string }

// The names of what a directory has.
const (
	settledFile  = "settled.jsonl"
	shardsFolder = "shards"
)

// ToDirectory writes the plan into files: what needs no copy into dir/settled.jsonl, and dir/shards/NAME.jsonl for each of at most
// that many shards. It makes dir if need be, and fails where it cannot be written to.
func ToDirectory(dir string, shards int) (Writer, error) {
	to, err := ToParts(&directory{dir: dir}, shards)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("-out: %w", err)
	}
	if err := checkShards(filepath.Join(dir, shardsFolder)); err != nil {
		return nil, fmt.Errorf("-out: %w", err)
	}
	probe, err := os.MkdirTemp(dir, ".split-")
	if err != nil {
		return nil, fmt.Errorf("-out: %w", err)
	}
	if err := os.Remove(probe); err != nil {
		return nil, fmt.Errorf("-out: %w", err)
	}
	return to, nil
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

func (d *directory) Begin() (err error) {
	if d.temporary, err = os.MkdirTemp(d.dir, ".split-"); err != nil {
		return err
	}
	return os.Mkdir(filepath.Join(d.temporary, shardsFolder), 0o755)
}

func (d *directory) Put(shard string, content func(io.Writer) error) error {
	name := settledFile
	if shard != "" {
		name = filepath.Join(shardsFolder, shard+".jsonl")
	}
	f, err := os.Create(filepath.Join(d.temporary, name))
	if err != nil {
		return err
	}
	return errors.Join(content(f), f.Close())
}

// End puts the new plan where the old one was: the shards first, so that no one who looks in between takes old
// shards for those of the new settled file.
func (d *directory) End(err error) error {
	defer os.RemoveAll(d.temporary)
	if err != nil {
		return err
	}
	for _, name := range []string{settledFile, shardsFolder} {
		if err := os.RemoveAll(filepath.Join(d.dir, name)); err != nil {
			return err
		}
	}
	for _, name := range []string{shardsFolder, settledFile} {
		if err := os.Rename(filepath.Join(d.temporary, name), filepath.Join(d.dir, name)); err != nil {
			return err
		}
	}
	return nil
}
