package plan

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"imagemirror/internal/manifest"
	"imagemirror/internal/reference"
	"imagemirror/internal/settings"
)

// askSource pins the digest of a source. If a destination lacks it, it reads the manifests too.
func (r *resolver) askSource(ctx context.Context, g *group, all, targets []*target) error {
	early := !slices.ContainsFunc(targets, func(t *target) bool { return t.old != "" || t.askedLater() })
	if early {
		decide(all, targets)
	}
	from := targets[0].from
	for _, t := range targets {
		t.asked = ask(reference.Source, from.Registry())
	}
	im := r.trees.image(from, setsOf(targets))
	defer im.endPulls()
	digest, known, err := r.pin(ctx, im, g, targets)
	if err != nil {
		return err
	}
	r.narrow(ctx, im, digest, known, targets)
	copying := changed(targets, digest)
	if !early {
		decide(all, copying)
	}
	if len(copying) == 0 {
		r.verify(ctx, from, digest, targets)
		return nil
	}
	var listed sync.WaitGroup
	travels := func(t *target) bool { return t.referrers.Copy != settings.CopyNone }
	if slices.ContainsFunc(copying, travels) && (known == nil || known.err == nil) {
		listed.Go(func() { r.companionsOf(ctx, from) }) // while the manifests below are read
	}
	defer listed.Wait()
	im.beginPulls(ctx, digest)
	r.readAll(ctx, im, digest, known, copying)
	for _, t := range copying {
		t.err = cmp.Or(t.err, t.closed(im))
	}
	copying = slices.DeleteFunc(copying, func(t *target) bool { return t.err != nil })
	r.ahead.note(true, undemanding(copying)...)
	r.attach(ctx, from, copying)
	r.verify(ctx, from, digest, targets)
	r.ahead.note(true, good(copying)...)
	r.nameTags(ctx, from, copying)
	return nil
}

// changed returns the targets that need a copy, since their source has the digest. It fails those
// whose tag is immutable and would move.
func changed(targets []*target, digest string) (copying []*target) {
	for _, t := range targets {
		switch {
		case t.err != nil || t.isHeld(digest, t.digest) || t.current() || t.mayBeHeld():
		case t.old != "" && t.mayBeKept():
			t.err = t.unverifiable(digest)
		case t.immutable && t.old != "" && t.old != t.digest:
			t.err = t.moved()
		default:
			copying = append(copying, t)
		}
	}
	return copying
}

// current reports whether the destination has what the target gets of its source.
func (t *target) current() bool { return t.digest == t.old && !t.lacksPlatforms(t.old) }

// setsOf returns the sets of targets, each once.
func setsOf(targets []*target) (sets []string) {
	for _, t := range targets {
		if !slices.Contains(sets, t.Set) {
			sets = append(sets, t.Set)
		}
	}
	return sets
}

// decide notes which of the targets will be copied, unless the source fails. Targets whose tags
// do not exist are known before the source has answered. Only the first call counts.
func decide(all, copying []*target) {
	for _, t := range copying {
		t.copying = true
	}
	for _, t := range all {
		if t.undecided != nil {
			t.undecided.Done()
			t.undecided = nil
		}
	}
}

// pin returns the digest of a source. All targets of a source get the same one, also those whose
// destinations answer late: its tag may have moved since the others asked.
func (r *resolver) pin(ctx context.Context, im *imageTree, g *group, targets []*target) (digest string, known *archived, err error) {
	g.pinning.Lock()
	defer g.pinning.Unlock()
	source := g.source
	source.Digest = cmp.Or(source.Digest, g.pinned)
	switch {
	case slices.ContainsFunc(targets, (*target).changes):
		digest, known, err = r.pinChanged(ctx, im, source, targets)
	case source.Digest != "":
		return source.Digest, nil, nil
	default:
		digest, known, err = r.pinTag(ctx, im, g, targets)
	}
	if err == nil {
		g.pinned = digest
	}
	return digest, known, err
}

// pinTag returns the digest of a source's tag, with the cheapest request: HEAD if all destinations
// exist and may be current, or else GET, whose response is needed anyway. A destination that gets a
// changed index always needs GET.
func (r *resolver) pinTag(ctx context.Context, im *imageTree, g *group, targets []*target) (digest string, known *archived, err error) {
	for _, t := range targets {
		if t.old == "" {
			known = &archived{}
			im.beginPulls(ctx, g.source.Tag)
			err = im.from.UseManifest(ctx, g.source.Tag, func(m manifest.Raw) { digest, known.err = m.Digest, im.keep(m) })
			return digest, known, err
		}
	}
	if r.pinsIndex(ctx, im.from, targets) {
		known = &archived{}
		err = im.from.UseManifest(ctx, g.source.Tag, func(m manifest.Raw) { digest, known.err = m.Digest, r.keepIfNew(im, m, targets) })
		return digest, known, err
	}
	digest, g.greeting = g.greeting.wait(), nil
	if digest != "" {
		return digest, nil, nil
	}
	digest, err = im.from.Head(ctx, g.source.Tag)
	return digest, nil, err
}
