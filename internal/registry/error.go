package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"imagemirror/internal/retry"
	"imagemirror/internal/text"
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

// Passing says whether it is an error of the moment, which another try may not meet.
func (e *Error) Passing() bool {
	if e.Status != 0 {
		return retry.Transient(e.Status)
	}
	return !hopeless(e.Err)
}

// Fault is the side at fault, the HTTP status if there was one, and what a person can do about it.
func (e *Error) Fault() (side string, status int, advice string) {
	return e.Side, e.Status, e.advice()
}

func (e *Error) advice() string {
	var own interface{ Advice() string }
	switch {
	case errors.As(e.Err, &own):
		return own.Advice()
	case e.Status == 0:
		return e.unanswered()
	case e.Status == http.StatusTooManyRequests:
		return "lower MIRROR_CONCURRENCY or set MIRROR_RATE, or mirror less often"
	case e.Status == http.StatusInsufficientStorage || e.Status == http.StatusRequestEntityTooLarge:
		return "ask the registry's people for more room"
	case e.Status >= 500 || e.Status == http.StatusRequestTimeout:
		return "run again later; if it stays, ask the registry's people"
	case e.Status < 400:
		return "ask the registry's people: this is no answer to such a request"
	case e.Doing == gettingToken:
		return "log in to " + e.Name + " again, or correct its credentials; if it stays, ask the registry's people"
	}
	return e.refused()
}

// gettingToken is what is done where a token service's answer is the error.
const gettingToken = "getting a token for"

// refused is the advice where the registry understood the request, and said no.
func (e *Error) refused() string {
	switch denied := e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden; {
	case denied && e.Side == Destination:
		return "give the credentials the right to push to " + e.Name + ", or create the repository"
	case denied:
		return "give the credentials the right to pull from " + e.Name + ", or correct the source's name"
	case e.Status == http.StatusNotFound && e.Side == Source:
		return "correct the source in the mapping file, or push the image there"
	case e.Status == http.StatusNotFound:
		return "create the repository " + e.Name
	}
	advice := "the registry refuses it for the reason that it gives: ask its people"
	if e.Words == "" {
		advice = "the registry refuses it and gives no reason: ask its people"
	}
	if e.Side == Destination {
		advice += ", or see whether it takes images of this media type"
	}
	return advice
}

// unanswered is the advice where no answer came, or one that is none.
func (e *Error) unanswered() string {
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.Is(e.Err, context.Canceled) || errors.Is(e.Err, errBusy):
		return "run again"
	case errors.As(e.Err, &certificate):
		return certify(certificate)
	case errors.Is(e.Err, errStalled):
		return "see whether the registry, and the way to it, are well; where it only is slow, raise MIRROR_STALL"
	case errors.Is(e.Err, errAnswer) && hopeless(e.Err):
		return "ask the registry's people why it leads there: only one that is at a private address itself may lead to another"
	case errors.Is(e.Err, errAnswer):
		return "run again; if it stays, ask the registry's people"
	case e.Doing == "choosing":
		return "correct what is at fault there: registries.conf, or the credentials that this machine has"
	case unreachable(e.Err):
		return "check the registry's name, and that it can be reached from here"
	}
	return "run again; if it stays, see what breaks the connections between here and the registry"
}

// unreachable says whether nothing was there to speak to.
func unreachable(err error) bool {
	var dns *net.DNSError
	var dial *net.OpError
	return errors.Is(err, errDown) || errors.As(err, &dns) || errors.As(err, &dial) && dial.Op == "dial"
}

// certify is the advice for a certificate that is not taken.
func certify(err error) string {
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &name):
		return "correct the registry's name, or ask its people for a certificate that has it"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "ask the registry's people for a certificate that is valid today, and check this machine's clock"
	}
	return "give the authority of its certificate in MIRROR_CA_FILE"
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

// clean returns outside text as one bounded line of printable characters.
func clean(s string) string { return text.Line(strings.Join(strings.Fields(s), " "), maxWords) }
