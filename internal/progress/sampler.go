package progress

import (
	"strings"
	"time"
)

const (
	logEvery    = 30 * time.Second // between two log lines about what goes on
	sampleEvery = time.Second      // between two looks at what is waited for
)

// A sampler calls a function every half minute. Meanwhile it finds out, from samples, which
// registry is waited for most.
type sampler struct {
	waits func() []shownWait
	log   func(slowest string, held []crowd)
	stop  chan struct{}
	over  chan struct{}
}

// newSampler starts to sample waits, and to call log.
func newSampler(waits func() []shownWait, log func(slowest string, held []crowd)) *sampler {
	s := &sampler{waits: waits, log: log, stop: make(chan struct{}), over: make(chan struct{})}
	go s.serve()
	return s
}

func (s *sampler) serve() {
	defer close(s.over)
	next := time.NewTicker(sampleEvery)
	defer next.Stop()
	samples, blamed := 0, blame{}
	for {
		select {
		case <-s.stop:
			return
		case now := <-next.C:
			all := s.waits()
			blamed.sample(all)
			if samples++; samples == int(logEvery/sampleEvery) {
				s.log(blamed.slowest(), crowds(all, now))
				samples, blamed = 0, blame{}
			}
		}
	}
}

// end returns once log is called no more.
func (s *sampler) end() {
	close(s.stop)
	<-s.over
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
