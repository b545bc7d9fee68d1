package record

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"imagemirror/internal/digest"
	"imagemirror/internal/report"
	"imagemirror/internal/settings"
	"imagemirror/internal/stream"
	"imagemirror/internal/strictjson"
	"imagemirror/internal/text"
)

// maxBytes bounds an encoded record.
const maxBytes = 64 << 20

// ErrNewer is the error of a record that a newer version of the program wrote.
var ErrNewer = errors.New("a newer version of this program wrote it: use that one")

var decoder = strictjson.NewDecoder[*Record]()

// Decode reads a record. It refuses what Encode does not write.
func Decode(content []byte) (*Record, error) {
	if len(content) > maxBytes {
		return nil, fmt.Errorf("the record has %d bytes, and at most %d are allowed", len(content), maxBytes)
	}
	var lax struct{ Version int }
	if json.Unmarshal(content, &lax) == nil && lax.Version > Version {
		return nil, fmt.Errorf("the record has version %d: %w", lax.Version, ErrNewer)
	}
	r, err := decoder.Decode(content)
	if err == nil && r == nil {
		err = errors.New("null")
	}
	if err == nil {
		err = r.check()
	}
	if err != nil {
		return nil, fmt.Errorf("reading the record: %w", err)
	}
	return r, nil
}

// Encode returns the record as JSON, with a line for each run, destination and cause, so that grep
// finds whole ones. If that is too large, older moves and runs are left out.
func (r *Record) Encode() ([]byte, error) { return r.encodeWithin(maxBytes) }

func (r *Record) encodeWithin(limit int) ([]byte, error) {
	for moves, runs := MaxMoves, MaxRuns; ; moves, runs = moves/2, runs/2 {
		content, err := r.trimmed(moves, runs).encode()
		if err != nil || len(content) <= limit {
			return content, err
		}
		if moves == 0 {
			return nil, fmt.Errorf("the record of %s has %d bytes, and at most %d are allowed", r.Set, len(content), limit)
		}
	}
}

// trimmed returns the record with so many moves of each destination, and runs.
func (r *Record) trimmed(moves, runs int) *Record {
	if moves >= MaxMoves && runs >= MaxRuns {
		return r
	}
	less := *r
	less.Runs = r.Runs[max(0, len(r.Runs)-runs):]
	less.Destinations = slices.Clone(r.Destinations)
	for i, d := range less.Destinations {
		if n := len(d.Moves); n > moves || moves == 0 && len(d.Referrers) > 0 {
			short := *d
			short.Moves = d.Moves[max(0, n-moves):]
			if moves == 0 {
				short.Referrers = nil
			}
			less.Destinations[i] = &short
		}
	}
	return &less
}

func (r *Record) encode() ([]byte, error) {
	head := *r
	head.Runs, head.Destinations, head.Causes = nil, nil, nil
	first, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.Write(bytes.TrimSuffix(first, []byte("}")))
	err = errors.Join(writeList(&b, "runs", r.Runs), writeList(&b, "destinations", r.Destinations), writeList(&b, "causes", r.Causes))
	b.WriteString("}\n")
	return b.Bytes(), err
}

func writeList[T any](b *bytes.Buffer, key string, list []T) error {
	if len(list) == 0 {
		return nil
	}
	fmt.Fprintf(b, ",\n%q:[", key)
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	for i, v := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := enc.Encode(v); err != nil {
			return err
		}
	}
	b.WriteByte(']')
	return nil
}

// check fails if the record is not as Apply makes records: readers rely on its order and bounds.
func (r *Record) check() error {
	switch {
	case r.Version != Version:
		return fmt.Errorf("it has version %d, want %d", r.Version, Version)
	case len(r.Runs) > MaxRuns || len(r.Destinations) > MaxDestinations || len(r.Causes) > MaxCauses || len(r.Recovered) > maxRecovered || len(r.Selections) > maxSelections || len(r.Owners) > maxList:
		return errors.New("it has more runs, destinations, causes or owners than are kept")
	case len(r.Notify) > maxList || len(r.Targets) > settings.MaxTargets || !settings.AreTargets(r.Targets):
		return errors.New("it has a notification target that settings cannot name, or too many people to notify")
	case r.StaleSeconds < 0 || r.RemindSeconds < 0 || r.Notifications.Delivered < 0 || r.Notifications.Failed < 0:
		return errors.New("it has a negative count")
	}
	if err := checkTexts(maxName, slices.Concat([]string{r.Set, r.Schedule, r.Notifications.LastError}, r.Owners, r.Notify)...); err != nil {
		return err
	}
	return errors.Join(
		checkEach("run", r.Runs, (*Run).check, func(a, b *Run) bool { return !a.End.After(b.End) }),
		checkEach("destination", r.Destinations, (*Destination).check, func(a, b *Destination) bool { return a.Name < b.Name }),
		checkEach("cause", r.Causes, (*Cause).check, func(a, b *Cause) bool { return a.Key < b.Key }),
		checkEach("selection", r.Selections, (*Selection).check, func(_, _ *Selection) bool { return true }),
		checkEach("recovered cause", r.Recovered, (*Cause).check, func(a, b *Cause) bool { return a.Key < b.Key }),
	)
}

