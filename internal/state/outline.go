package state

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"

	"imagemirror/internal/bounds"
	"imagemirror/internal/stream"
	"imagemirror/internal/strictjson"
)

// An Outline is a plan without its settled part and without manifests. report needs it if a
// shard never runs.
type Outline struct {
	DryRun bool              // no copy will follow
	Shards []*stream.Content // without their manifests
	head   outlineHead
}

// An outlineHead is the first line of an outline. The streams of the shards follow it.
type outlineHead struct {
	Version int      `json:"version"` // of the streams
	Begun   string   `json:"begun"`   // the mark of the split that made the plan
	Run     string   `json:"run"`     // as in the headers of all parts
	DryRun  bool     `json:"dryRun,omitempty"`
	Settled string   `json:"settled"` // SHA-256 of the settled part, in hexadecimal digits
	Shards  []string `json:"shards"`  // of each shard
}

type outlineLine struct {
	Outline outlineHead `json:"outline"`
}

// PutPlan stores the parts of a plan: the settled part, and then the shards. It stores the
// outline last, which completes the plan.
func (r *Run) PutPlan(ctx context.Context, parts []*stream.Content, dryRun bool) error {
	head := outlineHead{Version: stream.Version, Begun: r.mark, DryRun: dryRun, Shards: []string{}}
	var shards []*stream.Content
	for _, part := range parts {
		sum, err := r.putPart(ctx, part)
		if err != nil {
			return err
		}
		head.Run = part.Header.Run
		if part.Header.Shard == "" {
			head.Settled = sum
			continue
		}
		short := *part
		short.Manifests = nil
		head.Shards, shards = append(head.Shards, sum), append(shards, &short)
	}
	return r.put(ctx, outlineObject, maxOutline, func(w io.Writer) error {
		err := json.NewEncoder(w).Encode(outlineLine{head})
		for _, s := range shards {
			if err == nil {
				_, err = stream.Write(w, s)
			}
		}
		return err
	})
}

// putPart stores a part of a plan, and returns its hash.
func (r *Run) putPart(ctx context.Context, part *stream.Content) (string, error) {
	object := settledObject
	if part.Header.Shard != "" {
		object = shardObject + part.Header.Shard
	}
	hash := sha256.New()
	err := r.put(ctx, object, maxPart, func(w io.Writer) error {
		_, err := stream.Write(io.MultiWriter(w, hash), part)
		return err
	})
	return hex.EncodeToString(hash.Sum(nil)), err
}

// Outline returns the outline of the plan. If the plan is not complete, it fails with
// ErrNotThere, and with ErrForeign if the split that began the run did not make it.
func (r *Run) Outline(ctx context.Context) (*Outline, error) {
	var o *Outline
	err := r.store.Get(ctx, outlineObject, maxOutline, func(in io.Reader) (err error) {
		o, err = readOutline(in, r.nameOf(outlineObject))
		return err
	})
	if err != nil {
		return nil, err
	}
	mark, err := r.get(ctx, begunObject, maxBegun)
	if err != nil && !errors.Is(err, ErrNotThere) {
		return nil, err
	}
	if err != nil || o.head.Begun == "" || string(mark) != o.head.Begun {
		return nil, fmt.Errorf("%s was not written by the split that began the run: %w", r.nameOf(outlineObject), ErrForeign)
	}
	return o, nil
}

// readOutline reads a line with an outlineHead, and the streams behind it.
func readOutline(r io.Reader, name string) (*Outline, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	head, err := readHead(in)
	if err != nil {
		return nil, fmt.Errorf("%s:1: %w", name, err)
	}
	o := &Outline{DryRun: head.DryRun, head: head}
	ids, names := map[int]bool{}, map[string]bool{}
	for i := range head.Shards {
		s, err := stream.SkimNext(in, fmt.Sprintf("shard %d in the %s", i+1, name))
		if err == nil {
			err = checkWhole(s, head.Run)
		}
		if err != nil {
			return nil, err
		}
		if shard := s.Header.Shard; names[shard] || checkName(shardObject+shard) != nil || len(s.Results) > 0 {
			return nil, fmt.Errorf("%s has the name %.40q of another shard or of none, or %d results: run split again", s.Name, shard, len(s.Results))
		}
		names[s.Header.Shard] = true
		for _, m := range s.Mappings {
			if ids[m.ID] {
				return nil, fmt.Errorf("%s: mapping %d is in another shard too: run split again", s.Name, m.ID)
			}
			ids[m.ID] = true
		}
		o.Shards = append(o.Shards, s)
	}
	if _, err := in.Peek(1); err != io.EOF {
		return nil, fmt.Errorf("%s has more than %d shards: run split again", name, len(head.Shards))
	}
	return o, nil
}

func readHead(in *bufio.Reader) (outlineHead, error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return outlineHead{}, fmt.Errorf("reading the head of the plan: %w", err)
	}
	var lax struct{ Outline struct{ Version int } }
	if json.Unmarshal(line, &lax) == nil {
		if err := stream.CheckVersion(lax.Outline.Version); err != nil {
			return outlineHead{}, err
		}
	}
	head, err := strictjson.NewDecoder[outlineLine]().Decode(line)
	if err != nil {
		return outlineHead{}, fmt.Errorf("reading the head of the plan: %w", err)
	}
	if n := len(head.Outline.Shards); n > bounds.Shards {
		return outlineHead{}, fmt.Errorf("the plan has %d shards, and at most %d are allowed", n, bounds.Shards)
	}
	return head.Outline, nil
}

// checkWhole fails if a stream is not a whole part of the plan of a run.
func checkWhole(c *stream.Content, run string) error {
	switch {
	case c.Cut != nil:
		return fmt.Errorf("%w: run split again, a plan has to be whole", c.Cut)
	case c.Header.Stream != stream.Plan:
		return fmt.Errorf("%s has results, not a part of the plan: %w", c.Name, ErrForeign)
	case c.Header.Run != run:
		return fmt.Errorf("%s is of the run %.80q, the plan of %.80q: %w", c.Name, c.Header.Run, run, ErrForeign)
	}
	return nil
}

// Settled returns the settled part of the plan.
func (r *Run) Settled(ctx context.Context, o *Outline) (*stream.Content, error) {
	c, sum, err := r.stream(ctx, settledObject, maxPart, stream.Skim)
	if err == nil {
		err = checkWhole(c, o.head.Run)
	}
	if err != nil {
		return nil, err
	}
	if sum != o.head.Settled || c.Header.Shard != "" {
		return nil, fmt.Errorf("%s is not what the plan lists: %w", c.Name, ErrForeign)
	}
	return c, nil
}

// Check fails if a shard, which is what copy carries out, cannot be read or is not the shard
// of the outline with that index.
func (r *Run) Check(ctx context.Context, o *Outline, index int) error {
	listed := o.Shards[index]
	c, sum, err := r.stream(ctx, shardObject+listed.Header.Shard, maxPart, stream.Skim)
	if err != nil {
		return err
	}
	if sum != o.head.Shards[index] || !reflect.DeepEqual(c.Header, listed.Header) || !reflect.DeepEqual(c.Sets, listed.Sets) ||
		!reflect.DeepEqual(c.Mappings, listed.Mappings) || !reflect.DeepEqual(c.Copies, listed.Copies) {
		return fmt.Errorf("%s is not what the plan lists: %w", c.Name, ErrForeign)
	}
	return nil
}
