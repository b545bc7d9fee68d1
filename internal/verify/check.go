package verify

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"imagemirror/internal/digest"
	"imagemirror/internal/text"
)

// A Demand is what settings or a policy ask of images.
type Demand struct {
	At               string    // FILE:LINE, for messages
	Signers          []*Signer // alternatives: one has to be met. None demand no signature
	Attestations     []string  // predicate types, each of which the same signer has to have attested
	AttestationsOnly bool      // attestations suffice
	MinAge           time.Duration
}

// wants reports whether a claim with a predicate type counts.
func (d *Demand) wants(predicate string) bool {
	return predicate == signPredicate && !d.AttestationsOnly || slices.Contains(d.Attestations, predicate)
}

// Attests reports whether attestations are demanded.
func (d *Demand) Attests() bool { return len(d.Attestations) > 0 }

// A Check verifies one image. One goroutine at a time may use it.
type Check struct {
	digest  string // of the image, in hexadecimal
	sum     []byte
	demands []*demandState
	seen    int // candidates
	bytes   int64
}

// A demandState is how far a demand is met.
type demandState struct {
	*Demand
	signers      []signed
	signatures   int             // that were read
	attestations int             // that were read
	others       map[string]bool // predicate types of attestations that are not wanted
	best         *miss           // of those that were read
	unread       string          // why something was not read
}

// A signed is what a signer has signed.
type signed struct {
	predicates map[string]bool
	at         time.Time // the earliest that is vouched for
}

// NewCheck returns the check of the image with a digest.
func NewCheck(of string, demands []*Demand) *Check {
	sum, _ := digest.Parse(of)
	c := &Check{sum: sum[:]}
	c.digest, _ = hexOfDigest(of)
	for _, d := range demands {
		if len(d.Signers) == 0 {
			continue
		}
		p := &demandState{Demand: d, signers: make([]signed, len(d.Signers)), others: map[string]bool{}}
		for i := range p.signers {
			p.signers[i].predicates = map[string]bool{}
		}
		c.demands = append(c.demands, p)
	}
	return c
}

// Done reports whether all demands are met, so that nothing more need be read.
func (c *Check) Done() bool {
	return !slices.ContainsFunc(c.demands, func(p *demandState) bool { return p.met() == nil })
}

// met returns the signer that meets the demand, or nil.
func (p *demandState) met() *signed {
	for i := range p.signers {
		s := &p.signers[i]
		missing := func(predicate string) bool { return !s.predicates[predicate] }
		if (p.AttestationsOnly || s.predicates[signPredicate]) && !slices.ContainsFunc(p.Attestations, missing) {
			return s
		}
	}
	return nil
}

// Attests reports whether a demand that is not met is for attestations.
func (c *Check) Attests() bool {
	return slices.ContainsFunc(c.demands, func(p *demandState) bool { return p.met() == nil && p.Attests() })
}

// Signed returns the earliest time by which the image was signed, as a log or a timestamp
// authority vouches. It returns the zero time if none does.
func (c *Check) Signed() time.Time {
	var first time.Time
	for _, p := range c.demands {
		if s := p.met(); s != nil && !s.at.IsZero() && (first.IsZero() || s.at.Before(first)) {
			first = s.at
		}
	}
	return first
}

// Wants reports whether the content of a candidate is to be read. It counts what is read.
func (c *Check) Wants(d Candidate) bool {
	most := int64(MaxSignature)
	if c.Attests() && d.predicate != signPredicate {
		most = MaxAttestation
	}
	wanted := false
	for _, p := range c.demands {
		switch {
		case p.met() != nil:
		case d.predicate != "" && !p.wants(d.predicate):
			p.other(d.predicate)
		case c.seen >= MaxCandidates:
			p.unread = fmt.Sprintf("there are more than %d, and no more are read", MaxCandidates)
		case d.Size > most:
			p.unread = fmt.Sprintf("one of %s is not read, since at most %s are", text.Size(d.Size), text.Size(most))
		case c.bytes+d.Size > MaxBytes:
			p.unread = fmt.Sprintf("all together have more than %s, and no more is read", text.Size(MaxBytes))
		default:
			wanted = true
		}
	}
	if wanted {
		c.seen++
		c.bytes += d.Size
	}
	return wanted
}

// other notes an attestation that is not wanted.
func (p *demandState) other(predicate string) {
	if predicate != signPredicate {
		p.others[predicate] = true
	}
}

func (p *demandState) miss(m *miss) {
	if p.best == nil || m.rank >= p.best.rank {
		p.best = m
	}
}

