package progress

import (
	"strings"
	"time"
)

const (
	logEvery    = 30 * time.Second // between two log lines about what goes on
	sampleEvery = time.Second      // between two looks at what is waited for
)

// A pulse calls a function every half minute. Meanwhile it finds out, from samples, which registry
// is waited for most.
type pulse struct {
	waits func() []shownWait
	log   func(slowest string, held []crowd)
	stop  chan struct{}
	over  chan struct{}
}

// newPulse starts to sample waits, and to call log.
func newPulse(waits func() []shownWait, log func(slowest string, held []crowd)) *pulse {
	p := &pulse{waits: waits, log: log, stop: make(chan struct{}), over: make(chan struct{})}
	go p.serve()
	return p
}

func (p *pulse) serve() {
	defer close(p.over)
	next := time.NewTicker(sampleEvery)
	defer next.Stop()
	samples, blamed := 0, blame{}
	for {
		select {
		case <-p.stop:
			return
		case now := <-next.C:
			all := p.waits()
			blamed.sample(all)
			if samples++; samples == int(logEvery/sampleEvery) {
				p.log(blamed.slowest(), crowds(all, now))
				samples, blamed = 0, blame{}
			}
		}
	}
}

// end returns once log is called no more.
func (p *pulse) end() {
	close(p.stop)
	<-p.over
}

// attrsOf returns the attributes of a log line for what is waited for, if anything is.
func attrsOf(slowest string, held []crowd) (attrs []any) {
	if slowest != "" {
		attrs = append(attrs, "slowest", slowest)
	}
	now := time.Now()
	var said []string
	for _, c := range held[:min(len(held), maxCrowds)] {
		said = append(said, c.say(now, maxText))
	}
	if len(said) > 0 {
		attrs = append(attrs, "waiting", strings.Join(said, "; "))
	}
	return attrs
}
