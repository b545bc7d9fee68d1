package plan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"imagemirror/internal/fault"
	"imagemirror/internal/reference"
	"imagemirror/internal/regerror"
	"imagemirror/internal/retry"
)

// Limits is the part of the environment that bounds how long a plan takes.
type Limits struct {
	Deadline time.Duration `default:"0" desc:"time for the registries' answers, after which mappings without one fail; 0 is any"`
}

// Check reports an invalid value.
func (l Limits) Check() error {
	if l.Deadline < 0 {
		return fmt.Errorf("MIRROR_DEADLINE is %s: give a duration such as 8m, or 0", l.Deadline)
	}
	return nil
}

// errDeadline is the cause of requests that end with the deadline.
var errDeadline = errors.New("the deadline is over")

// within returns a context that ends with the deadline, if there is one.
func (l Limits) within(ctx context.Context) (context.Context, context.CancelFunc) {
	if l.Deadline == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, l.Deadline, errDeadline)
}

// A question is what one registry is being asked.
type question struct {
	side  reference.Side
	host  string
	since time.Time
}

func ask(side reference.Side, host string) question { return question{side, host, time.Now()} }

// A lateError is the cause of a question without an answer at the deadline.
type lateError struct {
	kind             fault.Kind
	host             string
	waited, deadline time.Duration
	pause            time.Duration // that the host asks for with Retry-After; or 0
}

func (e *lateError) Error() string {
	if e.pause > 0 {
		return fmt.Sprintf("%s asks to wait %s, and planning has %s in all (MIRROR_DEADLINE)", e.host, e.pause, e.deadline)
	}
	return fmt.Sprintf("waited %s for %s, and planning has %s in all (MIRROR_DEADLINE)", e.waited.Round(time.Second), e.host, e.deadline)
}

// Kind returns what kind of failure the error is the cause of.
func (e *lateError) Kind() fault.Kind { return e.kind }

// Advice returns what a person can do about the error.
func (e *lateError) Advice() string {
	if e.pause > 0 {
		return "lower MIRROR_CONCURRENCY or set MIRROR_RATE, or mirror less often; or raise MIRROR_DEADLINE"
	}
	return fmt.Sprintf("check why %s does not answer in time; if it is only slow, raise MIRROR_DEADLINE", e.host)
}

// explain returns the error of a question, whose own error is err, or nil if it was not asked any
// more. If the deadline is the reason, it says which host was waited for, and how long.
func (r *resolver) explain(ctx context.Context, q question, err error) error {
	switch cause := context.Cause(ctx); {
	case cause != nil && cause != errDeadline:
		return ErrInterrupted
	case err == nil && cause == nil, err != nil && !misses(ctx, err):
		return err
	}
	late := &lateError{kind: fault.Deadline, host: q.host, waited: time.Since(q.since), deadline: r.Deadline}
	var known *regerror.Error
	if !errors.As(err, &known) {
		return fault.New(fault.Fault{Kind: fault.Deadline, Side: q.side, Host: q.host, Advice: late.Advice()}, late.Error())
	}
	e := *known
	if !errors.Is(err, errDeadline) {
		late.kind = known.Kind() // why it was asked again and again
	}
	late.host = cmp.Or(e.Host, q.host)
	if end, ok := ctx.Deadline(); ok && time.Until(end) < e.After {
		late.pause = e.After
	}
	e.Err = late
	return &e
}

// longestBackoff is the longest wait before a registry is asked again that does not ask for one.
const longestBackoff = 10 * time.Second

// misses reports whether err means that no answer came, or none can, before the deadline.
func misses(ctx context.Context, err error) bool {
	if errors.Is(err, errDeadline) || errors.Is(err, retry.ErrTooLong) {
		return true
	}
	end, ok := ctx.Deadline()
	var e *regerror.Error
	return ok && errors.As(err, &e) && e.Transient() && time.Until(end) < max(e.After, longestBackoff)
}
