package state

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/bounds"
	"imagemirror/internal/fault"
	"imagemirror/internal/manifest"
	"imagemirror/internal/report"
	"imagemirror/internal/stream"
)

// repeated returns values that differ in their numbers.
func repeated[T any](n int, one func(i int) T) []T {
	var all []T
	for i := range n {
		all = append(all, one(i))
	}
	return all
}

// worst returns the longest error: every character takes as many bytes as one can.
func worst() *stream.Error {
	long := strings.Repeat("\U0001F4A3", 10_000)
	return stream.ErrorOf(fault.New(fault.Fault{Kind: fault.Image, Side: "destination", Host: long, Status: 599, Advice: long}, long+"\x00\xff\n"))
}

// atBounds returns a part of a plan with values at all bounds. Its mappings have IDs from first on.
func atBounds(shard string, first int) *stream.Content {
	const number = 3
	name := strings.Repeat("n", 1000) // mapping.maxName, nearly
	header := stream.Header{
		Stream: stream.Plan, Run: "r", Shard: shard, Mappings: number, Started: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC),
		Cap: stream.Cap{InFlight: bounds.Concurrency, Rate: math.MaxFloat64},
	}
	c := &stream.Content{Header: header}
	c.Sets = []stream.Set{{
		Name:   strings.Repeat("\x01", 255),
		Owners: repeated(1000, func(i int) string { return fmt.Sprintf("%0100d", i) }),
		Notify: repeated(1000, func(i int) string { return fmt.Sprintf("%0100d", i) }),
	}}
	for i := range number {
		c.Mappings = append(c.Mappings, stream.Mapping{
			ID: first + i, Source: name + strings.Repeat("t", 128), Destination: fmt.Sprint(name, first+i),
			Set: c.Sets[0].Name, File: strings.Repeat("\x01\xff", 2000), Line: 1 << 20,
		})
		if shard == "" {
			c.Results = append(c.Results, stream.Result{ID: first + i, Status: stream.Failed, Digest: digest, Old: digest, Error: worst()})
			continue
		}
		c.Copies = append(c.Copies, stream.Copy{
			ID: first + i, Digest: digest, Old: digest, Bytes: math.MaxInt64, Immutable: true,
			MountFrom: []string{strings.Repeat("p", 255)},
			Attached: repeated(stream.MaxAttached/(1+100*i), func(int) stream.Attachment {
				e := worst()
				e.Message, e.Advice = string([]rune(e.Message)[:501]), string([]rune(e.Advice)[:501]) // plan.maxReason
				return stream.Attachment{Kind: strings.Repeat(`"`, 100), Digest: digest, Error: e}
			}),
		})
	}
	if shard == "" {
		c.Header.Warnings = repeated(101, func(int) string { return strings.Repeat("\U0001F4A3", stream.MaxText) + "…" })
	} else {
		c.Manifests = noise()
	}
	c.Traffic = repeated(20_000, func(i int) stream.Traffic {
		return stream.Traffic{Host: fmt.Sprintf("%0255d", i), Requests: math.MaxInt64, Retries: math.MaxInt64, Throttled: math.MaxInt64, Bytes: math.MaxInt64}
	})
	return c
}

// noise yields the largest manifest, which cannot be compressed.
func noise() iter.Seq[manifest.Raw] {
	content := make([]byte, manifest.MaxSize)
	_, _ = rand.NewChaCha8([32]byte{}).Read(content)
	return slices.Values([]manifest.Raw{{Digest: digest, MediaType: manifest.DockerSchema1Signed, Content: content}})
}

// What split and copy write with values at all bounds is what copy and report read.
func TestReadersAcceptWhatWritersWriteAtTheirBounds(t *testing.T) {
	place := Location{State: t.TempDir(), Run: "r", Attempts: 100}
	r, err := place.Open()
	if err != nil {
		t.Fatal(err)
	}
	settled, shard := atBounds("", 1), atBounds("s255", 4)
	if err := errors.Join(r.Begin(t.Context()), r.PutPlan(t.Context(), []*stream.Content{settled, shard}, false)); err != nil {
		t.Fatal(err)
	}
	outline, err := r.Outline(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	read, err := r.Shard(t.Context(), "s255")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(slices.Collect(read.Manifests)); n != 1 || !cmp.Equal(read.Copies[0].Attached, shard.Copies[0].Attached) {
		t.Errorf("copy reads %d manifests, and other attachments than were written", n)
	}
	results := &stream.Content{Header: read.Header, Sets: read.Sets, Mappings: read.Mappings, End: &stream.End{Registries: settled.Traffic, PlanRegistries: settled.Traffic}}
	results.Header.Stream, results.Header.Cap = stream.Results, stream.Cap{}
	for i, m := range read.Mappings {
		one := stream.Result{ID: m.ID, Status: stream.Copied, Digest: digest, Old: digest, Bytes: math.MaxInt64, Seconds: math.MaxFloat64}
		one.Public = &stream.Public{Answer: stream.Unknown, Error: worst()}
		if i > 0 {
			one.Status, one.Error = stream.Failed, worst()
		} else {
			one.Travelled = repeated(100, func(int) stream.Travelled {
				return stream.Travelled{Kind: strings.Repeat(`"`, 100), Copied: math.MaxInt32, Failed: math.MaxInt32, Error: worst(), Digests: repeated(stream.MaxNamed, func(int) string { return digest })}
			})
		}
		results.Results = append(results.Results, one)
	}
	if err := r.PutResults(t.Context(), "s255", results); err != nil {
		t.Fatal(err)
	}
	b := report.NewBuilder()
	part, err := r.Settled(t.Context(), outline)
	if err != nil {
		t.Fatal(err)
	}
	attempts := r.Attempts(t.Context(), outline.Shards[0])
	if len(attempts) != 1 || attempts[0].Err != nil {
		t.Fatalf("the attempts are %+v", attempts)
	}
	if err := errors.Join(r.Check(t.Context(), outline, 0), b.Add(part), b.Add(outline.Shards[0]), b.Add(attempts[0].Results)); err != nil {
		t.Fatal(err)
	}
	if s := b.Report().Summary; s.Mappings != 6 || s.Copied != 1 || s.Failed != 5 || len(s.Problems) > 0 {
		t.Errorf("the report sums up %+v", s)
	}
	if why := strings.Repeat("no ", 1<<20); r.Refuse(t.Context(), errors.New(why)) != nil {
		t.Error("a long refusal is not put")
	}
	if lines, err := r.Refusal(t.Context()); err != nil || len(lines) != 1 {
		t.Errorf("the refusal has %d lines, %v", len(lines), err)
	}
}
