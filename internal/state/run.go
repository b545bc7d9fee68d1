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

// Objects of a run. Names of ConfigMaps have the name of the run and a dash before them.
const (
	begunObject   = "begun"   // exists once split has started
	refusalObject = "refusal" // why split made no plan: its error
	settledObject = "settled" // a stream: the mappings that need no copy
	shardObject   = "shard-"  // and the name of the shard: a stream
	outlineObject = "plan"    // the outline, in JSON; put last
	resultsObject = "results-"
)

// A Run reads and writes the objects of one run.
type Run struct {
	store    Store
	name     string
	attempts int // the most of one shard
}

// Name returns the name of the run.
func (r *Run) Name() string { return r.name }

// Begin marks the run as started. A run is split once, so a second call fails.
func (r *Run) Begin(ctx context.Context) error {
	err := r.store.Put(ctx, begunObject, literal(""))
	if errors.Is(err, ErrExists) {
		return fmt.Errorf("the run %s was started before: set MIRROR_RUN to a new name", r.name)
	}
	return err
}

// Begun reports whether split has started.
func (r *Run) Begun(ctx context.Context) (bool, error) {
	_, err := r.store.Get(ctx, begunObject)
	if errors.Is(err, ErrNotThere) {
		return false, nil
	}
	return err == nil, err
}

// Refuse stores the reason why there is no plan.
func (r *Run) Refuse(ctx context.Context, why error) error {
	return r.store.Put(ctx, refusalObject, literal(why.Error()))
}

// Refusal returns the reasons why there is no plan, one per line. If split stored none, it
// fails with ErrNotThere.
func (r *Run) Refusal(ctx context.Context) ([]string, error) {
	content, err := r.store.Get(ctx, refusalObject)
	return strings.Split(strings.TrimRight(string(content), "\n"), "\n"), err
}

// An Outline is a plan without manifests. report needs it if a shard never runs.
type Outline struct {
	DryRun bool              `json:"dryRun,omitempty"` // no copy will follow
	Shards []*stream.Content `json:"shards"`           // without their manifests
}

// Outline returns the outline of the plan. If the plan is not complete, it fails with
// ErrNotThere.
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

// Settled returns the settled part of the plan.
func (r *Run) Settled(ctx context.Context) (*stream.Content, error) {
	return r.stream(ctx, settledObject, stream.Skim)
}

// Shard returns a shard of the plan, with its manifests.
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

// An Attempt is the outcome of one copy of a shard.
type Attempt struct {
	Number  int // from 1
	Results *stream.Content
	Err     error // set if the results cannot be read; Results is nil then
	Last    bool  // MIRROR_ATTEMPTS allows no more
}

// Attempts returns the attempts at a shard. A number is missing if its copy died while it
// wrote its results: the next copy then takes the next number.
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

// PutResults stores the results of a shard under the first free number of an attempt.
func (r *Run) PutResults(ctx context.Context, shard string, results []byte) error {
	for n := 1; n <= r.attempts; n++ {
		if err := r.store.Put(ctx, attemptObject(shard, n), literal(results)); !errors.Is(err, ErrExists) {
			return err
		}
	}
	return fmt.Errorf("the shard %s has had %d attempts, and report reads no more: raise MIRROR_ATTEMPTS", shard, r.attempts)
}

func attemptObject(shard string, n int) string {
	return fmt.Sprintf("%s%s-%d", resultsObject, shard, n)
}

// PutReport stores a file of the report, unless there is one already.
func (r *Run) PutReport(ctx context.Context, name string, content []byte) error {
	err := r.store.Put(ctx, name, literal(content))
	if errors.Is(err, ErrExists) {
		return nil
	}
	return err
}

// PutPlan stores the parts of a plan: the settled part, which has no name of a shard, and the
// shards. It stores the outline last, which completes the plan.
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

// literal returns a function that writes content, for Store.Put.
func literal[T string | []byte](content T) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write([]byte(content))
		return err
	}
}
