package regerror

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"imagemirror/internal/text"
)

const someDigest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestFromResponse(t *testing.T) {
	for _, c := range []struct{ name, body, code, words string }{
		{"of the distribution spec", `{"errors":[{"code":"DENIED","message":"not today"}]}`, "DENIED", "not today"},
		{"without a message", `{"errors":[{"code":"NAME_UNKNOWN"}]}`, "NAME_UNKNOWN", "name unknown"},
		{"with its keys in capitals", `{"Errors":[{"Code":"DENIED","Message":"not today"}]}`, "DENIED", "not today"},
		{"after a byte order mark", "\uFEFF\n" + `{"errors":[{"code":"DENIED","message":"not today"}]}`, "DENIED", "not today"},

		{"of quay, with the cause in an object", `{"errors":[{"code":"MANIFEST_INVALID","detail":{"message":"manifest data does not match schema"},"message":"manifest invalid"}]}`, "MANIFEST_INVALID", "manifest invalid: manifest data does not match schema"},
		{"with a digest in an object", `{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown to registry","detail":{"digest":"` + someDigest + `"}}]}`, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry: " + someDigest},
		{"with a digest as the detail", `{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown to registry","detail":"` + someDigest + `"}]}`, "BLOB_UNKNOWN", "blob unknown to registry: " + someDigest},
		{"whose detail repeats the request", `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required","detail":[{"Type":"repository","Name":"a","Action":"pull"}]}]}`, "UNAUTHORIZED", "authentication required"},
		{"whose detail has the message in it", `{"errors":[{"code":"DENIED","message":"Denied","detail":"denied by an admin"}]}`, "DENIED", "denied by an admin"},
		{"whose message has the detail in it", `{"errors":[{"code":"DENIED","message":"denied: by an admin","detail":"by an admin"}]}`, "DENIED", "denied: by an admin"},
		{"whose detail is empty", `{"errors":[{"code":"READ_ONLY","detail":{},"message":"no pushes"}]}`, "READ_ONLY", "no pushes"},
		{"whose detail is a list", `{"errors":[{"code":"TAG_INVALID","message":"no","detail":["a","b"]}]}`, "TAG_INVALID", "no: a, b"},
		{"whose detail has an error in it", `{"errors":[{"code":"UNKNOWN","message":"unknown error","detail":{"error":{"message":"disk full"}}}]}`, "UNKNOWN", "disk full"},
		{"of distribution's storage", `{"errors":[{"code":"UNKNOWN","message":"unknown error","detail":{"DriverName":"filesystem","Enclosed":{"Op":"mkdir","Path":"/data","Err":28}}}]}`, "UNKNOWN", `{"DriverName":"filesystem","Enclosed":{"Err":28,"Op":"mkdir","Path":"/data"}}`},
		{"of unknown errors with an empty detail", `{"errors":[{"code":"UNKNOWN","message":"unknown error","detail":{}}]}`, "UNKNOWN", "unknown error"},
		{"whose message is null", `{"errors":[{"code":"MANIFEST_INVALID","message":null,"detail":"layers.0.size missing"}]}`, "MANIFEST_INVALID", "layers.0.size missing"},

		{"with two reasons", `{"errors":[{"code":"MANIFEST_UNVERIFIED","message":"failed verification"},{"code":"DENIED","message":"unsigned"}]}`, "MANIFEST_UNVERIFIED", "failed verification; unsigned"},
		{"with one reason twice", `{"errors":[{"code":"DENIED","message":"no"},{"code":"DENIED","message":"no"}]}`, "DENIED", "no"},
		{"of distribution, for a layer elsewhere", `{"errors":[{"code":"UNKNOWN","message":"unknown error"},{"code":"UNKNOWN","message":"unknown error","detail":"invalid URL on layer"},{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown to registry","detail":"` + someDigest + `"}]}`, "MANIFEST_BLOB_UNKNOWN", "invalid URL on layer; blob unknown to registry: " + someDigest},
		{"of unknown errors only", `{"errors":[{"code":"UNKNOWN","message":"unknown error"},{"code":"UNKNOWN","message":"unknown error"}]}`, "UNKNOWN", "unknown error"},
		{"with an empty list", `{"errors":[]}`, "", ""},
		{"with an empty error", `{"errors":[{}]}`, "", ""},
		{"of texts", `{"errors":["quota exceeded"]}`, "", "quota exceeded"},
		{"with one error and no list", `{"errors":{"code":"DENIED","message":"no"}}`, "DENIED", "no"},

		{"of a token service", `{"details":"incorrect username or password"}`, "", "incorrect username or password"},
		{"of another server", `{"message":"try later"}`, "", "try later"},
		{"with a text as the error", `{"error":"quota exceeded"}`, "", "quota exceeded"},
		{"of OAuth 2", `{"error":"invalid_grant","error_description":"the token has expired"}`, "", "invalid_grant: the token has expired"},
		{"with an object as the error", `{"error":{"code":"quota","message":"quota exceeded"}}`, "quota", "quota exceeded"},
		{"of Google's APIs", `{"error":{"code":403,"message":"Permission denied","status":"PERMISSION_DENIED"}}`, "403", "Permission denied"},
		{"with a number as the code", `{"errors":[{"code":10001,"message":"quota exceeded"}]}`, "10001", "quota exceeded"},
		{"of Artifactory", `{"errors":[{"status":403,"message":"rejected"}]}`, "", "rejected"},
		{"of RFC 9457", `{"type":"about:blank","title":"Forbidden","status":403,"detail":"not in this region"}`, "", "Forbidden: not in this region"},
		{"of AWS's APIs", `{"__type":"com.amazonaws#ThrottlingException","message":"Rate exceeded"}`, "ThrottlingException", "Rate exceeded"},
		{"of Kubernetes", `{"kind":"Status","status":"Failure","message":"the token has expired","code":401}`, "401", "the token has expired"},
		{"as a JSON text", `"denied"`, "", "denied"},
		{"as another object", `{"foo":1}`, "", ""},

		{"of S3", `<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>`, "AccessDenied", "Request has expired"},
		{"of nginx", "<html>\r\n<head><title>403 Forbidden</title></head>\r\n<body><center><h1>403 Forbidden</h1></center><hr>nginx</body></html>", "", "403 Forbidden"},
		{"with a title and a heading", `<!DOCTYPE html><html lang="en"><TITLE>Log in</TITLE><style>h1{}</style><h1 class="x">Welcome to <b>us</b></h1></html>`, "", "Log in: Welcome to us"},
		{"without a title", "<html><h1>429 Too Many</h1><p>slow</p>", "", "429 Too Many"},
		{"without a title and a heading", "<html><body>Bad Gateway</body></html>", "", "Bad Gateway"},
		{"with a letter that grows in lower case", "<html><title>\u023a\u023a</title></html>", "", "\u023a\u023a"},

		{"empty", "", "", ""},
		{"over lines", "plain  text\nin lines", "", "plain text in lines"},
		{"with control characters", "\x1b[31mred\x1b[0m\x00", "", `\x1b[31mred\x1b[0m\x00`},
		{"with marks of direction", "evil\u202etxt", "", `evil\u202etxt`},
		{"long", strings.Repeat("x", 1000), "", strings.Repeat("x", maxWords) + "…"},
		{"cut", `{"errors":[{"code":"DENI`, "", `{"errors":[{"code":"DENI`},
	} {
		e := answer(418, c.body)
		if e.Status != 418 || e.Code != c.code || e.Words != c.words {
			t.Errorf("an answer %s: got %d, %q and %q; want %q and %q", c.name, e.Status, e.Code, e.Words, c.code, c.words)
		}
	}
}

// answer returns the error of an answer with a body.
func answer(status int, body string) *Error {
	return FromResponse(&http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body))})
}

