// Package selection chooses among the tags of a repository: by expressions, by version, and the
// newest of what is left. The result depends only on the tags, in any order, and every tag that
// is left out has a reason.
//
// The steps are taken in one order: the pattern of the mapping's source, the tags that refer to
// digests, include, exclude, semver, newest. The caller checks whether enough are left.
package selection

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// A Filter selects tags. The zero Filter selects all that do not refer to digests.
type Filter struct {
	Include     []Expression // one of them must match; none: all do
	Exclude     []Expression // none of them may match
	Semver      *Constraint  // that a tag must satisfy as a version; nil: any
	Prereleases bool         // versions such as 1.2.0-rc.1 count too
	Companions  bool         // tags that refer to digests count too
	Newest      int          // of what is left, so many; 0: all
	By          Order        // which of them are newest
	Minimum     int          // fewer selected tags are a failure; 0: one is enough
}

// An Order says which of two tags is newer.
type Order string

// The orders.
const (
	ByVersion Order = "version" // as versions; what is no version is left out
	ByName    Order = "name"    // as names, with digits in them as numbers
)

// versioned reports whether a tag must be a version.
func (r *Filter) versioned() bool { return r.Semver != nil || r.Newest > 0 && r.By != ByName }

// A verdict is why a tag is not selected, or that it is. Those from excluded on are those of the
// rule's expressions of exclude, in order.
type verdict uint8

const (
	open verdict = iota
	selected
	mismatched
	companion
	notIncluded
	noVersion
	prerelease
	unsatisfied
	older
	excluded
)

// Tags are the tags of one repository under one rule. It judges each tag once, however many
// patterns select from it. It is for one goroutine.
type Tags struct {
	rule     *Filter
	names    []string  // sorted, each once
	verdicts []verdict // of the steps that concern one tag alone; open: not judged yet
}

// On returns the tags of a repository under the rule. It fails if the rule's expressions might take
// too long on so many tags.
func (r *Filter) On(tags []string) (*Tags, error) {
	if !slices.IsSorted(tags) {
		tags = slices.Sorted(slices.Values(tags))
	}
	if repeated := slices.Compact(slices.Clone(tags)); len(repeated) < len(tags) {
		tags = repeated
	}
	size := 0
	for _, tag := range tags {
		size += len(tag)
	}
	if n := r.Instructions(); n*size > MaxWork {
		return nil, fmt.Errorf("the repository lists %d tags of %d characters in all, and the expressions take %d instructions: %d are allowed for so many", len(tags), size, n, MaxWork/size)
	}
	return &Tags{rule: r, names: tags, verdicts: make([]verdict, len(tags))}, nil
}

// A Selection is what a Filter selects from the tags that a pattern matches.
type Selection struct {
	Listed   int      // tags of the repository
	Steps    []Step   // those that the rule takes, in order
	Selected []string // sorted
	Newest   []string // the newest of Selected, at most MaxShown, newest first

	of       *Tags
	pattern  string
	verdicts []verdict // by the index of the tag
}

// Bounds on what a Selection names for people.
const (
	MaxShown = 10  // tags of those selected
	MaxOut   = 3   // tags of those that a step leaves out
	MaxSteps = 6   // steps
	maxWhy   = 100 // bytes of an expression, a constraint or a pattern in a reason
)

// A Step is one of the steps of a selection.
type Step struct {
	Name string     `json:"name"`          // of one of the Step constants
	Left int        `json:"left"`          // tags that are left after it
	Out  []Excluded `json:"out,omitempty"` // the first that it leaves out, at most MaxOut
}

// The names of steps.
const (
	StepPattern    = "pattern"
	StepCompanions = "companions"
	StepInclude    = "include"
	StepExclude    = "exclude"
	StepSemver     = "semver"
	StepNewest     = "newest"
)

// An Excluded is a tag that is not selected, and why.
type Excluded struct {
	Tag string `json:"tag"`
	Why string `json:"why"`
}

// Select applies the filter to the tags for which match reports true. pattern is the text that
// match compares them with, for reasons. It returns an error only if ctx ends.
func (t *Tags) Select(ctx context.Context, pattern string, match func(tag string) bool) (*Selection, error) {
	o := &Selection{Listed: len(t.names), of: t, pattern: pattern, verdicts: make([]verdict, len(t.names))}
	ranking := newest{rule: t.rule, most: MaxShown}
	if t.rule.Newest > 0 {
		ranking.most = t.rule.Newest
	}
	for i, tag := range t.names {
		if i%64 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !match(tag) {
			o.verdicts[i] = mismatched
			continue
		}
		o.verdicts[i] = t.judge(i)
		if o.verdicts[i] == selected {
			ranking.add(i, tag)
		}
	}
	o.rank(&ranking)
	o.count()
	return o, nil
}

