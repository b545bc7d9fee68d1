package state

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"imagemirror/internal/stream"
)

// The objects of a run. In ConfigMaps their names begin with the run's name and a dash.
const (
	begunObject   = "begun"   // split has started
	refusalObject = "refusal" // why split made no plan: its error, line by line
	settledObject = "settled" // a stream: what needs no copy
	shardObject   = "shard-"  // and its name: a stream
	outlineObject = "plan"    // comes last of the plan, in JSON
	resultsObject = "results-"
)

// Run is a run's objects.
type Run struct {
	store    Store
	name     string
	attempts int // of a shard that are looked for
}

// Name is what MIRROR_RUN says.
func (r *Run) Name() string { return r.name }

// Begin marks the run as begun. A run is split once, so a second call for it is an error.
func (r *Run) Begin(ctx context.Context) error {
	err := r.store.Put(ctx, begunObject, literal(""))
	if errors.Is(err, ErrExists) {
		return fmt.Errorf("the run %s has begun before: give MIRROR_RUN a name that is new", r.name)
	}
	return err
}

// Begun says whether split has started.
func (r *Run) Begun(ctx context.Context) (bool, error) {
	_, err := r.store.Get(ctx, begunObject)
	if errors.Is(err, ErrNotThere) {
		return false, nil
	}
	return err == nil, err
}

// Refuse keeps why there is no plan.
func (r *Run) Refuse(ctx context.Context, why error) error {
	return r.store.Put(ctx, refusalObject, literal(why.Error()))
}

// Refusal is why there is no plan, a line for each thing that is wrong. The error is ErrNotThere where split did not say.
func (r *Run) Refusal(ctx context.Context) ([]string, error) {
	content, err := r.store.Get(ctx, refusalObject)
	return strings.Split(strings.TrimRight(string(content), "\n"), "\n"), err
}

// Outline is a plan in short: all that has to be known of it where some shard never runs.
type Outline struct {
	DryRun bool              `json:"dryRun,omitempty"` // no copy is meant to follow
	Shards []*stream.Content `json:"shards"`           // without their manifests
}

// Outline returns the plan's. The error is ErrNotThere where the plan is not whole.
func (r *Run) Outline(ctx context.Context) (*Outline, error) {
	content, err := r.store.Get(ctx, outlineObject)
	if err != nil {
		return nil, err
	}
	o := &Outline{}
	if err := json.Unmarshal(content, o); err != nil {
		return nil, fmt.Errorf("reading the plan of the run %s: %w", r.name, err)
	}
	return o, nil
}

// Settled is what needs no copy.
func (r *Run) Settled(ctx context.Context) (*stream.Content, error) {
	return r.stream(ctx, settledObject, stream.Skim)
}

// Shard is a shard of the plan, for its copy.
func (r *Run) Shard(ctx context.Context, name string) (*stream.Content, error) {
	c, err := r.stream(ctx, shardObject+name, stream.Read)
	if errors.Is(err, ErrNotThere) {
		return nil, fmt.Errorf("the run %s has no shard %s: %w", r.name, name, err)
	}
	return c, err
}

func (r *Run) stream(ctx context.Context, object string, read func(io.Reader, string) (*stream.Content, error)) (*stream.Content, error) {
	content, err := r.store.Get(ctx, object)
	if err != nil {
		return nil, err
	}
	return read(bytes.NewReader(content), object+" of the run "+r.name)
}

// An Attempt is what one copy of a shard left.
type Attempt struct {
	Number  int // from 1
	Results *stream.Content
	Err     error // why its results cannot be read; Results is nil then
	Last    bool  // no other is looked for
}

// Attempts are those of a shard that there are. A number may be missing: its copy died while it was writing, and the next one
// took the next number.
func (r *Run) Attempts(ctx context.Context, shard string) []Attempt {
	var all []Attempt
	for n := 1; n <= r.attempts; n++ {
		c, err := r.stream(ctx, attemptObject(shard, n), stream.Skim)
		if !errors.Is(err, ErrNotThere) {
			all = append(all, Attempt{n, c, err, n == r.attempts})
		}
	}
	return all
}

// PutResults keeps the results of a shard as those of the first attempt whose number is free.
func (r *Run) PutResults(ctx context.Context, shard string, results []byte) error {
	for n := 1; n <= r.attempts; n++ {
		if err := r.store.Put(ctx, attemptObject(shard, n), literal(results)); !errors.Is(err, ErrExists) {
			return err
		}
	}
	return fmt.Errorf("the shard %s has had %d attempts: report looks at no more, unless MIRROR_ATTEMPTS is raised", shard, r.attempts)
}

func attemptObject(shard string, n int) string {
	return fmt.Sprintf("%s%s-%d", resultsObject, shard, n)
}

// PutReport keeps a file of the report. Where there is one already, that stays.
func (r *Run) PutReport(ctx context.Context, name string, content []byte) error {
	err := r.store.Put(ctx, name, literal(content))
	if errors.Is(err, ErrExists) {
		return nil
	}
	return err
}

// PutPlan keeps a plan: the parts that it is cut into, of which what is settled has no shard's name. Its outline comes
// last, and makes it whole.
func (r *Run) PutPlan(ctx context.Context, parts []*stream.Content, dryRun bool) error {
	o := Outline{DryRun: dryRun, Shards: []*stream.Content{}}
	for _, part := range parts {
		object := settledObject
		if part.Header.Shard != "" {
			object = shardObject + part.Header.Shard
		}
		var end *stream.End
		err := r.store.Put(ctx, object, func(w io.Writer) (err error) {
			end, err = stream.Write(w, part)
			return err
		})
		if err != nil {
			return err
		}
		if part.Header.Shard != "" {
			short := *part
			short.End = end
			o.Shards = append(o.Shards, &short)
		}
	}
	return r.store.Put(ctx, outlineObject, func(w io.Writer) error { return json.NewEncoder(w).Encode(o) })
}

// literal writes what is in memory already.
func literal[T string | []byte](content T) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write([]byte(content))
		return err
	}
}
