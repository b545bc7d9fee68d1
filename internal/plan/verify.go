package plan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"imagemirror/internal/fault"
	"imagemirror/internal/manifest"
	"imagemirror/internal/reference"
	"imagemirror/internal/registry"
	"imagemirror/internal/stream"
	"imagemirror/internal/text"
	"imagemirror/internal/verify"
)

// verifyTime bounds how long the signatures of one image are read.
const verifyTime = 10 * time.Minute

// A verification is the check of one image against demands. Images with several tags are verified
// once.
type verification struct {
	once   sync.Once
	check  *verify.Check
	failed error // why not all could be read
}

// A verified identifies a verification: demands are those of one rule each, and a line of settings
// may have several.
type verified struct{ repository, digest, demands string }

// verify fails the targets whose source's image, which has the digest, does not meet their
// demands. It asks nothing if there are no demands.
func (r *resolver) verify(ctx context.Context, from *registry.Repository, digest string, targets []*target) {
	for _, t := range targets {
		if t.err != nil || t.held != "" || len(t.demands) == 0 {
			continue
		}
		v := r.verificationOf(from, digest, t.demands)
		v.once.Do(func() {
			if v.check.Done() {
				return
			}
			within, cancel := context.WithTimeout(ctx, verifyTime)
			defer cancel()
			s := &signatureReader{resolver: r, from: from, digest: digest, check: v.check, attached: t.attached, complete: t.hasAll(digest)}
			v.failed = s.read(within)
		})
		t.err = v.err(from, digest)
		if t.err == nil && !t.current() && !r.ageless {
			t.err = t.tooNew(from, digest, v.check.Signed())
		}
	}
}

// verifyKept verifies the targets whose source was not asked, because what is at their destination
// stays. The source of a changed index is known only from the record.
func (r *resolver) verifyKept(ctx context.Context, targets, asked []*target) {
	for _, t := range targets {
		if t.err == nil && t.digest != "" && !slices.Contains(asked, t) {
			r.verify(ctx, t.from, cmp.Or(t.madeOf(), t.digest), []*target{t})
		}
	}
}

// madeOf returns the digest of the source's index that the destination's image was made from, if an
// earlier run recorded it, or "".
func (t *target) madeOf() string {
	if d := t.recorded; d != nil && d.Digest == t.old {
		return d.Rewritten
	}
	return ""
}

// madeOfUnknown reports whether the destination has a part of an index that has to be signed,
// and no record tells which index that is: only its source can.
func (t *target) madeOfUnknown() bool {
	signed := func(d *verify.Demand) bool { return len(d.Signers) > 0 }
	return t.changes() && t.madeOf() == "" && slices.ContainsFunc(t.demands, signed)
}

// unverifiable returns the error of a target whose tag stays, and whose source does not have what
// that was made of.
func (t *target) unverifiable(digest string) error {
	return fault.New(fault.Fault{
		Kind: fault.Unverified, Side: reference.Source, Host: t.from.Registry(),
		Advice: "keep a record, or let the tag be removed from the destination, so that it is mirrored again",
	}, fmt.Sprintf("verifying %s@%s: found an image other than the one that the immutable tag %s (%s) was made from; wanted that one, but no record has its digest", t.from.Name(), digest, t.destination.Tag, t.old))
}

// undemanding returns the targets that are copied whatever their signatures are.
func undemanding(targets []*target) []*target {
	return slices.DeleteFunc(slices.Clone(targets), func(t *target) bool { return len(t.demands) > 0 })
}

// good returns the targets that have not failed.
func good(targets []*target) []*target {
	return slices.DeleteFunc(slices.Clone(targets), func(t *target) bool { return t.err != nil })
}

