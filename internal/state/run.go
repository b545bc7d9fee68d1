package state

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"imagemirror/internal/stream"
)

// Objects of a run. Names of ConfigMaps have the name of the run and a dash before them.
const (
	begunObject   = "begun"   // exists once split has started; a random mark, which the plan repeats
	refusalObject = "refusal" // why split made no plan: its error
	settledObject = "settled" // a stream: the mappings that need no copy
	shardObject   = "shard-"  // and the name of the shard: a stream
	outlineObject = "plan"    // the outline: see readOutline; put last
	resultsObject = "results-"
)

// Bounds on the objects, in bytes. Nobody writes what a reader would refuse.
const (
	maxBegun   = 1 << 10
	maxRefusal = 1 << 20
	maxPart    = 1 << 30 // settled, and a shard with its manifests; a reader holds less
	maxOutline = 256 << 20
	maxResults = 256 << 20
)

// A Run reads and writes the objects of one run.
type Run struct {
	store    Store
	name     string
	attempts int // the most of one shard
	mark     string
}

// Name returns the name of the run.
func (r *Run) Name() string { return r.name }

// Begin marks the run as started. A run is split once, so a second call fails.
func (r *Run) Begin(ctx context.Context) error {
	mark := rand.Text()
	err := r.put(ctx, begunObject, maxBegun, literal(mark))
	if errors.Is(err, ErrExists) {
		return fmt.Errorf("the run %s was started before: set MIRROR_RUN to a new name", r.name)
	}
	r.mark = mark
	return err
}

// Begun reports whether split has started.
func (r *Run) Begun(ctx context.Context) (bool, error) {
	_, err := r.get(ctx, begunObject, maxBegun)
	if errors.Is(err, ErrNotThere) {
		return false, nil
	}
	return err == nil, err
}

// Refuse stores the reason why there is no plan, as much of it as report reads.
func (r *Run) Refuse(ctx context.Context, why error) error {
	reason := why.Error()
	return r.put(ctx, refusalObject, maxRefusal, literal(reason[:min(len(reason), maxRefusal)]))
}

// Refusal returns the reasons why there is no plan, one per line. If split stored none, it
// fails with ErrNotThere.
func (r *Run) Refusal(ctx context.Context) ([]string, error) {
	content, err := r.get(ctx, refusalObject, maxRefusal)
	return strings.Split(strings.TrimRight(string(content), "\n"), "\n"), err
}

// Shard returns a shard of the plan, with its manifests.
func (r *Run) Shard(ctx context.Context, name string) (*stream.Content, error) {
	c, _, err := r.stream(ctx, shardObject+name, maxPart, stream.Read)
	if errors.Is(err, ErrNotThere) {
		return nil, fmt.Errorf("the run %s has no shard %s: %w", r.name, name, err)
	}
	if err == nil && c.Header.Shard != name {
		return nil, fmt.Errorf("%s is of the shard %.40q: %w", c.Name, c.Header.Shard, ErrForeign)
	}
	return c, err
}

