package stream

import (
	"errors"
	"strings"
)

// A faulty error knows which side is at fault and what to do about it.
type faulty interface {
	error
	Fault() (side string, status int, advice string)
}

// ErrorOf returns the Error of a Result for err.
func ErrorOf(err error) *Error {
	e := &Error{Message: strings.Join(strings.Fields(err.Error()), " ")}
	var f faulty
	if errors.As(err, &f) {
		e.Side, e.Status, e.Advice = f.Fault()
	}
	return e
}

// WithAdvice returns an error that is no registry's fault, with what to do about it.
func WithAdvice(message, advice string) error { return faultless{message, advice} }

type faultless struct{ message, advice string }

func (a faultless) Error() string { return a.message }

func (a faultless) Fault() (side string, status int, advice string) { return "", 0, a.advice }
