package stream

import (
	"errors"
	"strings"

	"imagemirror/internal/reference"
	"imagemirror/internal/secret"
)

// A faulty error knows which side is at fault and what to do about it.
type faulty interface {
	error
	Fault() (side string, status int, advice string)
}

// ErrorOf returns the Error of a Result for err, without secrets.
func ErrorOf(err error) *Error {
	e := &Error{Message: strings.Join(strings.Fields(secret.Hide(err.Error())), " ")}
	var f faulty
	if errors.As(err, &f) {
		e.Side, e.Status, e.Advice = f.Fault()
		e.Advice = secret.Hide(e.Advice)
	}
	return e
}

// WithAdvice returns an error that is no registry's fault, with what to do about it.
func WithAdvice(message, advice string) error { return Blame("", message, advice) }

// Blame returns an error that is the fault of one side, with what to do about it.
func Blame(side reference.Side, message, advice string) error {
	return advised{string(side), message, advice}
}

type advised struct{ side, message, advice string }

func (a advised) Error() string { return a.message }

func (a advised) Fault() (side string, status int, advice string) { return a.side, 0, a.advice }
