package selection

import (
	"cmp"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// A candidate is a tag that may be one of the newest.
type candidate struct {
	index   int
	tag     string
	version *semver.Version // nil unless versions decide
}

// newest keeps the newest of many tags. It holds about twice as many as it keeps.
type newest struct {
	rule *Filter
	most int
	held []candidate
}

// leastHeld is how many candidates are held before they are sorted for the first time.
const leastHeld = 1000

func (n *newest) add(index int, tag string) {
	c := candidate{index: index, tag: tag}
	if n.rule.versioned() && n.rule.By != ByName {
		c.version = version(tag)
	}
	if n.held = append(n.held, c); len(n.held) >= max(2*n.most, leastHeld) {
		n.held = n.sorted()
	}
}

// sorted returns the newest, newest first.
func (n *newest) sorted() []candidate {
	slices.SortFunc(n.held, func(a, b candidate) int {
		if a.version != nil && b.version != nil {
			if d := b.version.Compare(a.version); d != 0 {
				return d
			}
		}
		return Compare(b.tag, a.tag)
	})
	clear(n.held[min(n.most, len(n.held)):])
	return n.held[:min(n.most, len(n.held))]
}

// Compare orders two tags by name, with digits in them as numbers: v1.9 is before v1.10. Tags that
// differ only in the zeros before a number are in the order of their bytes.
func Compare(a, b string) int {
	for x, y := a, b; ; {
		if x == "" || y == "" {
			return cmp.Or(len(x)-len(y), strings.Compare(a, b))
		}
		n, m := digits(x), digits(y)
		if n == 0 || m == 0 {
			if x[0] != y[0] {
				return cmp.Compare(x[0], y[0])
			}
			x, y = x[1:], y[1:]
			continue
		}
		left, right := strings.TrimLeft(x[:n], "0"), strings.TrimLeft(y[:m], "0")
		if d := cmp.Or(len(left)-len(right), strings.Compare(left, right)); d != 0 {
			return d
		}
		x, y = x[n:], y[m:]
	}
}

// digits returns how many digits s begins with.
func digits(s string) int {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return i
		}
	}
	return len(s)
}
