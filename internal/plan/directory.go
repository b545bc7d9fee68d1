package plan

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"imagemirror/internal/manifest"
	"imagemirror/internal/shard"
	"imagemirror/internal/stream"
)

// Directory writes a plan as DIR/settled.jsonl, with what needs no copy, and DIR/shards/NAME.jsonl for each shard. What an
// earlier plan left there is replaced when the new plan is whole.
type Directory struct {
	dir    string
	shards int
}

// The names of what a Directory writes.
const (
	settledFile  = "settled.jsonl"
	shardsFolder = "shards"
)

// ToDirectory makes dir if need be, and fails where it cannot be written to. The plan will have at most that many shards.
func ToDirectory(dir string, shards int) (*Directory, error) {
	if shards < 1 || shards > shard.Max {
		return nil, fmt.Errorf("-shards is %d: give a number from 1 to %d", shards, shard.Max)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("-out: %w", err)
	}
	probe, err := os.MkdirTemp(dir, ".split-")
	if err != nil {
		return nil, fmt.Errorf("-out: %w", err)
	}
	if err := os.Remove(probe); err != nil {
		return nil, fmt.Errorf("-out: %w", err)
	}
	return &Directory{dir, shards}, nil
}

func (d *Directory) begin(h stream.Header, sets []stream.Set, targets []*target) writing {
	return &directory{Directory: d, header: h, sets: sets, targets: targets, manifests: map[string]stream.Manifest{}}
}

// directory is a plan that is being made. It is written at its end, when it is known what goes into which shard.
type directory struct {
	*Directory
	header  stream.Header
	sets    []stream.Set
	targets []*target

	mu        sync.Mutex
	manifests map[string]stream.Manifest
	results   []stream.Result
}

func (d *directory) manifest(m stream.Manifest) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.manifests[m.Digest] = m
}

func (d *directory) settled(r stream.Result) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.results = append(d.results, r)
}

func (d *directory) end(copies []stream.Copy, totals *Totals, t *trees) error {
	packed := shard.Pack(d.repositories(copies, t), d.shards)
	totals.Shards, totals.Duplicated = len(packed.Shards), packed.Duplicated
	temporary, err := os.MkdirTemp(d.dir, ".split-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary)
	if err := os.Mkdir(filepath.Join(temporary, shardsFolder), 0o755); err != nil {
		return err
	}
	if err := d.writeSettled(filepath.Join(temporary, settledFile)); err != nil {
		return err
	}
	byRepository := d.byRepository(copies)
	for _, s := range packed.Shards {
		var mine []stream.Copy
		for _, name := range s.Repositories {
			mine = append(mine, byRepository[name]...)
		}
		if err := d.writeShard(filepath.Join(temporary, shardsFolder, s.Name+".jsonl"), s.Name, mine, t); err != nil {
			return err
		}
	}
	return d.replace(temporary)
}

// replace puts the new plan where the old one was: the shards first, so that no one who looks in between takes old
// shards for those of the new settled file.
func (d *directory) replace(temporary string) error {
	for _, name := range []string{settledFile, shardsFolder} {
		if err := os.RemoveAll(filepath.Join(d.dir, name)); err != nil {
			return err
		}
	}
	for _, name := range []string{shardsFolder, settledFile} {
		if err := os.Rename(filepath.Join(temporary, name), filepath.Join(d.dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// byRepository are the copies into each destination repository.
func (d *directory) byRepository(copies []stream.Copy) map[string][]stream.Copy {
	by := map[string][]stream.Copy{}
	for _, c := range copies {
		name := d.targets[c.ID-1].destination.Name()
		by[name] = append(by[name], c)
	}
	return by
}

// repositories are what the planner has to pack.
func (d *directory) repositories(copies []stream.Copy, t *trees) []shard.Repository {
	var list []shard.Repository
	for name, copies := range d.byRepository(copies) {
		r := shard.Repository{Name: name}
		for _, c := range copies {
			r.Requests++
			t.walk(c.Digest, func(_ string, m manifest.Manifest) {
				r.Requests += 1 + 2*len(m.Blobs)
				for _, b := range m.Blobs {
					r.Blobs = append(r.Blobs, shard.Blob{Digest: b.Digest, Size: b.Size})
				}
			})
		}
		list = append(list, r)
	}
	return list
}

func (d *directory) writeSettled(file string) error {
	var ids []int
	for _, r := range d.results {
		ids = append(ids, r.ID)
	}
	return d.write(file, "", ids, func(w *stream.Writer) {
		for _, r := range d.results {
			w.Result(r)
		}
	})
}

func (d *directory) writeShard(file, name string, copies []stream.Copy, t *trees) error {
	var ids []int
	for _, c := range copies {
		ids = append(ids, c.ID)
	}
	return d.write(file, name, ids, func(w *stream.Writer) {
		written := map[string]bool{}
		for _, c := range copies {
			t.walk(c.Digest, func(digest string, _ manifest.Manifest) {
				if !written[digest] {
					written[digest] = true
					w.Manifest(d.manifests[digest])
				}
			})
			w.Copy(c)
		}
	})
}

// write writes a stream about some of the mappings.
func (d *directory) write(file, shard string, ids []int, rest func(*stream.Writer)) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	h := d.header
	h.Shard, h.Mappings = shard, len(ids)
	w := stream.NewWriter(f, h)
	named := map[string]bool{}
	for _, id := range ids {
		named[d.targets[id-1].Set] = true
	}
	for _, s := range d.sets {
		if named[s.Name] {
			w.Set(s)
		}
	}
	for _, id := range ids {
		w.Mapping(d.targets[id-1].Mapping)
	}
	rest(w)
	return errors.Join(w.End(), f.Close())
}