// stream reads an object that is a stream, and returns the hash of its bytes too.
func (r *Run) stream(ctx context.Context, object string, limit int64, read func(io.Reader, string) (*stream.Content, error)) (c *stream.Content, sum string, err error) {
	hash := sha256.New()
	err = r.store.Get(ctx, object, limit, func(in io.Reader) (err error) {
		c, err = read(io.TeeReader(in, hash), r.nameOf(object))
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return c, hex.EncodeToString(hash.Sum(nil)), nil
}

func (r *Run) nameOf(object string) string { return object + " of the run " + r.name }

func (r *Run) get(ctx context.Context, object string, limit int64) (content []byte, err error) {
	err = r.store.Get(ctx, object, limit, func(in io.Reader) (err error) {
		content, err = io.ReadAll(in)
		return err
	})
	if err != nil {
		return nil, err
	}
	return content, nil
}

// put stores an object, unless a reader would refuse it for its size.
func (r *Run) put(ctx context.Context, object string, limit int64, write func(io.Writer) error) error {
	return r.store.Put(ctx, object, func(w io.Writer) error {
		return write(&limitWriter{w, limit, r.nameOf(object)})
	})
}

// A limitWriter passes on a number of bytes, and fails after them.
type limitWriter struct {
	w    io.Writer
	left int64
	name string
}

func (l *limitWriter) Write(p []byte) (int, error) {
	l.left -= int64(len(p))
	if l.left < 0 {
		return 0, fmt.Errorf("%s is larger than report and copy read: mirror fewer images in a run", l.name)
	}
	return l.w.Write(p)
}

// An Attempt is the outcome of one copy of a shard.
type Attempt struct {
	Number  int // from 1
	Results *stream.Content
	Err     error // set if the results cannot be read, or are ErrForeign; Results is nil then
	Last    bool  // MIRROR_ATTEMPTS allows no more
}

// Attempts returns the attempts at a shard of the outline. A number is missing if its copy
// died while it wrote its results: the next copy then takes the next number.
func (r *Run) Attempts(ctx context.Context, shard *stream.Content) []Attempt {
	var all []Attempt
	for n := 1; n <= r.attempts; n++ {
		c, _, err := r.stream(ctx, attemptObject(shard.Header.Shard, n), maxResults, stream.Skim)
		if err == nil {
			if err = checkResults(c, shard); err != nil {
				c = nil
			}
		}
		if !errors.Is(err, ErrNotThere) {
			all = append(all, Attempt{n, c, err, n == r.attempts})
		}
	}
	return all
}

// checkResults fails with ErrForeign if results are not of a plan.
func checkResults(c, plan *stream.Content) error {
	switch {
	case c.Header.Stream != stream.Results:
		return fmt.Errorf("%s is a %s: %w", c.Name, c.Header.Stream, ErrForeign)
	case c.Header.Run != plan.Header.Run || c.Header.Shard != plan.Header.Shard:
		return fmt.Errorf("%s has results of the shard %.40q of %.80q, the plan is %q: %w", c.Name, c.Header.Shard, c.Header.Run, plan.Header.Run, ErrForeign)
	}
	planned := make(map[int]stream.Mapping, len(plan.Mappings))
	for _, m := range plan.Mappings {
		planned[m.ID] = m
	}
	for _, m := range c.Mappings {
		if planned[m.ID] != m {
			return fmt.Errorf("%s has the mapping %d from %.200q to %.200q, which the plan's shard does not have: %w", c.Name, m.ID, m.Source, m.Destination, ErrForeign)
		}
	}
	if c.Header.Mappings != plan.Header.Mappings {
		return fmt.Errorf("%s announces %d mappings, but the plan's shard has %d: %w", c.Name, c.Header.Mappings, plan.Header.Mappings, ErrForeign)
	}
	return nil
}

// PutResults stores the results of a shard under the first free number of an attempt.
func (r *Run) PutResults(ctx context.Context, shard string, results *stream.Content) error {
	write := func(w io.Writer) error {
		_, err := stream.Write(w, results)
		return err
	}
	for n := 1; n <= r.attempts; n++ {
		if err := r.put(ctx, attemptObject(shard, n), maxResults, write); !errors.Is(err, ErrExists) {
			return err
		}
	}
	return fmt.Errorf("the shard %s has had %d attempts, and report reads no more: raise MIRROR_ATTEMPTS", shard, r.attempts)
}

func attemptObject(shard string, n int) string {
	return fmt.Sprintf("%s%s-%d", resultsObject, shard, n)
}

// PutReport stores a file of the report, as write writes it, unless there is one already.
func (r *Run) PutReport(ctx context.Context, name string, write func(io.Writer) error) error {
	err := r.store.Put(ctx, name, write)
	if errors.Is(err, ErrExists) {
		return nil
	}
	return err
}

// GetReport calls read with a file of the report, of at most limit bytes. It fails with ErrNotThere
// if the run has no such file.
func (r *Run) GetReport(ctx context.Context, name string, limit int64, read func(io.Reader) error) error {
	return r.store.Get(ctx, name, limit, read)
}

// literal returns a function that writes content, for Store.Put.
func literal(content string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, content)
		return err
	}
}
