package report

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"imagemirror/internal/digest"
	"imagemirror/internal/stream"
	"imagemirror/internal/text"
)

// LockFile is the name of the file that has the digests of what is published.
const LockFile = "images.lock"

// lockVersion is the version of the file. Fields are added to it, never renamed or removed.
const lockVersion = 1

// MaxLock bounds the file of an earlier run that is read, in bytes.
const MaxLock = 256 << 20

// A LockedImage is an image at its destination, for deployments to pin. It says nothing of the run
// that wrote it down, so that it stays the same for as long as the image does.
type LockedImage struct {
	Destination string      `json:"destination"` // without a tag if the image was pushed by its digest
	Digest      string      `json:"digest"`      // that the destination has
	Source      string      `json:"source"`
	Run         string      `json:"run"` // that put the digest there, or first found it there
	Referrers   []Referrers `json:"referrers,omitempty"`
}

// name returns the name that records have for the destination.
func (i *LockedImage) name() string { return destinationName(i.Destination, i.Digest) }

// A KnownImage returns what earlier runs tell about a destination, by the name that records have
// for it, or nil.
type KnownImage func(name string) *LockedImage

// Lock adds images.lock to the files of the report: each destination with the digest that it has. A
// dry run, and a report that lacks mappings, have no such file: that of an earlier run stays.
func (r *Report) Lock(known KnownImage) {
	if r.dryRun() || len(r.Summary.NoPlan)+len(r.Cuts) > 0 || r.Summary.Unknown > 0 {
		return
	}
	r.locked = []*LockedImage{}
	for _, m := range r.Results {
		if i := r.lockedImage(m, known(m.Name())); i != nil {
			r.locked = append(r.locked, i)
		}
	}
	order := func(a, b *LockedImage) int {
		return cmp.Or(strings.Compare(a.Destination, b.Destination), strings.Compare(a.Digest, b.Digest))
	}
	slices.SortStableFunc(r.locked, order)
	r.locked = slices.CompactFunc(r.locked, func(a, b *LockedImage) bool { return order(a, b) == 0 })
}

// lockedImage returns what the destination of a result has, or nil if it has nothing or that is not
// known.
func (r *Report) lockedImage(m *Result, before *LockedImage) *LockedImage {
	has, arrived := m.Old, m.Status == stream.Copied || m.Status == stream.Current || m.Kind.Published()
	switch {
	case arrived:
		has = m.Digest
	case has == "" && before != nil:
		has = before.Digest // the registry did not tell
	}
	if !digest.Valid(has) {
		return nil
	}
	i := &LockedImage{Destination: m.Destination, Digest: has, Source: m.Source, Run: r.Run.ID}
	stays := before != nil && before.Digest == has && m.Status != stream.Copied
	var referrers []Referrers
	if stays {
		i.Run, referrers = before.Run, before.Referrers
	}
	if arrived {
		referrers = m.ReferrersAfter(referrers)
	}
	i.Referrers = referrers
	return i
}

// Name returns the name of the destination in records. An image that is pushed by its digest has no
// tag, so that the digest tells it from others in the repository.
func (r *Result) Name() string { return destinationName(r.Destination, r.Digest) }

func destinationName(destination, of string) string {
	if i := strings.LastIndexByte(destination, ':'); i > strings.LastIndexByte(destination, '/') || !digest.Valid(of) {
		return destination
	}
	return destination + "@" + of
}

// WriteLock writes images.lock, an image a line.
func (r *Report) WriteLock(w io.Writer) error {
	out := jsonWriter{w: w}
	out.print(fmt.Sprintf("{\n\"version\": %d,\n\"images\": [", lockVersion))
	for n, i := range r.locked {
		out.item(n, i)
	}
	out.print("\n]\n}\n")
	return out.err
}

// Nothing is a KnownImage that knows no destination.
func Nothing(string) *LockedImage { return nil }

// Lock returns what the images.lock in the directory has: nothing if there is none. It fails if the
// file is not one that a report has written.
func (d Directory) Lock() (KnownImage, error) {
	if d.path == "" {
		return Nothing, nil
	}
	f, err := os.Open(filepath.Join(d.path, LockFile))
	if errors.Is(err, os.ErrNotExist) {
		return Nothing, nil
	}
	if err != nil {
		return Nothing, err
	}
	defer f.Close()
	return ReadLock(io.LimitReader(f, MaxLock))
}

// ReadLock reads an images.lock.
func ReadLock(r io.Reader) (KnownImage, error) {
	images, err := readLock(r)
	if err != nil {
		return Nothing, fmt.Errorf("reading %s: %w: it is written anew, with this run as the one that published", LockFile, err)
	}
	return func(name string) *LockedImage { return images[name] }, nil
}

// readLock returns the images of an images.lock by their names in records.
func readLock(r io.Reader) (map[string]*LockedImage, error) {
	var file struct {
		Version int            `json:"version"`
		Images  []*LockedImage `json:"images"`
	}
	if err := json.NewDecoder(r).Decode(&file); err != nil {
		return nil, err
	}
	if file.Version != lockVersion {
		return nil, fmt.Errorf("it has version %d, and this program reads version %d", file.Version, lockVersion)
	}
	by := make(map[string]*LockedImage, len(file.Images))
	for n, i := range file.Images {
		if i == nil || !digest.Valid(i.Digest) {
			return nil, fmt.Errorf("image %d has no digest", n+1)
		}
		i.Run, i.Referrers = text.Line(i.Run, maxName), boundReferrers(i.Referrers)
		by[i.name()] = i
	}
	return by, nil
}

// boundReferrers returns referrers as a report has them: a file may have been edited.
func boundReferrers(all []Referrers) []Referrers {
	var bound []Referrers
	named := 0
	for _, one := range all[:min(MaxKinds, len(all))] {
		r := Referrers{Kind: text.Line(one.Kind, maxKind), Count: max(0, one.Count)}
		for _, d := range one.Digests {
			if named < stream.MaxNamed && digest.Valid(d) {
				r.Digests = append(r.Digests, d)
				named++
			}
		}
		bound = append(bound, r)
	}
	return bound
}
