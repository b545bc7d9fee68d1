package regerror

import (
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"imagemirror/internal/retry"
	"imagemirror/internal/secret"
	"imagemirror/internal/text"
)

// FromResponse returns the error of an answer: its status and what its body says. It
// reads the beginning of the body and does not close it.
func FromResponse(resp *http.Response) *Error {
	e := &Error{Status: resp.StatusCode, After: retry.After(resp.Header, time.Now())}
	e.JSON = strings.Contains(resp.Header.Get("Content-Type"), "json")
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxBody)) // what came before it broke off
	all, page := complaints(string(body))
	e.Page = page
	for i, c := range all { // before anything is cut
		all[i] = complaint{secret.Hide(c.code), secret.Hide(c.message), secret.Hide(c.detail)}
	}
	e.understand(all)
	if e.Status < 100 { // net/http takes three digits for a status, whatever they are
		e.Status, e.Err = 0, Malformed("the answer has the HTTP status %03d, which does not exist", resp.StatusCode)
	}
	return e
}

// codeUnknown is the code of distribution for errors that it has no code for. What
// happened may be in the detail, or in another error beside it.
const codeUnknown = "UNKNOWN"

// maxShown is how many errors of an answer are shown.
const maxShown = 2

// understand takes the first code that says something, and the words of the first
// errors that do.
func (e *Error) understand(all []complaint) {
	telling := slices.DeleteFunc(slices.Clone(all), func(c complaint) bool {
		return (c.code == "" || c.code == codeUnknown) && c.detail == "" && len(all) > 1
	})
	if len(telling) == 0 {
		telling = all[:min(1, len(all))]
	}
	var shown []string
	for _, c := range telling {
		if e.Code == "" || e.Code == codeUnknown {
			e.Code = cleanLine(c.code)
		}
		e.mixed = e.mixed || !isContentCode(c.code)
		e.Missing = append(e.Missing, digests.FindAllString(c.message+" "+c.detail, maxErrors)...)
		if w := c.words(); len(shown) < maxShown && !slices.Contains(shown, w) {
			shown = append(shown, w)
		}
	}
	e.Words = cleanLine(strings.Join(shown, "; "))
}

// digests matches the digests in a text.
var digests = regexp.MustCompile(`\bsha256:[0-9a-f]{64}\b`)

// words returns what an error says: its message, and its detail if that says more.
func (c complaint) words() string {
	message, detail := oneLine(c.message), text.Clip(oneLine(c.detail), maxDetail)
	lower := strings.ToLower(message)
	switch {
	case message == "" && detail == "":
		return strings.ToLower(strings.ReplaceAll(c.code, "_", " "))
	case message == "" || detail != "" && (c.code == codeUnknown || strings.Contains(strings.ToLower(detail), lower)):
		return detail
	case detail == "" || strings.Contains(lower, strings.ToLower(detail)):
		return message
	}
	return message + ": " + detail
}
