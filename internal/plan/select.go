package plan

import (
	"context"
	"fmt"

	"imagemirror/internal/fault"
	"imagemirror/internal/reference"
	"imagemirror/internal/selection"
	"imagemirror/internal/settings"
	"imagemirror/internal/stream"
	"imagemirror/internal/text"
)

// ruledTags are the tags of a repository under a rule, or why it cannot judge them.
type ruledTags struct {
	*selection.Tags
	err error
}

// selectTags gives each line of a list the tags that its pattern matches and its set's settings
// select, or an error. It fails only if ctx ends.
func (r *resolver) selectTags(ctx context.Context, list *wildcardList, tags []string) error {
	judged := map[*settings.SelectRule]ruledTags{}
	for _, l := range list.lines {
		rule := l.rule
		if rule == nil {
			l.match(tags)
			continue
		}
		ruled, known := judged[rule]
		if !known {
			ruled.Tags, ruled.err = rule.On(tags)
			judged[rule] = ruled
		}
		if ruled.err != nil {
			l.err = tooSlow(l.mapping.Source, rule, ruled.err)
			continue
		}
		outcome, err := ruled.Select(ctx, l.mapping.Source.Tag, l.mapping.Source.Match)
		if err != nil {
			return err
		}
		l.selected(outcome)
	}
	return nil
}

// tooSlow returns the error of a wildcard whose tags are too many for the expressions of a rule.
func tooSlow(source reference.Reference, rule *settings.SelectRule, why error) error {
	return fault.New(fault.Fault{
		Kind: fault.TooLarge, Side: reference.Source, Host: source.Registry,
		Advice: fmt.Sprintf("write shorter expressions at %s:%d, or use semver", rule.File, rule.Line),
	}, fmt.Sprintf("selecting tags of %s: %v", source, why))
}

// match gives a line the tags that its pattern matches. If images have to be signed, tags of
// signatures do not count: nobody signs those, and they travel with their images. Nor do indexes of
// referrers if these travel: the destination has an index of its own, which lists others', too.
func (l *expansion) match(tags []string) {
	signed := len(l.set.Demands(l.mapping.Source, l.mapping.Destination)) > 0
	travel := l.set.Settings.WithDefaults().Referrers.Copy != settings.CopyNone
	isLeftOut := func(tag string) bool {
		found := companion.FindStringSubmatch(tag)
		return found != nil && (signed || travel && found[1] == "")
	}
	for _, tag := range tags {
		if l.mapping.Source.Match(tag) && !isLeftOut(tag) {
			l.tags = append(l.tags, tag)
		}
	}
}

// selected gives a line what its rule selects, or an error if that is too little.
func (l *expansion) selected(o *selection.Selection) {
	m, rule := l.mapping, l.rule
	l.tags = o.Selected
	s := &stream.Selection{
		Set: l.set.Name, File: m.File, Line: m.Line, Source: m.Source.String(), Rule: fmt.Sprintf("%s:%d", rule.File, rule.Line),
		Listed: o.Listed, Selected: len(o.Selected), Newest: o.Newest, Minimum: rule.Minimum, Steps: o.Steps,
	}
	if l.told {
		l.selection = s
	}
	if least := max(rule.Minimum, 1); s.Selected < least {
		l.err = fault.New(
			fault.Fault{
				Kind: fault.Missing, Side: reference.Source, Host: m.Source.Registry,
				Advice: fmt.Sprintf("find out whether tags of %s were deleted, or correct spec.select at %s", m.Source.Name(), s.Rule),
			},
			fmt.Sprintf("found %s of %s, and wanted at least %d: %s", text.Count(s.Selected, "tag"), m.Source, least, s.Attrition()))
	}
}

// chooseTold marks the lines whose selection the plan tells: the first that have a rule, since a
// selection takes more memory than a line. A line with several destinations is one.
func chooseTold(lines []*expansion) {
	var last *expansion
	for n, i := 0, 0; i < len(lines) && n < stream.MaxSelections; i++ {
		l := lines[i]
		again := last != nil && last.mapping.File == l.mapping.File && last.mapping.Line == l.mapping.Line
		if l.rule == nil || again {
			continue
		}
		l.told, last = true, l
		n++
	}
}

// selections returns what was selected for the lines that the plan tells of, in their order.
func selections(lines []*expansion) (list []stream.Selection) {
	for _, l := range lines {
		if l.selection != nil {
			list = append(list, *l.selection)
		}
	}
	return list
}
