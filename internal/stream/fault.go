package stream

import (
	"errors"
	"strings"

	"imagemirror/internal/fault"
	"imagemirror/internal/reference"
	"imagemirror/internal/secret"
)

// A faulty error knows what kind of failure it is, whose fault, and what to do about it.
type faulty interface {
	error
	Fault() fault.Fault
}

// ErrorOf returns the Error of a Result for err, without secrets.
func ErrorOf(err error) *Error {
	e := &Error{Kind: fault.Internal, Message: strings.Join(strings.Fields(secret.Hide(err.Error())), " ")}
	var known faulty
	if errors.As(err, &known) {
		f := known.Fault()
		e.Kind, e.Side, e.Status = f.Kind, string(f.Side), f.Status
		e.Host, e.Advice = secret.Hide(f.Host), secret.Hide(f.Advice)
	}
	return e
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Fault returns what is known about the error.
func (e *Error) Fault() fault.Fault {
	return fault.Fault{Kind: e.Kind, Side: reference.Side(e.Side), Host: e.Host, Status: e.Status, Advice: e.Advice}
}
