// Package regerror has the error of a request to a registry: whose fault it is, what
// the registry said, whether another try may help, and what a person can do about it.
package regerror

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"imagemirror/internal/digest"
	"imagemirror/internal/fault"
	"imagemirror/internal/reference"
)

// An Error is a request that a registry refused or did not answer. Callers branch on
// Side and Status.
type Error struct {
	Side   reference.Side
	Doing  string // such as "pushing manifest"
	Name   string // HOST/PATH of the repository; of a token service's error, the registry
	At     string // the registry that was asked, if registries.conf may lead to another than Name's
	Ref    string // tag or digest in the repository, or ""
	Host   string // the host that answered, or did not, if the registry led to another
	Status int    // HTTP status; 0 if no answer came
	Code   string // the registry's error code, such as DENIED
	Words  string // the registry's own words, bounded and printable
	Page   bool   // the answer is an HTML page
	JSON   bool   // the answer is labeled as JSON, as those of registries are
	Tries  int    // how often the request was sent
	Err    error  // why no answer came, or what is wrong with the answer

	After   time.Duration // how long the answer asks to wait, or 0
	Missing []string      // digests that the answer names
	mixed   bool          // the answer has errors that are not about unknown content
}

// Values of Doing that the advice depends on.
const (
	Locating     = "locating"            // the repository's registry and credentials
	GettingToken = "getting a token for" // from the registry's token service

	OpeningUpload   = "opening an upload to"
	PushingManifest = "pushing manifest"
)

func (e *Error) Error() string {
	s := fmt.Sprintf("%s %s at the %s", e.Doing, e.object(), e.Side)
	if e.Host != "" {
		s += ", which leads to " + e.Host
	}
	if e.Status != 0 {
		s += strings.TrimRight(fmt.Sprintf(": HTTP %d %s", e.Status, http.StatusText(e.Status)), " ")
	}
	words := e.Words
	if e.Ref != "" {
		words = strings.TrimSuffix(words, ": "+e.Ref) // it is named already
	}
	if e.Page {
		s += ": a web page"
	}
	if words != "" {
		s += fmt.Sprintf(": %q", words)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if e.Tries > 1 {
		s += fmt.Sprintf(" (gave up after %d attempts)", e.Tries)
	}
	return s
}

// object returns the name of what the request was about.
func (e *Error) object() string {
	switch {
	case e.Ref == "":
		return e.Name
	case digest.Valid(e.Ref):
		return e.Name + "@" + e.Ref
	}
	return e.Name + ":" + e.Ref
}

func (e *Error) Unwrap() error { return e.Err }

// Fault returns what is known about who is at fault, and what a person can do about it.
func (e *Error) Fault() fault.Fault {
	kind := e.Kind()
	return fault.Fault{Kind: kind, Side: e.Side, Host: e.host(kind), Status: e.Status, Advice: e.advice()}
}

// StatusOf returns the HTTP status of the Error in err's chain, or 0.
func StatusOf(err error) int {
	var e *Error
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}

// IsRefusal reports whether the registry or its token service understood the request
// and refused it.
func IsRefusal(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status >= 400 && e.Status < 500 && !e.Transient()
}