// Add verifies the content of a candidate, which has its digest.
func (c *Check) Add(d Candidate, content []byte) {
	claimed, err := newClaim(d, content)
	for _, p := range c.demands {
		switch {
		case p.met() != nil:
		case err != nil:
			p.signatures++
			p.miss(&miss{unreadable, text.Line(err.Error(), maxReason)})
		case !p.wants(claimed.predicate):
			p.other(claimed.predicate)
		default:
			p.add(claimed, c)
		}
	}
}

// add verifies a claim that counts.
func (p *demandState) add(claimed *claim, c *Check) {
	if claimed.predicate == signPredicate {
		p.signatures++
	} else {
		p.attestations++
	}
	for i, s := range p.Signers {
		at, m := s.accept(claimed, c.sum, c.digest)
		if m != nil {
			p.miss(m)
			continue
		}
		to := &p.signers[i]
		to.predicates[claimed.predicate] = true
		if !at.IsZero() && (to.at.IsZero() || at.Before(to.at)) {
			to.at = at
		}
	}
}

// Err returns what was found and what is wanted, as an Unverified error, or nil if all demands are
// met.
func (c *Check) Err() error {
	for _, p := range c.demands {
		if p.met() == nil {
			return &Unverified{Found: p.had(), Wanted: p.String(), At: p.At}
		}
	}
	return nil
}

// An Unverified error is a demand that an image does not meet.
type Unverified struct{ Found, Wanted, At string }

func (u *Unverified) Error() string {
	return fmt.Sprintf("found %s; wanted %s (%s)", u.Found, u.Wanted, u.At)
}

// had returns what was found.
func (p *demandState) had() string {
	found := p.good()
	if found == "" {
		found = p.bad()
	}
	if p.unread != "" {
		found += "; " + p.unread
	}
	return found
}

// good describes the wanted signatures that were found. It returns "" if there are none.
func (p *demandState) good() string {
	var by []string
	for i, s := range p.signers {
		if len(s.predicates) > 0 {
			by = append(by, strings.Join(words(s.predicates), " and ")+" by "+p.Signers[i].name)
		}
	}
	if len(by) == 0 {
		return ""
	}
	found := "only " + strings.Join(by, ", and ") + p.unwanted()
	if p.best != nil {
		found += "; another is not good: " + p.best.text
	}
	return found
}

// bad describes what was found if none of it is wanted.
func (p *demandState) bad() string {
	switch {
	case p.signatures+p.attestations == 0 && p.AttestationsOnly:
		return "no attestation" + p.unwanted()
	case p.signatures+p.attestations == 0:
		return "no signature" + p.unwanted()
	case p.attestations == 0 && p.signatures == 1:
		return "a signature: " + p.best.text
	case p.signatures == 0 && p.attestations == 1:
		return "an attestation: " + p.best.text
	}
	var all []string
	if p.signatures > 0 {
		all = append(all, text.Count(p.signatures, "signature"))
	}
	if p.attestations > 0 {
		all = append(all, text.Count(p.attestations, "attestation"))
	}
	return strings.Join(all, " and ") + ", and none is good; the closest: " + p.best.text
}

// unwanted lists attestations that are not wanted.
func (p *demandState) unwanted() string {
	if len(p.others) == 0 {
		return ""
	}
	const most = 3
	var list []string
	for _, k := range kinds(p.others) {
		list = append(list, text.Line(cmp.Or(k, "no type"), 100))
	}
	return ", and attestations of " + strings.Join(list[:min(len(list), most)], ", ")
}

// words returns predicate types as people call them.
func words(predicates map[string]bool) []string {
	var list []string
	for _, k := range kinds(predicates) {
		if k == signPredicate {
			list = append(list, "a signature")
		} else {
			list = append(list, "the attestation "+k)
		}
	}
	return list
}

// String returns what is wanted.
func (d *Demand) String() string {
	all := map[string]bool{}
	if !d.AttestationsOnly {
		all[signPredicate] = true
	}
	for _, a := range d.Attestations {
		all[a] = true
	}
	var by []string
	for _, s := range d.Signers {
		by = append(by, s.name)
	}
	const most = 3
	more := ""
	if n := len(by) - most; n > 0 {
		by, more = by[:most], fmt.Sprintf(" or %d more", n)
	}
	return strings.Join(words(all), " and ") + " by " + strings.Join(by, " or ") + more
}

// Wanted reports whether a demand that is not met is for attestations, or else for a signature.
func (c *Check) Wanted(attestations bool) bool {
	return slices.ContainsFunc(c.demands, func(p *demandState) bool {
		return p.met() == nil && (attestations && p.Attests() || !attestations && !p.AttestationsOnly)
	})
}