// checkEach checks the elements of a list and their order.
func checkEach[T any](what string, list []*T, check func(*T) error, ordered func(a, b *T) bool) error {
	for i, v := range list {
		if v == nil {
			return fmt.Errorf("%s %d is null", what, i)
		}
		if err := check(v); err != nil {
			return fmt.Errorf("%s %d: %w", what, i, err)
		}
		if i > 0 && !ordered(list[i-1], v) {
			return fmt.Errorf("%s %d is out of order", what, i)
		}
	}
	return nil
}

func (r *Run) check() error {
	if !slices.Contains([]Verdict{Good, Failed, NoPlan}, r.Verdict) {
		return fmt.Errorf("the verdict %.40q is unknown", r.Verdict)
	}
	for _, n := range []int64{int64(r.Mappings), int64(r.Copied), int64(r.Current), int64(r.Held), int64(r.Deferred), int64(r.Failed), int64(r.Unknown), r.Bytes} {
		if n < 0 {
			return fmt.Errorf("it has the count %d", n)
		}
	}
	if r.URL != "" && !isURL(r.URL) {
		return fmt.Errorf("%.80q is not an address of http or https", r.URL)
	}
	if len(r.Registries) > maxRegistries {
		return fmt.Errorf("it has %d registries, and at most %d are kept", len(r.Registries), maxRegistries)
	}
	texts := []string{r.ID, r.Trigger, r.Program, r.Reason}
	for _, one := range r.Registries {
		if one == nil || min(one.Requests, one.Retries, one.Throttled, one.Bytes) < 0 {
			return errors.New("a registry has no counts")
		}
		texts = append(texts, one.Host)
	}
	return checkTexts(maxName, texts...)
}

func (d *Destination) check() error {
	if len(d.Moves) > MaxMoves || d.Name == "" || d.Line < 0 {
		return fmt.Errorf("it has no name, the line %d or %d moves", d.Line, len(d.Moves))
	}
	if d.Hold != nil {
		if err := d.Hold.check(); err != nil {
			return err
		}
	}
	if d.URL != "" && !isURL(d.URL) {
		return fmt.Errorf("%.80q is not an address of http or https", d.URL)
	}
	if err := d.checkPart(); err != nil {
		return err
	}
	digests := []string{d.Digest, d.Fresh}
	texts := []string{d.Name, d.Source, d.File, d.Cause, d.Error, d.Run}
	for _, m := range d.Moves {
		if m == nil || m.Digest == "" {
			return errors.New("a move has no digest")
		}
		if len(m.Tags) > maxTags || slices.ContainsFunc(append(m.Tags[:len(m.Tags):len(m.Tags)], cmp.Or(m.Kept, "x")), func(tag string) bool { return !looksLikeTag(tag) }) {
			return errors.New("a move has more tags than are kept, or one that is not a tag")
		}
		digests, texts = append(digests, m.Digest), append(texts, m.Run)
	}
	for _, one := range d.Referrers {
		if one.Count < 0 || one.Kind == "" {
			return errors.New("it has referrers without a kind or a count")
		}
		digests, texts = append(digests, one.Digests...), append(texts, one.Kind)
	}
	if most := 1 + len(d.Moves) + stream.MaxNamed; len(digests) > most || len(d.Referrers) > report.MaxKinds {
		return fmt.Errorf("it has %d kinds of referrers and %d digests in all", len(d.Referrers), len(digests))
	}
	for _, s := range digests {
		if s != "" && !digest.Valid(s) {
			return fmt.Errorf("%.80q is not a digest", s)
		}
	}
	return checkTexts(maxName+digest.Length+1, texts...)
}

func (c *Cause) check() error {
	if c.Count < 0 || c.Tried < 0 || c.Key == "" || len(c.Owed) > maxList {
		return fmt.Errorf("it has no key, the counts %d and %d, or %d targets", c.Count, c.Tried, len(c.Owed))
	}
	return checkTexts(maxName, append([]string{c.Key, c.Kind, c.Side, c.Host, c.Message, c.Advice}, c.Owed...)...)
}

// checkTexts fails if a text is not one printable line of at most limit characters, and the "…"
// of one that was cut.
func checkTexts(limit int, texts ...string) error {
	for _, s := range texts {
		if !text.IsPrintable(s) || utf8.RuneCountInString(s) > limit+1 {
			return fmt.Errorf("%.80q is not a printable line of at most %d characters", s, limit)
		}
	}
	return nil
}
