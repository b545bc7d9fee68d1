// Package policy reads the policy.yaml that an operator puts beside image sets: the most that
// their settings may ask for, and which images they may mirror. A set's settings only narrow it.
package policy

import (
	"cmp"
	"slices"
	"time"

	"imagemirror/internal/bounds"
	"imagemirror/internal/finding"
	"imagemirror/internal/settings"
	"imagemirror/internal/strictyaml"
)

// File is the name of the file, and of its key in the ConfigMap of that object.
const (
	File      = "policy.yaml"
	ConfigMap = "policy"
)

// Kind is the type that a policy declares.
const Kind = "Policy"

// MaxFile bounds a file, in bytes.
const MaxFile = 256 << 10

// maxInterval bounds the least time between two runs.
const maxInterval = 31 * 24 * time.Hour

// A Policy is the content of a file.
type Policy struct {
	bounds  Bounds // of sets without bounds of their own
	sets    []setBounds
	network *Network
}

// A setBounds has the bounds of one set.
type setBounds struct {
	set    string
	line   int
	bounds Bounds
}

// Bounds are what a policy allows a set. A key that the file leaves out is the zero value, and
// bounds nothing.
type Bounds struct {
	File         string                `yaml:"-"` // the policy's label in findings
	Sources      settings.Prefixes     `yaml:"sources"`
	Destinations settings.Prefixes     `yaml:"destinations"`
	Shards       Limit[int]            `yaml:"shards"`
	Cap          Limit[int]            `yaml:"cap"`
	Rate         Limit[int]            `yaml:"rate"`
	Retries      Limit[int]            `yaml:"retries"`
	Timeout      Limit[time.Duration]  `yaml:"timeout"`
	Interval     Limit[time.Duration]  `yaml:"interval"` // the least time between two runs
	Public       Requirement           `yaml:"public"`   // strangers have to be able to pull
	Notify       Hosts                 `yaml:"notify"`   // that notifications may be sent to
	Verify       []settings.VerifyRule `yaml:"verify"`   // that images must meet besides those of settings
	Links        Links                 `yaml:"links"`    // where reports lead to, which bounds nothing
}

// A Limit is a bound, and the line that it is on.
type Limit[T cmp.Ordered] struct {
	Value T
	Line  int // 0 if there is no bound
}

// Parse reads a policy; file is its label in findings. What is right with the file is in the
// Policy even if something else is wrong.
func Parse(file string, data []byte) (*Policy, *finding.List) {
	p := &Policy{bounds: Bounds{File: file}}
	return p, strictyaml.Read(finding.Input, file, data, MaxFile, func(v strictyaml.Value) {
		settings.Object(v, Kind, metadata, p.spec)
	})
}

// metadata reads what a kustomization may use.
func metadata(v strictyaml.Value) {
	v.Keys(
		strictyaml.Key{Name: "name", Read: func(v strictyaml.Value) { v.Text() }},
		strictyaml.Key{Name: "annotations", Read: func(v strictyaml.Value) { v.Texts() }},
		strictyaml.Key{Name: "labels", Read: func(v strictyaml.Value) { v.Texts() }},
	)
}

func (p *Policy) spec(v strictyaml.Value) {
	v.Keys(append(p.bounds.keys(), strictyaml.Key{Name: "network", Read: p.readNetwork}, strictyaml.Key{Name: "sets", Read: func(v strictyaml.Value) {
		v.Each(func(set string, v strictyaml.Value) {
			own := setBounds{set, v.Line(), Bounds{File: p.bounds.File}}
			v.Keys(own.bounds.keys()...)
			p.sets = append(p.sets, own)
		})
	}})...)
}

// keys returns what reads the bounds.
func (b *Bounds) keys() []strictyaml.Key {
	return []strictyaml.Key{
		{Name: "sources", Read: func(v strictyaml.Value) { b.Sources.Read(v, "source") }},
		{Name: "destinations", Read: func(v strictyaml.Value) { b.Destinations.Read(v, "destination") }},
		{Name: "shards", Read: numberLimit(&b.Shards, 1, bounds.Shards)},
		{Name: "cap", Read: numberLimit(&b.Cap, bounds.Share, bounds.Concurrency)},
		{Name: "rate", Read: numberLimit(&b.Rate, 1, bounds.Rate)},
		{Name: "retries", Read: numberLimit(&b.Retries, 1, bounds.Retries)},
		{Name: "timeout", Read: durationLimit(&b.Timeout, settings.MinTimeout, settings.MaxTimeout)},
		{Name: "interval", Read: durationLimit(&b.Interval, time.Minute, maxInterval)},
		{Name: "public", Read: b.Public.read},
		{Name: "notify", Read: b.Notify.read},
		{Name: "verify", Read: func(v strictyaml.Value) { b.Verify = settings.ReadVerifyRules(v, true) }},
		{Name: "links", Read: b.Links.read},
	}
}

func numberLimit(to *Limit[int], least, most int) func(strictyaml.Value) {
	return func(v strictyaml.Value) { *to = Limit[int]{v.Number(least, most), v.Line()} }
}

func durationLimit(to *Limit[time.Duration], least, most time.Duration) func(strictyaml.Value) {
	return func(v strictyaml.Value) { *to = Limit[time.Duration]{v.Duration(least, most), v.Line()} }
}

// For returns the bounds of a set: its own, and for keys that those leave out, those of all sets.
func (p *Policy) For(set string) Bounds {
	b := p.bounds
	for _, own := range p.sets {
		if own.set == set {
			b.replace(own.bounds)
		}
	}
	return b
}

// replace takes over the bounds that own has.
func (b *Bounds) replace(own Bounds) {
	if len(own.Sources) > 0 {
		b.Sources = own.Sources
	}
	if len(own.Destinations) > 0 {
		b.Destinations = own.Destinations
	}
	b.Shards = own.Shards.or(b.Shards)
	b.Cap = own.Cap.or(b.Cap)
	b.Rate = own.Rate.or(b.Rate)
	b.Retries = own.Retries.or(b.Retries)
	b.Timeout = own.Timeout.or(b.Timeout)
	b.Interval = own.Interval.or(b.Interval)
	b.Public = own.Public.or(b.Public)
	if len(own.Notify) > 0 {
		b.Notify = own.Notify
	}
	if len(own.Verify) > 0 {
		b.Verify = own.Verify
	}
	b.Links.File, b.Links.Run = cmp.Or(own.Links.File, b.Links.File), cmp.Or(own.Links.Run, b.Links.Run)
}

func (l Limit[T]) or(other Limit[T]) Limit[T] {
	if l.Line > 0 {
		return l
	}
	return other
}

// Files returns the names of the files beside the policy that its rules need.
func (p *Policy) Files() []string {
	rules := p.bounds.Verify
	for _, own := range p.sets {
		rules = append(slices.Clip(rules), own.bounds.Verify...)
	}
	return settings.Files(rules)
}

// Sets yields the sets that have bounds of their own, and the line of each.
func (p *Policy) Sets(yield func(set string, line int) bool) {
	for _, own := range p.sets {
		if !yield(own.set, own.line) {
			return
		}
	}
}
