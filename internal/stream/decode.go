package stream

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"imagemirror/internal/digest"
	"imagemirror/internal/manifest"
	"imagemirror/internal/reference"
	"imagemirror/internal/strictjson"
)

type decoder struct {
	c       *Content
	line    int
	records int
	cut     error
	json    *strictjson.Decoder[record]
	one     bool         // read no further than the end record
	known   map[int]bool // by mapping ID: whether it has a copy or a result
	content map[string]bool
	shared  map[string]string

	manifests []manifest.Ref
}

func newDecoder(name string) *decoder {
	return &decoder{c: &Content{Name: name}, json: strictjson.NewDecoder[record]()}
}

func (d *decoder) add(line []byte) error {
	r, err := d.json.Decode(line)
	if err != nil {
		return d.explain(line, err)
	}
	if n := r.fields(); n != 1 {
		return fmt.Errorf("a record has %d keys, and must have one", n)
	}
	if d.c.End != nil {
		return errBehindEnd
	}
	if r.Header == nil && d.c.Header.Version == 0 {
		return errNoStream
	}
	if r.Header == nil && r.End == nil {
		d.records++
		if d.records > maxRecords {
			return fmt.Errorf("more than %d records", maxRecords)
		}
	}
	switch {
	case r.Header != nil:
		return d.header(*r.Header)
	case r.Set != nil:
		d.c.Sets = append(d.c.Sets, *r.Set)
	case r.Selection != nil:
		return d.selection(*r.Selection)
	case r.Mapping != nil:
		return d.mapping(*r.Mapping)
	case r.Manifest != nil:
		return d.manifest(*r.Manifest)
	case r.Copy != nil:
		return d.copy(*r.Copy)
	case r.Result != nil:
		return d.result(*r.Result)
	case r.End != nil:
		return d.end(r.End)
	}
	return nil
}

// explain distinguishes a stream of another version from other input. A later version may
// have keys that this one does not know, and its header has the version.
func (d *decoder) explain(line []byte, err error) error {
	if d.line == 1 {
		var h struct{ Header struct{ Version int } }
		if json.Unmarshal(line, &h) != nil || h.Header.Version == 0 {
			return errNoStream
		}
		if err := CheckVersion(h.Header.Version); err != nil {
			return err
		}
	}
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Errorf("reading the record: %s has an invalid value: %.40s", wrong.Field, wrong.Value)
	}
	return fmt.Errorf("reading the record: %w", err)
}

// CheckVersion fails unless v is Version.
func CheckVersion(v int) error {
	if v == Version {
		return nil
	}
	return fmt.Errorf("the stream has version %d, and this program reads version %d: use split, copy and report of one release", v, Version)
}

func (d *decoder) header(h Header) error {
	switch {
	case d.c.Header.Version != 0:
		return errors.New("a second header: put each stream into its own file")
	case h.Version != Version:
		return CheckVersion(h.Version)
	case h.Stream != Plan && h.Stream != Results:
		return fmt.Errorf("the stream %q is neither %q nor %q", h.Stream, Plan, Results)
	case h.Mappings < 0 || h.Mappings > maxRecords:
		return fmt.Errorf("the header announces %d mappings", h.Mappings)
	case h.Cap.InFlight < 0 || h.Cap.Rate < 0 || h.Cap.Bandwidth < 0:
		return fmt.Errorf("the header allows %d requests in flight, %g a second, and %d bytes a second", h.Cap.InFlight, h.Cap.Rate, h.Cap.Bandwidth)
	}
	d.c.Header = h
	d.known = map[int]bool{}
	d.content = map[string]bool{}
	d.shared = map[string]string{}
	return nil
}

func (d *decoder) selection(s Selection) error {
	if len(d.c.Selected) == MaxSelections {
		return fmt.Errorf("more than %d selections", MaxSelections)
	}
	d.c.Selected = append(d.c.Selected, s)
	return checkSelection(s)
}

func (d *decoder) mapping(m Mapping) error {
	if _, twice := d.known[m.ID]; twice {
		return fmt.Errorf("mapping %d appears twice", m.ID)
	}
	if m.ID < 0 {
		return fmt.Errorf("the mapping has the negative id %d", m.ID)
	}
	if m.Source == "" || m.Destination == "" {
		return fmt.Errorf("mapping %d has no source or no destination", m.ID)
	}
	d.known[m.ID] = false
	d.share(&m.Set, &m.File)
	d.c.Mappings = append(d.c.Mappings, m)
	return nil
}

func (d *decoder) manifest(m manifest.Raw) error {
	switch {
	case d.c.Header.Stream != Plan:
		return errors.New("a stream of results has a manifest")
	case !digest.Valid(m.Digest):
		return digestError("a manifest", m.Digest)
	case len(m.Content) > manifest.MaxSize:
		return fmt.Errorf("manifest %q is larger than %d bytes", m.Digest, manifest.MaxSize)
	case d.content[m.Digest]:
		return fmt.Errorf("manifest %q appears twice", m.Digest)
	}
	d.content[m.Digest] = true
	if d.c.Archive != nil {
		// What cannot be parsed fails the images that need it, once copy knows them.
		parsed, err := manifest.Parse(m.MediaType, m.Content)
		if err != nil {
			parsed = manifest.Manifest{MediaType: m.MediaType}
		}
		d.manifests = append(d.manifests, d.c.Archive.Add(m.Digest, m.Content, parsed))
	}
	return nil
}