// verificationOf returns the verification of an image, which others may have made.
func (r *resolver) verificationOf(from *registry.Repository, digest string, demands []*verify.Demand) *verification {
	at := verified{repository: from.Name(), digest: digest}
	for _, d := range demands {
		at.demands += fmt.Sprintf("%p ", d)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.verified[at] == nil {
		r.verified[at] = &verification{check: verify.NewCheck(digest, demands)}
	}
	return r.verified[at]
}

// err returns why the image does not meet the demands, or nil.
func (v *verification) err(from *registry.Repository, digest string) error {
	err := v.check.Err()
	if err == nil {
		return nil
	}
	if v.failed != nil {
		return v.failed
	}
	return fault.New(fault.Fault{
		Kind: fault.Unverified, Side: reference.Source, Host: from.Registry(),
		Advice: "let the signer sign this digest, or correct the rule",
	}, fmt.Sprintf("verifying %s@%s: %v", from.Name(), digest, err))
}

// hasAll reports whether what travels with the target has all signatures of its source's image.
func (t *target) hasAll(digest string) bool {
	failed := func(a stream.Attachment) bool { return a.Error != nil }
	return t.sought && t.digest == digest && len(t.referrers.Types) == 0 && !slices.ContainsFunc(t.attached, failed)
}

// tooNew returns the error of a target whose image is not as old as is demanded, or nil.
func (t *target) tooNew(from *registry.Repository, digest string, signed time.Time) error {
	now := time.Now()
	since, by := now, "first seen now"
	known := func(at time.Time, as string) {
		if !at.IsZero() && at.Before(since) {
			since, by = at, as+" "+at.UTC().Format(time.RFC3339)
		}
	}
	known(signed, "signed")
	if d := t.recorded; d != nil && d.Fresh == t.digest {
		known(d.FreshSince, "first seen")
	}
	if d := t.recorded; d != nil && d.Digest == t.digest {
		known(d.Since, "first seen")
	}
	for _, d := range t.demands {
		if d.MinAge > 0 && now.Sub(since) < d.MinAge {
			return fault.New(fault.Fault{
				Kind: fault.TooNew, Side: reference.Source, Host: from.Registry(),
				Advice: fmt.Sprintf("wait: a run after %s copies it, if a record is kept", since.Add(d.MinAge).UTC().Format(time.RFC3339)),
			}, fmt.Sprintf("verifying %s@%s: found an image that was %s; wanted one that is %s old (%s)", from.Name(), digest, by, text.Duration(d.MinAge), d.At))
		}
	}
	return nil
}

// A signatureReader reads the signatures and attestations of one image until they suffice.
type signatureReader struct {
	*resolver
	from     *registry.Repository
	digest   string
	check    *verify.Check
	attached []stream.Attachment // that the archive has, with their manifests
	complete bool                // attached has all that refers to the image
	bundled  int                 // manifests of bundles that were read
}

// read returns why something could not be read that may have sufficed, or nil.
func (s *signatureReader) read(ctx context.Context) error {
	tags := s.companionsOf(ctx, s.from)
	tag := registry.ReferrersTag(s.digest)
	var failed error
	for _, c := range cosignKinds {
		if c.kind == "sbom" || s.check.Done() || !s.check.Wanted(c.kind == "attestation") {
			continue
		}
		failed = cmp.Or(failed, s.tagged(ctx, tags, tag+c.suffix))
	}
	if s.check.Done() {
		return nil
	}
	return cmp.Or(failed, s.bundles(ctx, tags.presence(tag)))
}

// tagged reads what is under one of cosign's tags.
func (s *signatureReader) tagged(ctx context.Context, tags *companions, tag string) error {
	if i := slices.IndexFunc(s.attached, func(a stream.Attachment) bool { return a.Tag == tag && a.Error == nil }); i >= 0 {
		return s.candidates(ctx, s.archived(s.attached[i].Digest))
	}
	if s.complete {
		return nil
	}
	var content []byte
	there, err := tags.use(ctx, s.from, tag, func(m manifest.Raw) { content = slices.Clone(m.Content) })
	if !there || err != nil {
		return err
	}
	return s.candidates(ctx, content)
}

// archived returns a manifest that travels with the image.
func (s *signatureReader) archived(digest string) []byte {
	ref, _, _ := s.trees.archive.Find(digest)
	_, content := s.trees.archive.Content(ref)
	return content
}

// bundles reads the Sigstore bundles that refer to the image, the last in the list first: an index
// of referrers is appended to. One that cannot be read does not hide the others: lists keep entries
// of what was deleted.
func (s *signatureReader) bundles(ctx context.Context, index registry.Presence) error {
	if s.complete {
		var err error
		for _, a := range slices.Backward(s.attached) {
			if a.Subject == s.digest && verify.IsBundle(a.Kind) && !s.check.Done() {
				err = cmp.Or(err, s.candidates(ctx, s.archived(a.Digest)))
			}
		}
		return err
	}
	list, err := s.from.Referrers(ctx, s.digest, registry.ReferrersQuery{Index: index})
	for _, d := range slices.Backward(list) {
		if !s.check.Done() && (verify.IsBundle(d.ArtifactType) || saysNothing(d.ArtifactType)) {
			err = cmp.Or(err, s.bundle(ctx, d.Digest))
		}
	}
	return err
}

// errManyBundles means that an image has more bundles than are read.
var errManyBundles = errors.New("more manifests refer to the image than are read")

// bundle reads a manifest that refers to the image. That it does is not checked: the signed
// content names its image.
func (s *signatureReader) bundle(ctx context.Context, digest string) error {
	if s.bundled++; s.bundled > verify.MaxCandidates {
		return fault.New(fault.Fault{
			Kind: fault.TooLarge, Side: reference.Source, Host: s.from.Registry(), Advice: "delete old signatures at the source",
		}, fmt.Sprintf("verifying %s@%s: %v, which is %d", s.from.Name(), s.digest, errManyBundles, verify.MaxCandidates))
	}
	m, err := s.from.Manifest(ctx, digest)
	if err != nil {
		return err
	}
	return s.candidates(ctx, m.Content)
}

// candidates verifies the signatures and attestations of a manifest until they suffice.
func (s *signatureReader) candidates(ctx context.Context, content []byte) error {
	list, err := verify.Candidates(content)
	if err != nil {
		return fault.New(fault.Fault{
			Kind: fault.Image, Side: reference.Source, Host: s.from.Registry(), Advice: "sign the image again",
		}, fmt.Sprintf("verifying %s@%s: %v", s.from.Name(), s.digest, err))
	}
	var failed error
	for _, c := range list {
		if !s.check.Done() && s.check.Wants(c) {
			failed = cmp.Or(failed, s.candidate(ctx, c))
		}
	}
	return failed
}

// candidate verifies one signature or attestation. Few are in memory at once.
func (s *signatureReader) candidate(ctx context.Context, c verify.Candidate) error {
	slots := s.configs
	if c.Size > verify.MaxSignature {
		slots = s.large
	}
	slots <- struct{}{}
	defer func() { <-slots }()
	content, err := s.from.SmallBlob(ctx, c.Digest, c.Size)
	if err == nil {
		s.check.Add(c, content)
	}
	return err
}
