package secret

import (
	"bytes"
	"encoding/base32"
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
	"unicode/utf16"
	"unicode/utf8"
)

// nasty has a character that each encoding writes in another way.
const nasty = `p%41ss/w+rd &"<ö>\'=?x`

// writings returns the ways in which servers write something that they echo.
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
		"hex":          hex.EncodeToString(b),
		"HEX":          strings.ToUpper(hex.EncodeToString(b)),
		"base32":       base32.StdEncoding.EncodeToString(b),
		"\\u":          everyUnit(s),
		"entities":     everyRune(s, "&#%d;"),
		"hex entities": everyRune(s, "&#x%X;"),
		"mail":         everyByte(s, "=%02X"),
		"broken mail":  strings.ReplaceAll(everyByte(s, "=%02X"), "=6", "=\r\n=6"),
		"percent":      partly(s),
		"hex in JSON":  fmt.Sprintf("%q", hex.EncodeToString(b)),
		"base64 query": url.QueryEscape(base64.StdEncoding.EncodeToString(b)),
	}
}

// everyUnit writes each unit of UTF-16 as JSON may.
func everyUnit(s string) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune(s)) {
		fmt.Fprintf(&b, `\u%04x`, u)
	}
	return b.String()
}

func everyRune(s, format string) string {
	var b strings.Builder
	for _, r := range s {
		fmt.Fprintf(&b, format, r)
	}
	return b.String()
}

func everyByte(s, format string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, format, s[i])
	}
	return b.String()
}

// partly writes each other byte in percent-encoding, and those that would not be read as they are.
func partly(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if i%2 == 0 || s[i] == '%' {
			fmt.Fprintf(&b, "%%%02X", s[i])
		} else {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func lowerHex(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "%%%s", hex.EncodeToString([]byte{s[i]}))
	}
	return b.String()
}

func TestAllWritingsAreHidden(t *testing.T) {
	for _, password := range []string{nasty, "hunter2", "a b  c d e", "correct horse battery staple", "pass\tword\n1", "ключ-от-дома", "emoji 🔑 key", "a%2Fb%2Fc%2Fd"} {
		var s patterns
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
	var s patterns
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
	var s patterns
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
	var s patterns
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
	var s patterns
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

// A server may echo any piece of a password, in any form.
func TestPiecesOfPasswordsAreHidden(t *testing.T) {
	var s patterns
	const password = "Qz7-correct-horse-battery-staple-9xK"
	s.add("team+robot", password)
	s.add("", `{"type":"service_account","token_uri":"https://oauth2.example.com/token"`+strings.Repeat(`,"key":"x"`, 20))
	for _, form := range append(encodings(password), append(encodings("team+robot:"+password), password)...) {
		for _, n := range []int{Telling, Telling + 1, 2 * Telling} {
			for from := 0; from+n <= len(form); from++ {
				if strings.HasPrefix(form, encodings("team+robot:")[0][:8]) && from < 15 {
					continue // it is the user's name
				}
				text := "you sent <" + form[from:from+n] + ">."
				if got := s.hide(text); got != "you sent <"+mask+">." {
					t.Fatalf("%q became %q", text, got)
				}
			}
		}
	}
	for _, text := range []string{"correct-hors", "getting https://oauth2.example.com/token", "team+robot was denied"} {
		want := text
		if text == "correct-hors" {
			want = mask
		}
		if got := s.hide(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

// The pieces of many passwords are bounded.
func TestPiecesAreBounded(t *testing.T) {
	var s patterns
	for i := range 3000 {
		s.add("team", fmt.Sprintf("%d-%s", i*7919, strings.Repeat(fmt.Sprint(i), 20)))
	}
	if len(s.pieces) > maxPieces {
		t.Errorf("%d pieces are kept, want %d at most", len(s.pieces), maxPieces)
	}
}

func TestExpiredTokensAreForgotten(t *testing.T) {
	var s patterns
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
		var s patterns
		s.add("team", password)
		if got := s.hide(before + password + after); strings.Count(got, password) > strings.Count(mask, password) && !strings.Contains(before+mask+after, password) {
			t.Errorf("%q became %q", before+password+after, got)
		}
		odd := func(r rune) bool { return r < ' ' || r >= utf8.RuneSelf || strings.ContainsRune(`%\&=+`, r) }
		if strings.ContainsFunc(password, odd) {
			return // not all encodings keep it, or it looks encoded itself
		}
		for name, w := range writings(password) {
			if got := s.hide(w); n%2 == 0 && (strings.Contains(got, w) && w != mask || len(got) > len(w)+len(mask)) {
				t.Errorf("as %s, %q became %q", name, w, got)
			}
			_ = s.hide(before + w + after)
		}
	})
}

// BenchmarkHideHostile hides in a long answer that is nothing but beginnings of secrets.
func BenchmarkHideHostile(b *testing.B) {
	var s patterns
	for i := range 2000 {
		s.add("team", fmt.Sprintf("password-%d", i*7919))
	}
	text := strings.Repeat(`passwo%70\u0070&#112;=70`, 40_000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		s.hide(text)
	}
}

func BenchmarkHide(b *testing.B) {
	var s patterns
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
