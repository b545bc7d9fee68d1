package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// nasty has a character that each encoding writes in another way.
const nasty = `p%41ss/w+rd &"<ö>\'=?x`

// writings are the ways in which servers write something that they echo.
func writings(s string) map[string]string {
	quoted, _ := json.Marshal(s)
	var plain bytes.Buffer
	e := json.NewEncoder(&plain)
	e.SetEscapeHTML(false)
	_ = e.Encode(s)
	twice, _ := json.Marshal(string(quoted))
	b := []byte(s)
	return map[string]string{
		"as it is":     s,
		"JSON":         string(quoted),
		"plain JSON":   plain.String(),
		"JSON twice":   string(twice),
		"Go":           strconv.Quote(s),
		"ASCII":        strconv.QuoteToASCII(s),
		"a query":      url.QueryEscape(s),
		"a path":       url.PathEscape(s),
		"lower hex":    lowerHex(s),
		"a query JSON": url.QueryEscape(string(quoted)),
		"HTML":         html.EscapeString(s),
		"base64":       base64.StdEncoding.EncodeToString(b),
		"raw base64":   base64.RawStdEncoding.EncodeToString(b),
		"base64url":    base64.URLEncoding.EncodeToString(b),
		"raw url":      base64.RawURLEncoding.EncodeToString(b),
		"base64 query": url.QueryEscape(base64.StdEncoding.EncodeToString(b)),
	}
}

func lowerHex(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "%%%s", hex.EncodeToString([]byte{s[i]}))
	}
	return b.String()
}

func TestAllWritingsAreHidden(t *testing.T) {
	for _, password := range []string{nasty, "hunter2", "a b  c d e", "correct horse battery staple", "pass\tword\n1", "ключ-от-дома", "a%2Fb%2Fc%2Fd"} {
		var s set
		s.add("team", password)
		for _, secret := range []string{password, "team:" + password} {
			for name, w := range writings(secret) {
				if strings.HasPrefix(name, "base64") && len(secret) < 3 {
					continue
				}
				for _, text := range []string{w, "you sent " + w + ".", "<p>" + w + "</p>"} {
					if got := s.hide(text); strings.Contains(got, w) || !strings.Contains(got, mask) {
						t.Errorf("%q as %s: %q became %q", secret, name, text, got)
					}
				}
			}
		}
	}
}

func TestPaddingIsHiddenWithWhatItPads(t *testing.T) {
	var s set
	s.add("team", "hunter2")
	for in, want := range map[string]string{
		"Basic " + base64.StdEncoding.EncodeToString([]byte("team:hunter2")) + ", no": "Basic ***, no",
		"auth=dGVhbTpodW50ZXIy&x=1": "auth=***&x=1",
		"aHVudGVyMg%3D%3D.":         "***.",
		`"hunter2"`:                 `"***"`,
	} {
		if got := s.hide(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func TestOrdinaryTextStays(t *testing.T) {
	var s set
	s.add("ab", "abc")
	s.add("robot", "")
	s.addToken("eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.e30.c2ln", time.Now().Add(time.Hour))
	for _, text := range []string{
		"", "abc", "abcabcabc", "HTTP 401 Unauthorized: denied with the entry \"quay.io\"", "robot:", "100% of 5 & more \\ x%zz &amp", "eyJhbG", "Ünïcode",
	} {
		if got := s.hide(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestShortPasswordsAreHiddenBesideTheirUser(t *testing.T) {
	var s set
	s.add("ab", "abc")
	for in, want := range map[string]string{
		"ab:abc": "***", "Basic YWI6YWJj": "Basic ***", "https://ab%3Aabc@x": "https://***@x", "abc": "abc",
	} {
		if got := s.hide(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

// A server may echo a part, or what it says is cut.
func TestBeginningsAreHidden(t *testing.T) {
	var s set
	token := "eyJhbGciOi.JSUzI1NiIsInR5." + strings.Repeat("Ab9-_x", 500)
	s.addToken(token, time.Now().Add(time.Hour))
	s.add("team", "correct horse battery staple")
	for in, want := range map[string]string{
		"you sent " + token[:40]:            "you sent ***",
		"you sent " + token[:40] + "…":      "you sent ***…",
		"you sent " + token + ", in full":   "you sent ***, in full",
		"you sent " + token[:2000] + " cut": "you sent *** cut",
		"correct horse batt…":               "***…",
		"correct answer":                    "correct answer",
	} {
		if got := s.hide(in); got != want {
			t.Errorf("%.80q became %.80q, want %q", in, got, want)
		}
	}
}

func TestExpiredTokensAreForgotten(t *testing.T) {
	var s set
	now := time.Now()
	s.add("team", "hunter2")
	for i := range 2 * maxPassing {
		s.addToken(fmt.Sprintf("token-%d-%d", i, i*7919), now.Add(-time.Second))
	}
	if len(s.passing) > maxPassing+3 || len(s.all) > maxPassing+10 {
		t.Errorf("%d passing forms of %d are kept of tokens that expired", len(s.passing), len(s.all))
	}
	for i := range 2 * maxPassing {
		s.addToken(fmt.Sprintf("fresh-%d-%d", i, i*7919), now.Add(time.Hour))
	}
	if len(s.passing) > maxPassing+3 {
		t.Errorf("%d forms of tokens are kept, want %d at most", len(s.passing), maxPassing)
	}
	last := fmt.Sprintf("fresh-%d-%d", 2*maxPassing-1, (2*maxPassing-1)*7919)
	if got := s.hide("hunter2 and " + last); got != "*** and ***" {
		t.Errorf("the password and the last token became %q", got)
	}
}

// What is hidden is hidden whatever is around it, and nothing else changes.
func FuzzHide(f *testing.F) {
	f.Add("you sent ", nasty, " to us", 3)
	f.Add(`{"x":"`, "hunter2", `"}`, 0)
	f.Add("%", "41hunter2", "\\", 7)
	f.Fuzz(func(t *testing.T, before, password, after string, n int) {
		if len(password) < window {
			t.Skip()
		}
		var s set
		s.add("team", password)
		if got := s.hide(before + password + after); strings.Count(got, password) > strings.Count(mask, password) && !strings.Contains(before+mask+after, password) {
			t.Errorf("%q became %q", before+password+after, got)
		}
		all := writings(password)
		for name, w := range all {
			if name == "as it is" || n%2 == 0 {
				_ = s.hide(before + w + after)
			}
		}
	})
}

func BenchmarkHide(b *testing.B) {
	var s set
	for i := range 2000 {
		s.add("team", fmt.Sprintf("password-%d", i*7919))
		s.addToken(fmt.Sprintf("eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.%d", i*7919), time.Now().Add(time.Hour))
	}
	text := strings.Repeat("getting a token for quay.io: HTTP 401 Unauthorized: denied 100%. ", 4)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		s.hide(text)
	}
}
