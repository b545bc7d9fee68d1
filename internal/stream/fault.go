package stream

import (
	"errors"
	"strings"

	"imagemirror/internal/fault"
	"imagemirror/internal/reference"
	"imagemirror/internal/secret"
	"imagemirror/internal/text"
)

// A faulty error knows what kind of failure it is, whose fault, and what to do about it.
type faulty interface {
	error
	Fault() fault.Fault
}

// Bounds on the texts of an Error, in characters: report keeps as much of them.
const (
	MaxText = 2000
	maxHost = 300
)

// ErrorOf returns the Error of a Result for err, bounded and without secrets.
func ErrorOf(err error) *Error {
	e := &Error{Kind: fault.Internal, Message: strings.Join(strings.Fields(secret.Hide(err.Error())), " ")}
	var known faulty
	if errors.As(err, &known) {
		f := known.Fault()
		e.Kind, e.Side, e.Status = f.Kind, string(f.Side), f.Status
		e.Host, e.Advice = text.Clip(secret.Hide(f.Host), maxHost), text.Clip(secret.Hide(f.Advice), MaxText)
	}
	e.Message = text.Clip(e.Message, MaxText)
	return e
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Fault returns what is known about the error.
func (e *Error) Fault() fault.Fault {
	return fault.Fault{Kind: e.Kind, Side: reference.Side(e.Side), Host: e.Host, Status: e.Status, Advice: e.Advice}
}
