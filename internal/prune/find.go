package prune

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"imagemirror/internal/record"
	"imagemirror/internal/reference"
	"imagemirror/internal/text"
)

// A Question is what Find decides by.
type Question struct {
	Record *record.Record
	Others []*record.Record // of other sets
	Now    time.Time
	After  time.Duration          // for which no mapping has named a tag
	Wanted func(name string) bool // whether a mapping names a destination, of this set or of another
}

// An UnwantedTag is a tag that no mapping wants and that runs of the set have pushed.
type UnwantedTag struct {
	Tag     reference.Reference
	Since   time.Time // when no mapping named it any more
	Digests []string  // that runs pushed
	Reason  string
	With    []With // additional tags and kept images
}

// Find returns the tags that no mapping has wanted for q.After, by name. It leaves images
// without a tag, tags that no run pushed, and tags that anything uses.
func Find(q Question) (found []UnwantedTag, left []Left) {
	f := &tagUsage{Question: q, used: map[string]bool{}}
	for _, d := range q.Record.Destinations {
		if f.isWanted(d) || f.refusal(d) != "" {
			f.use(d)
		}
	}
	for _, r := range q.Others {
		for _, d := range r.Destinations {
			if d.Gone.IsZero() || q.Now.Sub(d.Gone) < q.After {
				f.use(d)
			}
		}
	}
	for _, d := range q.Record.Destinations {
		switch why := f.refusal(d); {
		case d.Gone.IsZero():
		case f.isWanted(d):
			left = append(left, Left{Tag: d.Name, Why: "a mapping names it now"})
		case why != "":
			left = append(left, Left{Tag: d.Name, Why: why})
		case f.used[d.Name]:
			left = append(left, Left{Tag: d.Name, Why: "by the records it is a destination of another set, or goes with one that is in use"})
		default:
			found = append(found, f.candidate(d))
		}
	}
	return found, left
}

// A tagUsage knows which tags something uses. They are never deleted.
type tagUsage struct {
	Question
	used map[string]bool
}

// isWanted reports whether a mapping names the destination, or did in the last run.
func (f *tagUsage) isWanted(d *record.Destination) bool { return d.Gone.IsZero() || f.Wanted(d.Name) }

// use notes that a destination and its additional tags are used.
func (f *tagUsage) use(d *record.Destination) {
	f.used[d.Name] = true
	at, err := reference.Parse(d.Name)
	if err != nil {
		return
	}
	for _, m := range d.Moves {
		for _, tag := range m.Tags {
			f.used[at.WithTag(tag).String()] = true
		}
		if m.Kept != "" {
			f.used[at.WithTag(m.Kept).String()] = true
		}
	}
}

// refusal returns why a destination that no mapping wants is left, or "".
func (f *tagUsage) refusal(d *record.Destination) string {
	at, err := reference.Parse(d.Name)
	switch {
	case err != nil || at.Tag == "" || at.Digest != "":
		return "it has no tag: what is pushed by its digest is left to the registry's clean-up"
	case f.Now.Sub(d.Gone) < f.After:
		return fmt.Sprintf("no mapping has named it since %s, and prune.after is %s", d.Gone.UTC().Format(time.RFC3339), text.Duration(f.After))
	case !d.Pushed():
		return "no run of the set has pushed it, as far as the record tells"
	}
	return ""
}

// candidate returns the tag of a destination, with what is deleted with it.
func (f *tagUsage) candidate(d *record.Destination) UnwantedTag {
	at, _ := reference.Parse(d.Name) // as refusal has found
	c := UnwantedTag{Tag: at, Since: d.Gone.UTC(), Reason: "no mapping of the set names it"}
	if d.File != "" {
		c.Reason += text.Clip(fmt.Sprintf("; the last was %s:%d, with the source %s", d.File, d.Line, d.Source), maxText/2)
	}
	if d.Hold != nil {
		c.Reason += "; it is " + d.Hold.Story()
	}
	for i, m := range d.Moves {
		if !m.Wrote {
			continue
		}
		c.Digests = append(c.Digests, m.Digest)
		for _, tag := range m.Tags {
			f.with(&c, With{Kind: Additional, Tag: tag, Digest: m.Digest})
		}
		// The image before is only the set's own if a run pushed that, too.
		if m.Kept != "" && i > 0 && d.Moves[i-1].Wrote {
			f.with(&c, With{Kind: Kept, Tag: m.Kept, Digest: d.Moves[i-1].Digest})
		}
	}
	return c
}

// with adds a tag, unless something uses it. A later move may have moved it: then the later counts.
func (f *tagUsage) with(c *UnwantedTag, w With) {
	name := c.Tag.WithTag(w.Tag).String()
	if f.used[name] || f.Wanted(name) || name == c.Tag.String() {
		return
	}
	c.With = slices.DeleteFunc(c.With, func(other With) bool { return other.Tag == w.Tag })
	if len(c.With) < maxWith/2 {
		c.With = append(c.With, w)
	}
}

// isCompanion reports whether a tag is one that refers to an image by its digest: cosign's, or that
// of the index of referrers in a registry without the referrers API.
func isCompanion(tag, digest string) bool {
	return slices.Contains(digestTags(digest), tag)
}

// digestTags returns the tags that refer to an image by its digest.
func digestTags(digest string) []string {
	base := strings.Replace(digest, ":", "-", 1)
	return []string{base, base + ".sig", base + ".att", base + ".sbom"}
}