// rank leaves only the newest selected, if the rule asks for that.
func (o *Selection) rank(ranking *newest) {
	best := ranking.sorted()
	for _, c := range best[:min(len(best), MaxShown)] {
		o.Newest = append(o.Newest, c.tag)
	}
	if o.of.rule.Newest > 0 {
		for i, v := range o.verdicts {
			if v == selected {
				o.verdicts[i] = older
			}
		}
		for _, c := range best {
			o.verdicts[c.index] = selected
		}
	}
	for i, v := range o.verdicts {
		if v == selected {
			o.Selected = append(o.Selected, o.of.names[i])
		}
	}
}

// judge returns the verdict of those steps that need no other tag.
func (t *Tags) judge(index int) verdict {
	if t.verdicts[index] == open {
		t.verdicts[index] = t.rule.judge(t.names[index])
	}
	return t.verdicts[index]
}

// Admits reports whether the rule may select a tag, which depends on others only if the rule
// wants the newest.
func (r *Filter) Admits(tag string) bool { return r.judge(tag) == selected }

func (r *Filter) judge(tag string) verdict {
	matches := func(e Expression) bool { return e.Match(tag) }
	switch {
	case !r.Companions && refersToDigest(tag):
		return companion
	case len(r.Include) > 0 && !slices.ContainsFunc(r.Include, matches):
		return notIncluded
	}
	if i := slices.IndexFunc(r.Exclude, matches); i >= 0 {
		return excluded + verdict(i)
	}
	if r.versioned() {
		return r.judgeVersion(tag)
	}
	return selected
}

func (r *Filter) judgeVersion(tag string) verdict {
	v := version(tag)
	switch {
	case v == nil:
		return noVersion
	case r.Semver == nil && v.Prerelease() != "" && !r.Prereleases:
		return prerelease
	case r.Semver == nil || r.Semver.check(v, r.Prereleases):
		return selected
	case v.Prerelease() != "" && r.Semver.check(v, true):
		return prerelease
	}
	return unsatisfied
}

// version returns a tag as a version, or nil: 1, v1.2 and 1.2.3-rc.1 are versions.
func version(tag string) *semver.Version {
	// Most tags that are no versions need no regular expression to tell.
	if digits := strings.TrimPrefix(tag, "v"); digits == "" || digits[0] < '0' || digits[0] > '9' {
		return nil
	}
	v, err := semver.NewVersion(tag)
	if err != nil {
		return nil
	}
	return v
}

// refersToDigest reports whether a tag is one that cosign derives from a digest, or that of the
// index of referrers in a registry without the referrers API (distribution-spec, Referrers Tag
// Schema).
func refersToDigest(tag string) bool {
	return strings.HasPrefix(tag, "sha256-") || strings.HasPrefix(tag, "sha512-")
}

// stepOf returns the index of the step that a verdict is of, in the order of the steps.
func (v verdict) stepOf() int {
	switch v {
	case mismatched:
		return 0
	case companion:
		return 1
	case notIncluded:
		return 2
	case noVersion, prerelease, unsatisfied:
		return 4
	case older:
		return 5
	}
	return 3
}

// count sets the steps of the selection: those that the rule has, and those that leave tags out.
func (o *Selection) count() {
	r := o.of.rule
	steps := []Step{{Name: StepPattern}, {Name: StepCompanions}, {Name: StepInclude}, {Name: StepExclude}, {Name: StepSemver}, {Name: StepNewest}}
	asked := []bool{false, false, len(r.Include) > 0, len(r.Exclude) > 0, r.versioned(), r.Newest > 0}
	out := make([]int, len(steps))
	for i, v := range o.verdicts {
		if v == selected {
			continue
		}
		n := v.stepOf()
		if out[n]++; len(steps[n].Out) < MaxOut {
			steps[n].Out = append(steps[n].Out, Excluded{o.of.names[i], o.reason(v)})
		}
	}
	left := o.Listed
	for n, s := range steps {
		left -= out[n]
		if s.Left = left; asked[n] || out[n] > 0 {
			o.Steps = append(o.Steps, s)
		}
	}
}

// Why returns why a tag of the list is not selected, or "" if it is.
func (o *Selection) Why(tag string) string {
	i, listed := slices.BinarySearch(o.of.names, tag)
	switch {
	case !listed:
		return "the repository does not list it"
	case o.verdicts[i] == selected:
		return ""
	}
	return o.reason(o.verdicts[i])
}

func (o *Selection) reason(v verdict) string {
	r := o.of.rule
	switch v {
	case mismatched:
		return fmt.Sprintf("the pattern %.*s does not match it", maxWhy, o.pattern)
	case companion:
		return "it refers to a digest, as the tags of signatures do"
	case notIncluded:
		return "no expression of include matches it"
	case noVersion:
		return "it is not a version"
	case prerelease:
		return "it is a prerelease"
	case unsatisfied:
		return fmt.Sprintf("it is outside of semver %.*q", maxWhy, r.Semver.String())
	case older:
		return fmt.Sprintf("the newest %d are newer", r.Newest)
	}
	return fmt.Sprintf("exclude %.*q matches it", maxWhy, r.Exclude[v-excluded].String())
}
