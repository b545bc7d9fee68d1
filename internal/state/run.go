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
	err := r.store.Put(ctx, begunObject, nil)
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
	return r.store.Put(ctx, refusalObject, []byte(why.Error()))
}

// Refusal is why there is no plan, a line for each thing that is wrong. The error is ErrNotThere where split did not say.
func (r *Run) Refusal(ctx context.Context) ([]string, error) {
	text, err := r.store.Get(ctx, refusalObject)
	return strings.Split(strings.TrimRight(string(text), "\n"), "\n"), err
}

// Outline is a plan in short: all that has to be known of it where some shard never runs.
type Outline struct {
	DryRun bool              `json:"dryRun,omitempty"` // no copy is meant to follow
	Shards []*stream.Content `json:"shards"`           // without their manifests
}

// Outline returns the plan's. The error is ErrNotThere where the plan is not whole.
func (r *Run) Outline(ctx context.Context) (*Outline, error) {
	text, err := r.store.Get(ctx, outlineObject)
	if err != nil {
		return nil, err
	}
	o := &Outline{}
	if err := json.Unmarshal(text, o); err != nil {
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
	text, err := r.store.Get(ctx, object)
	if err != nil {
		return nil, err
	}
	return read(bytes.NewReader(text), object+" of the run "+r.name)
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
		c, err := r.stream(ctx, attempt(shard, n), stream.Skim)
		if !errors.Is(err, ErrNotThere) {
			all = append(all, Attempt{n, c, err, n == r.attempts})
		}
	}
	return all
}

// PutResults keeps the results of a shard as those of the first attempt whose number is free.
func (r *Run) PutResults(ctx context.Context, shard string, results []byte) error {
	for n := 1; n <= r.attempts; n++ {
		if err := r.store.Put(ctx, attempt(shard, n), results); !errors.Is(err, ErrExists) {
			return err
		}
	}
	return fmt.Errorf("the shard %s has had %d attempts: report looks at no more, unless MIRROR_ATTEMPTS is raised", shard, r.attempts)
}

func attempt(shard string, n int) string { return fmt.Sprintf("%s%s-%d", resultsObject, shard, n) }

// PutReport keeps a file of the report. Where there is one already, that stays.
func (r *Run) PutReport(ctx context.Context, name string, content []byte) error {
	err := r.store.Put(ctx, name, content)
	if errors.Is(err, ErrExists) {
		return nil
	}
	return err
}

// Plan takes the parts of a plan and puts them into the run: see plan.Parts. Its outline comes last, and makes it whole.
type Plan struct {
	ctx context.Context
	run *Run
	Outline
}

// NewPlan is a plan that has no parts yet.
func (r *Run) NewPlan(ctx context.Context, dryRun bool) *Plan {
	return &Plan{ctx, r, Outline{DryRun: dryRun, Shards: []*stream.Content{}}}
}

// Begin has nothing to do.
func (p *Plan) Begin() error { return nil }

// Put puts a shard, or, under no name, what is settled.
func (p *Plan) Put(shard string, content func(io.Writer) error) error {
	var text bytes.Buffer
	if err := content(&text); err != nil {
		return err
	}
	if shard == "" {
		return p.run.store.Put(p.ctx, settledObject, text.Bytes())
	}
	if err := p.run.store.Put(p.ctx, shardObject+shard, text.Bytes()); err != nil {
		return err
	}
	c, err := stream.Skim(&text, shard)
	p.Shards = append(p.Shards, c)
	return err
}

// End puts the outline, unless the parts are not whole.
func (p *Plan) End(err error) error {
	if err != nil {
		return err
	}
	text, err := json.Marshal(p.Outline)
	if err != nil {
		return err
	}
	return p.run.store.Put(p.ctx, outlineObject, text)
}