func FuzzFromResponse(f *testing.F) {
	for _, body := range []string{
		`{"errors":[{"code":"DENIED","message":"no","detail":{"message":["a"]}}],"error":{"code":1}}`,
		`<html><title>a</title><h1 x>b</h1><Code>c`, "\uFEFF[1,{}]", `{"error":"a","error_description":"b"}`, "toomanyrequests: x",
	} {
		f.Add(400, body)
	}
	f.Fuzz(func(t *testing.T, status int, body string) {
		e := answer(status, body)
		for _, s := range []string{e.Code, e.Words} {
			if !text.IsPrintable(s) || utf8.RuneCountInString(s) > maxWords+1 {
				t.Errorf("%q is not one short printable line", s)
			}
		}
		for _, doing := range []string{PushingManifest, OpeningUpload, GettingToken} {
			e.Side, e.Doing = "destination", doing
			if advice := e.Fault().Advice; advice == "" {
				t.Errorf("%v has no advice", e)
			}
		}
		if e.Throttled() && !e.Transient() {
			t.Errorf("%v is throttling, and not transient", e)
		}
	})
}

// net/http accepts any three digits as a status.
func TestStatusesThatDoNotExistAreNamed(t *testing.T) {
	for _, status := range []int{0, 7, 99} {
		e := answer(status, "")
		if want := fmt.Sprintf("the HTTP status %03d", status); e.Status != 0 || e.Err == nil || !strings.Contains(e.Err.Error(), want) {
			t.Errorf("status %d: got %+v, want %q", status, e, want)
		}
	}
}
