package report

import (
	"fmt"
	"slices"

	"imagemirror/internal/stream"
)

// maxClaims bounds what is kept of the results of one mapping. A shard that is tried again
// leaves three at most: failed, copied and current.
const maxClaims = 8

// An agreement compares the results of a mapping with its plan. Streams come in any order, so
// it collects what they say, and judges at the end.
type agreement struct {
	inPlan    bool        // a plan names the mapping
	planned   *statement  // by the plan; without a status if copy has to move the image
	twoPlans  bool        // plans do not say the same
	resultsOf string      // shards of a stream of results that names the mapping
	claims    []statement // results of copy that differ
}

// A statement is what a plan or copy says of a mapping.
type statement struct{ status, digest string }

// plan notes what a plan says.
func (a *agreement) plan(status, digest string) {
	one := statement{status, digest}
	a.twoPlans = a.twoPlans || a.planned != nil && *a.planned != one
	a.planned = &one
}

// decided reports whether a plan says that no copy is needed, or possible.
func (a *agreement) decided() bool { return a.planned != nil && a.planned.status != "" }

// hear notes a result of copy.
func (a *agreement) hear(r stream.Result) {
	one := statement{r.Status, r.Digest}
	if len(a.claims) < maxClaims && !slices.Contains(a.claims, one) {
		a.claims = append(a.claims, one)
	}
}

// disagreement returns why the results of a mapping cannot be believed, or "". whole tells
// that all of the plan is known.
func (a *agreement) disagreement(whole bool) string {
	switch {
	case a.twoPlans:
		return "two plans of the run disagree about it"
	case !a.inPlan && whole:
		return "there is a result, but the plan does not have this mapping"
	case a.decided() && a.planned.status == stream.Current && a.planned.digest == "":
		return "the plan says current, but has no digest"
	}
	first := ""
	for _, c := range a.claims {
		if why := a.judge(c, first); why != "" {
			return why
		}
		if c.arrived() {
			first = c.digest
		}
	}
	return ""
}

// judge returns what is wrong with one result, or "". first is the digest of another one that
// did not fail, if there is one.
func (a *agreement) judge(c statement, first string) string {
	switch {
	case a.decided() && c != *a.planned:
		return fmt.Sprintf("the result is %s, but the plan says %s", c, *a.planned)
	case a.decided() || !c.arrived():
		return ""
	case a.planned != nil && c.digest == "":
		return "the result has no digest, the plan says " + a.planned.digest
	case a.planned != nil && c.digest != a.planned.digest:
		return fmt.Sprintf("the result is of digest %s, the plan says %s", c.digest, a.planned.digest)
	case c.digest == "":
		return fmt.Sprintf("the result is %s, but has no digest", c.status)
	case first != "" && c.digest != first:
		return fmt.Sprintf("one result is of digest %s, and another of %s", first, c.digest)
	}
	return ""
}

// arrived reports whether the destination has the image, by the statement.
func (c statement) arrived() bool { return c.status == stream.Copied || c.status == stream.Current }

func (c statement) String() string {
	if c.digest == "" {
		return c.status
	}
	return c.status + " at " + c.digest
}
