package registry

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode"
)

// The sides of a copy that can be at fault.
const (
	Source      = "source"
	Destination = "destination"
)

// Error is a request that a registry refused, or did not answer. Callers branch on Side and Status.
type Error struct {
	Side   string // Source or Destination
	Name   string // of the repository, HOST/PATH
	Doing  string // such as "pushing the manifest"
	Status int    // HTTP status; 0 where no answer came
	Code   string // the registry's error code, such as DENIED
	Words  string // the registry's own words, bounded and free of control characters
	Tries  int    // how many times it was asked
	Err    error  // why no answer came, or what is wrong with the answer
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%s %s at the %s", e.Doing, e.Name, e.Side)
	if e.Status != 0 {
		s += fmt.Sprintf(": HTTP %d %s", e.Status, http.StatusText(e.Status))
	}
	if e.Words != "" {
		s += fmt.Sprintf(": %q", e.Words)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if e.Tries > 1 {
		s += fmt.Sprintf(" (given up after %d tries)", e.Tries)
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// Fault is the side at fault, the HTTP status if there was one, and what a person can do about it.
func (e *Error) Fault() (side string, status int, advice string) {
	return e.Side, e.Status, e.advice()
}

func (e *Error) advice() string {
	switch e.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		if e.Side == Destination {
			return "give the credentials the right to push to " + e.Name + ", or create the repository"
		}
		return "give the credentials the right to pull from " + e.Name + ", or correct the source's name"
	case http.StatusNotFound:
		if e.Side == Source {
			return "correct the source in the mapping file, or push the image there"
		}
		return "create the repository " + e.Name
	case http.StatusTooManyRequests:
		return "lower MIRROR_CONCURRENCY or set MIRROR_RATE, or mirror less often"
	case http.StatusInsufficientStorage, http.StatusRequestEntityTooLarge:
		return "ask the registry's people for more room"
	case 0:
		var cert *tls.CertificateVerificationError
		if errors.As(e.Err, &cert) {
			return "give the authority of its certificate in MIRROR_CA_FILE"
		}
		if e.Err != nil && errors.Is(e.Err, errAnswer) {
			return "run again; if it stays, ask the registry's people"
		}
		return "check the registry's name, and that it can be reached from here"
	}
	if e.Status >= 500 {
		return "run again later; if it stays, ask the registry's people"
	}
	return ""
}

// StatusOf is the HTTP status in err's chain, or 0.
func StatusOf(err error) int {
	var e *Error
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}

// errAnswer marks an answer that came, and was wrong.
var errAnswer = errors.New("")

// wrongAnswer is an answer that is not what the protocol says.
func wrongAnswer(format string, args ...any) error {
	return answerError{fmt.Errorf(format, args...)}
}

type answerError struct{ error }

func (e answerError) Is(target error) bool { return target == errAnswer }
func (e answerError) Unwrap() error        { return e.error }

const maxWords = 240 // runes of a registry's own words that are kept

// words reads an error answer: the code and message of the JSON that the distribution spec asks for, or the text of
// whatever else it is (quay.io's front answers 429 with an HTML page).
func words(resp *http.Response) (code, message string) {
	b, err := io.ReadAll(io.LimitReader(resp.Body, 16<<10))
	if err != nil && len(b) == 0 {
		return "", ""
	}
	var answer struct {
		Errors []struct {
			Code, Message string
			Detail        any
		}
		Details string // what token services answer
		Message string
	}
	if json.Unmarshal(b, &answer) == nil {
		if len(answer.Errors) > 0 {
			e := answer.Errors[0]
			if e.Message == "" {
				e.Message = strings.ToLower(strings.ReplaceAll(e.Code, "_", " "))
			}
			return clean(e.Code), clean(e.Message)
		}
		if answer.Details != "" {
			return "", clean(answer.Details)
		}
		if answer.Message != "" {
			return "", clean(answer.Message)
		}
	}
	return "", clean(withoutTags(string(b)))
}

// withoutTags drops what stands between < and >, so that a line of an HTML page remains readable.
func withoutTags(s string) string {
	if !strings.Contains(s, "<") {
		return s
	}
	var b strings.Builder
	depth := 0
	for _, r := range s {
		switch {
		case r == '<':
			depth++
			b.WriteByte(' ')
		case r == '>':
			depth = max(0, depth-1)
		case depth == 0:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// clean makes outside text one bounded line of printable characters.
func clean(s string) string {
	var b strings.Builder
	n := 0
	for _, word := range strings.Fields(s) {
		if b.Len() > 0 {
			b.WriteByte(' ')
			n++
		}
		for _, r := range word {
			if n == maxWords {
				b.WriteString("…")
				return b.String()
			}
			if unicode.IsPrint(r) && r != unicode.ReplacementChar {
				b.WriteRune(r)
				n++
			}
		}
	}
	return b.String()
}
