package stream

import (
	"errors"
	"strings"
)

// Fault is an error that knows whose fault it is.
type Fault interface {
	error
	Fault() (side string, status int, advice string)
}

// ErrorOf is how err goes into a Result.
func ErrorOf(err error) *Error {
	e := &Error{Message: strings.Join(strings.Fields(err.Error()), " ")}
	var f Fault
	if errors.As(err, &f) {
		e.Side, e.Status, e.Advice = f.Fault()
	}
	return e
}
