package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"imagemirror/internal/fault"
	"imagemirror/internal/regerror"
	"imagemirror/internal/secret"
)

const (
	// defaultLifetime is the lifetime of a token whose service does not state one (distribution's
	// token specification).
	defaultLifetime = 60 * time.Second
	maxLifetime     = 24 * time.Hour // a token that is refused is replaced, however long it has left
	maxAnswer       = 1 << 20        // bytes of a token service's answer
)

// issued is a token service's answer.
type issued struct {
	value    string
	lifetime time.Duration
}

// unusable is the error of an answer that asking again will not change, with advice.
type unusable struct{ what, advice string }

func (e unusable) Error() string    { return e.what }
func (e unusable) Advice() string   { return e.advice }
func (e unusable) Kind() fault.Kind { return fault.Answer }

// askOperators is the advice about an answer that breaks the specification.
const askOperators = "ask the registry's operators: by distribution's token specification, this is not a valid answer"

// readToken reads the token service's answer.
func readToken(resp *http.Response) (issued, error) {
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return issued{}, err
	}
	if len(b) > maxAnswer {
		return issued{}, regerror.Malformed("the token service's answer exceeds %d bytes", maxAnswer)
	}
	b = bytes.TrimPrefix(b, []byte("\uFEFF")) // which parsers may ignore (RFC 8259, section 8.1)
	var answer struct {
		Token        string          `json:"token"`
		AccessToken  string          `json:"access_token"`
		RefreshToken string          `json:"refresh_token"`
		ExpiresIn    json.RawMessage `json:"expires_in"`
	}
	// A value of another type than expected is as good as none.
	var mistyped *json.UnmarshalTypeError
	if err := json.Unmarshal(b, &answer); err != nil && !errors.As(err, &mistyped) {
		if isHTML(resp, b) {
			return issued{}, htmlPage(shownHost(resp.Request.URL))
		}
		return issued{}, regerror.Malformed("the token service's answer is not JSON: %v", err)
	}
	secret.AddToken(answer.RefreshToken, maxLifetime)
	for _, value := range []string{answer.Token, answer.AccessToken} {
		if value = strings.TrimSpace(value); value == "" {
			continue
		}
		if !isToken(value) {
			return issued{}, regerror.Malformed("the token service's token has characters that no header may have")
		}
		got := issued{value, lifetime(answer.ExpiresIn)}
		secret.AddToken(got.value, got.lifetime)
		return got, nil
	}
	if answer.RefreshToken != "" {
		return issued{}, unusable{"the token service's answer has no token, only a refresh token", askOperators}
	}
	return issued{}, unusable{"the token service's answer has no token" + wordsOf(b), askOperators}
}

// wordsOf returns what an answer without a token says, for an error. An answer that is not
// an object may be the token itself.
func wordsOf(b []byte) string {
	if !bytes.HasPrefix(bytes.TrimSpace(b), []byte("{")) {
		return ""
	}
	said := regerror.FromResponse(&http.Response{Body: io.NopCloser(bytes.NewReader(b))}).Words
	if said == "" {
		return ""
	}
	return fmt.Sprintf(": %q", said)
}

// htmlPage returns the error of an answer for people.
func htmlPage(from string) error {
	return unusable{
		"the token service " + from + " answered with an HTML page, such as a login page, instead of a token",
		"check whether a proxy or a login page is in front of " + from + ", and let this machine reach it without that",
	}
}

// isHTML reports whether an answer is a page for people.
func isHTML(resp *http.Response, b []byte) bool {
	return strings.Contains(resp.Header.Get("Content-Type"), "html") || bytes.HasPrefix(bytes.TrimSpace(b), []byte("<"))
}

// lifetime reads expires_in: seconds, which some services write as a string or with a
// fraction. The default stands in for anything else.
func lifetime(expires json.RawMessage) time.Duration {
	seconds, err := strconv.ParseFloat(strings.Trim(string(expires), "\" "), 64)
	if err != nil || !(seconds >= 0.001) || math.IsInf(seconds, 0) {
		return defaultLifetime
	}
	return time.Duration(min(seconds, maxLifetime.Seconds()) * float64(time.Second))
}

// isToken reports whether a header may have the token. A blank would end it there.
func isToken(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}
