package registrytest

import (
	"math/rand/v2"
	"net/http"
	"regexp"
	"sync"
)

// A FaultRule selects the requests that a fault strikes. A zero field excludes none.
type FaultRule struct {
	Name   string         // for the log
	Kind   string         // see Request
	Path   *regexp.Regexp // of the path with the query
	Match  func(*http.Request) bool
	After  int     // let this many requests pass first
	Times  int     // strike at most this often; 0: always
	Chance float64 // strike with this probability; 0: always
	Fault  Fault
}

// A Fault is something that goes wrong: it wraps the handler that would answer.
type Fault func(next http.Handler) http.Handler

func (r FaultRule) matches(req *http.Request, at operation) bool {
	return (r.Kind == "" || r.Kind == at.kind) &&
		(r.Path == nil || r.Path.MatchString(req.URL.RequestURI())) &&
		(r.Match == nil || r.Match(req))
}

// faults are the rules of a Proxy.
type faults struct {
	mu     sync.Mutex
	rules  []*activeRule
	random *rand.Rand
}

// An activeRule is a rule with its counters.
type activeRule struct {
	FaultRule
	seen, struck int
}

func newFaults(seed uint64) faults { return faults{random: rand.New(rand.NewPCG(seed, 0))} }

func (f *faults) add(rules []FaultRule) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range rules {
		f.rules = append(f.rules, &activeRule{FaultRule: r})
	}
}

func (f *faults) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = nil
}

// strike returns the rule that acts on a request, or nil.
func (f *faults) strike(r *http.Request, at operation) *FaultRule {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, rule := range f.rules {
		if rule.matches(r, at) && rule.due(f.random) {
			return &rule.FaultRule
		}
	}
	return nil
}

func (a *activeRule) due(random *rand.Rand) bool {
	a.seen++
	if a.seen <= a.After || a.Times > 0 && a.struck >= a.Times || a.Chance > 0 && random.Float64() >= a.Chance {
		return false
	}
	a.struck++
	return true
}
