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
	"imagemirror/internal/smallfile"
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
	Destination string          `json:"destination"` // without a tag if the image was pushed by its digest
	Digest      string          `json:"digest"`      // that the destination has
	Source      string          `json:"source"`
	Run         string          `json:"run"` // that put the digest there, or first found it there
	Referrers   []ReferrerCount `json:"referrers,omitempty"`
}

// name returns the name that records have for the destination.
func (i *LockedImage) name() string { return destinationName(i.Destination, i.Digest) }

// KnownImages are what earlier runs tell about destinations, by the names that records have for
// them.
type KnownImages map[string]*LockedImage

// Lock adds images.lock to the files of the report: each destination with the digest that it has.
// What is known below a wildcard whose tags could not be listed stays. A dry run, and a report that
// lacks mappings, have no such file: that of an earlier run stays.
func (r *Report) Lock(known KnownImages) {
	if r.dryRun() || len(r.Summary.NoPlan)+len(r.Cuts) > 0 || r.Summary.Unknown > 0 {
		return
	}
	r.locked = []*LockedImage{}
	named, unlisted := map[string]bool{}, map[string]bool{}
	for _, m := range r.Results {
		named[m.Name()] = true
		if i := r.lockedImage(m, known[m.Name()]); i != nil {
			r.locked = append(r.locked, i)
		}
		if m.IsUnlisted() {
			unlisted[m.Destination] = true
		}
	}
	for name, i := range known {
		if unlisted[RepositoryOf(i.Destination)] && !named[name] {
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
	var referrers []ReferrerCount
	if stays {
		i.Run, referrers = before.Run, before.Referrers
	}
	if arrived {
		referrers = m.ReferrersAfter(referrers)
	}
	i.Referrers = referrers
	return i
}

// RepositoryOf returns the name of a destination without its tag or digest.
func RepositoryOf(destination string) string {
	name, _, _ := strings.Cut(destination, "@")
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		return name[:i]
	}
	return name
}

// IsUnlisted reports whether the result stands for all tags of a wildcard, since it is not known
// which there are.
func (r *Result) IsUnlisted() bool {
	return r.Status == stream.Failed && strings.Contains(r.Source, "*")
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

// Lock returns what the images.lock in the directory has: nothing if there is none. It fails if the
// file is not one that a report has written.
func (d Output) Lock() (KnownImages, error) {
	if d.path == "" {
		return nil, nil
	}
	f, err := smallfile.Open(filepath.Join(d.path, LockFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return ReadLock(io.LimitReader(f, MaxLock))
}

// ReadLock reads an images.lock.
func ReadLock(r io.Reader) (KnownImages, error) {
	images, err := readLock(r)
	if err != nil {
		err = fmt.Errorf("reading %s: %w: it is written anew, with this run as the one that published", LockFile, err)
	}
	return images, err
}

// readLock returns the images of an images.lock by their names in records.
func readLock(r io.Reader) (KnownImages, error) {
	var file struct {
		Version int            `json:"version"`
		Images  []*LockedImage `json:"images"`
	}
	d := json.NewDecoder(r)
	if err := d.Decode(&file); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more follows its JSON, as a merge may leave it")
	}
	if file.Version != lockVersion {
		return nil, fmt.Errorf("it has version %d, and this program reads version %d", file.Version, lockVersion)
	}
	by := make(KnownImages, len(file.Images))
	for n, i := range file.Images {
		if i == nil || !digest.Valid(i.Digest) {
			return nil, fmt.Errorf("image %d has no digest", n+1)
		}
		i.Destination, i.Source = text.Line(i.Destination, maxName), text.Line(i.Source, maxName)
		i.Run, i.Referrers = text.Line(i.Run, maxName), boundReferrers(i.Referrers)
		by[i.name()] = i
	}
	return by, nil
}

// boundReferrers returns referrers as a report has them: a file may have been edited.
func boundReferrers(all []ReferrerCount) []ReferrerCount {
	var bound []ReferrerCount
	named := 0
	for _, one := range all[:min(MaxKinds, len(all))] {
		r := ReferrerCount{Kind: text.Line(one.Kind, maxKind), Count: max(0, one.Count)}
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
