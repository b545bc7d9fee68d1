package record

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"strconv"
	"time"

	"imagemirror/internal/strictjson"
)

// Bounds on the ConfigMaps of a record. The API server accepts 1 MiB in each.
const (
	maxSegments = 8                      // of each generation; report's Role has their names
	maxSegment  = 896 << 10              // compressed
	maxInline   = 448 << 10              // compressed: destinations that need no segment
	maxHead     = 448 << 10              // compressed
	maxPart     = maxBytes / maxSegments // JSON of a segment
)

// A packedRecord is a record as its ConfigMaps have it. Destinations are divided by a hash of
// their names, so that a run writes only the parts in which it changed something.
type packedRecord struct {
	base   baseline
	head   []byte // the record without destinations
	inline bool   // the one part fits beside the head
	parts  []packedPart
}

// A packedPart has some of the destinations.
type packedPart struct {
	hash    string // of the JSON
	content []byte // compressed; nil if it is stored already
}

// A baseline is the run whose good results the destinations of a part do not repeat: otherwise a
// run that changes nothing would change each of them.
type baseline struct {
	Run string    `json:"run"`
	End time.Time `json:"end"`
}

func (r *Record) baseline() baseline {
	if last := r.LastRun(); last != nil {
		return baseline{last.ID, last.End}
	}
	return baseline{}
}

// hide removes from a destination what the baseline tells.
func (b baseline) hide(d *Destination) *Destination {
	good := d.FailingSince.IsZero()
	if d.Run != b.Run || !d.Gone.IsZero() || good && !d.LastGood.Equal(b.End) {
		return d
	}
	short := *d
	short.Run = ""
	if good {
		short.LastGood = time.Time{}
	}
	return &short
}

// show undoes hide.
func (b baseline) show(d *Destination) {
	if d.Run != "" || !d.Gone.IsZero() {
		return
	}
	d.Run = b.Run
	if d.FailingSince.IsZero() {
		d.LastGood = b.End
	}
}

// pack packs the record. before are the segments that are stored. If the record is too large,
// older moves and runs are left out.
func (r *Record) pack(before []*segment, l limits) (*packedRecord, error) {
	for moves, runs := MaxMoves, MaxRuns; ; moves, runs = moves/2, runs/2 {
		p, err := r.trimmed(moves, runs).packAll(before, l)
		if err != nil || p != nil {
			return p, err
		}
		if moves == 0 {
			return nil, fmt.Errorf("the record of %s does not fit into %d ConfigMaps of %d bytes, even compressed", r.Set, maxSegments+1, l.segment)
		}
	}
}

// packAll packs the record in as many parts as now, or in more if they do not fit. It returns nil
// if no number of parts is enough.
func (r *Record) packAll(before []*segment, l limits) (*packedRecord, error) {
	less := *r
	less.Destinations = nil
	p := &packedRecord{base: r.baseline()}
	head, err := less.encode()
	if err != nil {
		return nil, err
	}
	if p.head, err = compress(head); err != nil || len(p.head) > maxHead {
		return nil, err
	}
	for n := max(1, len(before)); n <= maxSegments; n *= 2 {
		parts, err := r.partsOf(n)
		if err != nil {
			return nil, err
		}
		if n == 1 || totalSize(parts) <= l.inline {
			if p.inline, err = p.addInline(r, l.inline); p.inline || err != nil {
				return p, err
			}
		}
		if len(before) != n {
			before = nil
		}
		if fits, err := p.add(parts, before, l.segment); fits || err != nil {
			return p, err
		}
	}
	return nil, nil
}

func totalSize(parts [][]byte) int {
	size := 0
	for _, part := range parts {
		size += len(part)
	}
	return size
}

// addInline adds all destinations in one part.
func (p *packedRecord) addInline(r *Record, limit int) (bool, error) {
	whole, err := r.partsOf(1)
	if err != nil {
		return false, err
	}
	return p.add(whole, nil, limit)
}

// add compresses the parts that are not stored, and reports whether each fits.
func (p *packedRecord) add(parts [][]byte, stored []*segment, limit int) (bool, error) {
	p.parts = nil
	for i, text := range parts {
		next := packedPart{hash: contentHash(text)}
		if i >= len(stored) || stored[i].Hash != next.hash {
			var err error
			next.content, err = compress(text)
			if err != nil || len(next.content) > limit || len(text) > maxPart {
				return false, err
			}
		}
		p.parts = append(p.parts, next)
	}
	return true, nil
}

// partsOf returns the JSON of the destinations, in n parts.
func (r *Record) partsOf(n int) ([][]byte, error) {
	base := r.baseline()
	lists := make([][]*Destination, n)
	for _, d := range r.Destinations {
		hash := fnv.New32a()
		_, _ = hash.Write([]byte(d.Name))
		i := hash.Sum32() % uint32(n)
		lists[i] = append(lists[i], base.hide(d))
	}
	parts := make([][]byte, n)
	for i, list := range lists {
		var b bytes.Buffer
		b.WriteString(`{"version":` + strconv.Itoa(Version))
		if err := writeList(&b, "destinations", list); err != nil {
			return nil, err
		}
		b.WriteString("}\n")
		parts[i] = b.Bytes()
	}
	return parts, nil
}

var partDecoder = strictjson.NewDecoder[struct {
	Version      int            `json:"version"`
	Destinations []*Destination `json:"destinations"`
}]()

// unpack returns the record of a head and its parts.
func unpack(base baseline, head []byte, parts [][]byte) (*Record, error) {
	r, err := Decode(head)
	if err != nil {
		return nil, err
	}
	if len(r.Destinations) > 0 {
		return nil, errors.New("the index has destinations")
	}
	var all []*Destination
	for i, part := range parts {
		p, err := partDecoder.Decode(part)
		if err != nil {
			return nil, fmt.Errorf("part %d of the destinations: %w", i, err)
		}
		for _, d := range p.Destinations {
			if d == nil {
				return nil, fmt.Errorf("part %d of the destinations has null", i)
			}
			base.show(d)
		}
		all = append(all, p.Destinations...)
	}
	r.Destinations = capDestinations(all)
	return r, r.check()
}

func compress(content []byte) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(content); err != nil {
		return nil, err
	}
	err := z.Close()
	return b.Bytes(), err
}

// inflate returns content of at most limit bytes.
func inflate(content []byte, limit int) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	all, err := io.ReadAll(io.LimitReader(z, int64(limit)+1))
	if err == nil && len(all) > limit {
		err = fmt.Errorf("there are more than %d bytes", limit)
	}
	return all, err
}

func contentHash(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
