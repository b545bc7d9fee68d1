package regerror

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestFromResponse(t *testing.T) {
	for _, c := range []struct{ name, body, code, words string }{
		{"of the distribution spec", `{"errors":[{"code":"DENIED","message":"not today"}]}`, "DENIED", "not today"},
		{"without a message", `{"errors":[{"code":"NAME_UNKNOWN"}]}`, "NAME_UNKNOWN", "name unknown"},
		{"of a token service", `{"details":"incorrect username or password"}`, "", "incorrect username or password"},
		{"of another server", `{"message":"try later"}`, "", "try later"},
		{"empty", "", "", ""},
		{"over lines", "plain  text\nin lines", "", "plain text in lines"},
		{"with control characters", "\x1b[31mred\x1b[0m\x00", "", `\x1b[31mred\x1b[0m\x00`},
		{"with marks of direction", "evil\u202etxt", "", `evil\u202etxt`},
		{"long", strings.Repeat("x", 1000), "", strings.Repeat("x", maxWords) + "…"},
		{"an HTML page", "<html><h1>429 Too Many</h1><p>slow</p>", "", "429 Too Many slow"},
	} {
		e := FromResponse(&http.Response{StatusCode: 418, Body: io.NopCloser(strings.NewReader(c.body))})
		if e.Status != 418 || e.Code != c.code || e.Words != c.words {
			t.Errorf("an answer %s: got %d, %q and %q; want %q and %q", c.name, e.Status, e.Code, e.Words, c.code, c.words)
		}
	}
}
