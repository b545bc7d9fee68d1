package regerror

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"imagemirror/internal/text"
)

// Bounds on what an error answer may say.
const (
	maxBody  = 16 << 10 // bytes that are read
	maxWords = 240      // characters that are kept
)

// FromResponse returns the error that an answer stands for: its status and what its body says. It reads some of the
// body and does not close it.
func FromResponse(resp *http.Response) *Error {
	e := &Error{Status: resp.StatusCode}
	e.Code, e.Words = words(resp.Body)
	return e
}

// words reads an error answer: the code and message of the JSON that the distribution spec asks for, or the text of
// whatever else it is (quay.io's front answers 429 with an HTML page).
func words(body io.Reader) (code, message string) {
	b, err := io.ReadAll(io.LimitReader(body, maxBody))
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
			return line(e.Code), line(e.Message)
		}
		if answer.Details != "" {
			return "", line(answer.Details)
		}
		if answer.Message != "" {
			return "", line(answer.Message)
		}
	}
	return "", line(withoutTags(string(b)))
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

// line returns outside text as one bounded line of printable characters.
func line(s string) string { return text.Line(strings.Join(strings.Fields(s), " "), maxWords) }
