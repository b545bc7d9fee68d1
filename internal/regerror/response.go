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

// FromResponse returns the error of an answer: its status and what its body says. It
// reads the beginning of the body and does not close it.
func FromResponse(resp *http.Response) *Error {
	e := &Error{Status: resp.StatusCode}
	e.Code, e.Words = words(resp.Body)
	return e
}

// words reads the body of an error: the code and message of the JSON that the
// distribution spec asks for, or the text of anything else (quay.io's front server
// answers 429 with an HTML page).
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
			return cleanLine(e.Code), cleanLine(e.Message)
		}
		if answer.Details != "" {
			return "", cleanLine(answer.Details)
		}
		if answer.Message != "" {
			return "", cleanLine(answer.Message)
		}
	}
	return "", cleanLine(withoutTags(string(b)))
}

// withoutTags drops everything between < and >, so that an HTML page can be read as a
// line.
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

// cleanLine returns outside text as one bounded line of printable characters.
func cleanLine(s string) string { return text.Line(strings.Join(strings.Fields(s), " "), maxWords) }
