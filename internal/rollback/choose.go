package rollback

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"imagemirror/internal/imageset"
	"imagemirror/internal/mapping"
	"imagemirror/internal/record"
	"imagemirror/internal/reference"
	"imagemirror/internal/report"
	"imagemirror/internal/text"
)

// Choose returns the tags that o names, by name, before any registry is asked. Its error has a line
// for each name that is wrong.
func Choose(o Options) (*Rollback, error) {
	r := &Rollback{options: o}
	var err error
	if r.moment, err = parsePointInTime(o.To, o.Record, o.Now()); err != nil {
		return nil, err
	}
	named, err := Named(o.Record, o.Names)
	if err != nil {
		return nil, err
	}
	known := mappingsOf(o.Set)
	for _, d := range named {
		t := &Tag{Destination: d}
		if why := known.check(o.Set, t); why != "" {
			r.refuse(t, why)
		} else if _, why := r.moment.recorded(d); why != "" && !r.moment.IsZero() {
			r.refuse(t, why) // wherever the tag is now
		}
		r.Tags = append(r.Tags, t)
	}
	return r, nil
}

// Named returns the destinations of a record that names stand for, by name, without those that no
// mapping names any more. A name is that of a tag, or of a repository for all of its tags; no names
// stand for all. Its error has a line for each name that is in no record.
func Named(r *record.Record, names []string) ([]*record.Destination, error) {
	asked, found, gone := map[string]bool{}, map[string]bool{}, map[string]time.Time{}
	for _, name := range names {
		if ref, err := reference.Parse(name); err == nil {
			name = ref.String()
		}
		asked[name] = true
	}
	var all []*record.Destination
	for _, d := range r.Destinations {
		by, repository := d.Name, report.RepositoryOf(d.Name)
		if !asked[by] && !strings.Contains(d.Name, "@") { // an image by its digest has no tag
			by = repository
		}
		switch {
		case d.Name == repository: // it stands for a wildcard whose tags could not be listed
		case !d.Gone.IsZero():
			gone[by] = d.Gone
		case len(names) == 0 || asked[by]:
			found[by] = true
			all = append(all, d)
		}
	}
	var errs []error
	for name := range asked {
		switch at, was := gone[name]; {
		case found[name]:
		case was:
			errs = append(errs, fmt.Errorf("no mapping of %s has named %s since %s: restore the mapping, and run the set once",
				r.Set, text.Line(name, maxNamed), at.UTC().Format(time.RFC3339)))
		default:
			errs = append(errs, fmt.Errorf("%s is not among the destinations in the record of %s: name one as its mapping does, with the tag, or its repository",
				text.Line(name, maxNamed), r.Set))
		}
	}
	return all, errors.Join(errs...)
}

// refuse notes why a tag stays as it is. That is an error only if somebody named the tag.
func (r *Rollback) refuse(t *Tag, why string) {
	if len(r.options.Names) > 0 {
		t.Err = errors.New(why)
		return
	}
	t.Left = why
}

// mappings are those of a set, by the name of the destination: with a tag, or without for
// wildcards.
type mappings map[string][]*mapping.Mapping

func mappingsOf(set *imageset.Set) mappings {
	by := mappings{}
	for i := range set.Mappings {
		m := &set.Mappings[i]
		by[m.Destination.String()] = append(by[m.Destination.String()], m)
	}
	return by
}

// check sets the tag's names, or returns why it may not move. What the record says of the source
// does not count: the mapping does.
func (by mappings) check(set *imageset.Set, t *Tag) (why string) {
	at, err := reference.Parse(t.Name)
	switch {
	case err != nil || at.Digest != "" || at.Tag == "":
		return "it has no tag that could move"
	case set.Settings.Keeps(at.Tag):
		return "its tag is immutable: remove it from spec.immutable in the set's settings.yaml first"
	}
	for _, m := range by[at.String()] {
		t.at, t.source = at, m.Source
		return ""
	}
	for _, m := range by[at.Name()] {
		if m.Source.Wildcard() && m.Source.Match(at.Tag) {
			t.at, t.source = at, m.Source.WithTag(at.Tag)
			return ""
		}
	}
	return "no mapping of the set names it any more"
}