func (d *decoder) copy(c Copy) error {
	if d.c.Header.Stream != Plan {
		return errors.New("a stream of results has a copy")
	}
	switch {
	case !digest.Valid(c.Digest):
		return digestError(fmt.Sprintf("the copy of mapping %d", c.ID), c.Digest)
	case c.Old != "" && !digest.Valid(c.Old):
		return digestError(fmt.Sprintf("the copy of mapping %d", c.ID), c.Old)
	case c.Bytes < 0:
		return fmt.Errorf("the copy of mapping %d has a negative size", c.ID)
	}
	if err := checkAttached(c); err != nil {
		return err
	}
	if err := checkTags(fmt.Sprintf("the copy of mapping %d", c.ID), c.Tags, c.keeps()); err != nil {
		return err
	}
	if err := checkPart(fmt.Sprintf("the copy of mapping %d", c.ID), c.Platforms, c.Rewritten, c.Only); err != nil {
		return err
	}
	for _, path := range c.MountFrom {
		// It becomes a part of a token's scope and of a request's query.
		if r, err := reference.Parse("registry.example/" + path); err != nil || r.Repository != path {
			return fmt.Errorf("the copy of mapping %d mounts from %.80q, which is not a repository", c.ID, path)
		}
	}
	if err := d.settle(c.ID); err != nil {
		return err
	}
	for _, texts := range [][]string{c.Platforms, c.Only} {
		for i := range texts {
			d.share(&texts[i])
		}
	}
	d.c.Copies = append(d.c.Copies, c)
	return nil
}

func (d *decoder) result(r Result) error {
	switch r.Status {
	case Copied:
		if d.c.Header.Stream == Plan {
			return fmt.Errorf("mapping %d of a plan has the status %s, which only results have", r.ID, Copied)
		}
	case Current:
	case Held, Deferred:
		if r.Note == "" {
			return fmt.Errorf("the %s result of mapping %d has no note", r.Status, r.ID)
		}
	case Failed:
		if r.Error == nil {
			return fmt.Errorf("the failed result of mapping %d has no error", r.ID)
		}
	default:
		return fmt.Errorf("the status %q of mapping %d is not %s", r.Status, r.ID, strings.Join([]string{Copied, Current, Held, Deferred, Failed}, ", "))
	}
	for _, d := range []string{r.Digest, r.Old} {
		if d != "" && !digest.Valid(d) {
			return digestError(fmt.Sprintf("the result of mapping %d", r.ID), d)
		}
	}
	if err := checkPart(fmt.Sprintf("the result of mapping %d", r.ID), r.Platforms, r.Rewritten, nil); err != nil {
		return err
	}
	if r.Bytes < 0 || r.Seconds < 0 {
		return fmt.Errorf("the result of mapping %d has a negative size or time", r.ID)
	}
	if err := checkTags(fmt.Sprintf("the result of mapping %d", r.ID), r.Tags, r.Kept); err != nil {
		return err
	}
	if err := d.settle(r.ID); err != nil {
		return err
	}
	d.share(&r.Status)
	if r.Error != nil {
		d.share(&r.Error.Side, &r.Error.Advice)
	}
	d.c.Results = append(d.c.Results, r)
	return nil
}

// share replaces texts that many records have by one copy of each.
func (d *decoder) share(texts ...*string) {
	for _, t := range texts {
		one, ok := d.shared[*t]
		if !ok {
			one = *t
			d.shared[one] = one
		}
		*t = one
	}
}

// settle records that a mapping has its copy or its result.
func (d *decoder) settle(id int) error {
	done, known := d.known[id]
	if !known {
		return fmt.Errorf("a record refers to mapping %d, which is not in the stream", id)
	}
	if done {
		return fmt.Errorf("mapping %d has two copies or results", id)
	}
	d.known[id] = true
	return nil
}

func (d *decoder) end(e *End) error {
	if e.Records != d.records {
		return fmt.Errorf("the stream is cut: it holds %d records and its end counts %d", d.records, e.Records)
	}
	if len(d.c.Mappings) != d.c.Header.Mappings {
		return fmt.Errorf("the stream holds %d mappings and its header announces %d", len(d.c.Mappings), d.c.Header.Mappings)
	}
	if d.c.Header.Stream == Plan {
		for id, done := range d.known {
			if !done {
				return fmt.Errorf("mapping %d has neither a copy nor a result", id)
			}
		}
	}
	if err := checkTraffic(e); err != nil {
		return err
	}
	d.c.End, d.c.Traffic = e, e.Registries
	return nil
}

// maxTraffic bounds how many registries an end record counts requests to.
const maxTraffic = 10_000

func checkTraffic(e *End) error {
	if n := len(e.Registries) + len(e.PlanRegistries); n > maxTraffic {
		return fmt.Errorf("the end record has %d registries, and at most %d are allowed", n, maxTraffic)
	}
	for _, t := range slices.Concat(e.Registries, e.PlanRegistries) {
		if min(t.Requests, t.Retries, t.Throttled, t.Bytes) < 0 {
			return fmt.Errorf("the end record has a negative count for %.80q", t.Host)
		}
	}
	return nil
}

func (r record) fields() int {
	n := 0
	for _, set := range []bool{r.Header != nil, r.Set != nil, r.Selection != nil, r.Mapping != nil, r.Manifest != nil, r.Copy != nil, r.Result != nil, r.End != nil} {
		if set {
			n++
		}
	}
	return n
}
