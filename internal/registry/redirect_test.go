package registry

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestRedirect(t *testing.T) {
	const from = "https://r.example.com/v2/a/blobs/uploads/?mount=x"
	for _, c := range []struct {
		name     string
		method   string
		status   int
		location string
		to       string // "" with an error
		words    string
	}{
		{"no redirect", "GET", 200, "/x", "", ""},
		{"not modified", "GET", 304, "/x", "", ""},
		{"relative", "GET", 307, "?x=1", "https://r.example.com/v2/a/blobs/uploads/?x=1", ""},
		{"relative to the scheme", "GET", 302, "//cdn.example.com/x", "https://cdn.example.com/x", ""},
		{"with a blank", "GET", 307, "https://cdn.example.com/a b?name=a b", "https://cdn.example.com/a%20b?name=a%20b", ""},
		{"in UTF-8", "GET", 307, "https://cdn.example.com/x?name=ü", "https://cdn.example.com/x?name=%C3%BC", ""},
		{"with quotes and angles", "GET", 307, `https://cdn.example.com/x?d="a<b>"`, "https://cdn.example.com/x?d=%22a%3Cb%3E%22", ""},
		{"with an odd percent sign", "GET", 307, "https://cdn.example.com/x?sig=%zz%", "https://cdn.example.com/x?sig=%zz%", ""},
		{"with a fragment", "GET", 307, "https://cdn.example.com/x#y", "https://cdn.example.com/x#y", ""},
		{"of a POST elsewhere", "POST", 307, "https://other.example.com/x", "https://other.example.com/x", ""},
		{"of a PUT for good", "PUT", 308, "/v2/b", "https://r.example.com/v2/b", ""},
		{"301 without the slash", "POST", 301, "/v2/a/blobs/uploads?mount=x", "https://r.example.com/v2/a/blobs/uploads?mount=x", ""},
		{"302 with a port and capitals", "POST", 302, "https://R.example.com:443/v2/a/blobs/uploads/", "https://R.example.com:443/v2/a/blobs/uploads/", ""},
		{"302 to plain HTTP on the same host", "POST", 302, "http://r.example.com/v2/a/blobs/uploads", "https://r.example.com/v2/a/blobs/uploads", ""},
		{"307 to plain HTTP on the same host, with a port", "GET", 307, "http://r.example.com:80/x", "https://r.example.com/x", ""},
		{"301 of a HEAD to another path", "HEAD", 301, "/x", "https://r.example.com/x", ""},

		{"301 to another path", "POST", 301, "/v2/other/place/", "", `a POST was redirected to another address, "https://r.example.com/v2/other/place/"`},
		{"302 to another host", "PUT", 302, "https://u:secret@login.example.com/x?state=secret", "", `another address, "https://login.example.com/x": only 307 and 308`},
		{"302 to another port", "PUT", 302, "https://r.example.com:8443/v2/a/blobs/uploads/", "", "another address"},
		{"303", "PATCH", 303, "/x", "", `a PATCH was redirected to a GET of something else, "https://r.example.com/x"`},
		{"no Location", "GET", 307, "", "", "no Location"},
		{"to itself", "PUT", 307, "?mount=x", "", "leads to itself"},
		{"to plain HTTP", "GET", 307, "http://cdn.example.com/x", "", "leads from https to plain http"},
		{"to another scheme", "GET", 307, "ftp://cdn.example.com/x", "", `invalid Location "ftp://cdn.example.com/x"`},
		{"to no host", "GET", 307, "https:///x", "", "invalid Location"},
		{"to an invalid path", "GET", 307, "/%zz?sig=secret", "", `invalid Location "/%zz"`},
		{"to an invalid port", "GET", 307, "https://cdn.example.com:x/", "", "invalid Location"},
	} {
		u, err := url.Parse(from)
		if err != nil {
			t.Fatal(err)
		}
		resp := &http.Response{StatusCode: c.status, Header: http.Header{}}
		if c.location != "" {
			resp.Header.Set("Location", c.location)
		}
		got, err := testHost(t, "r.example.com").redirect(resp, c.method, u, 0)
		switch {
		case c.words == "" && err != nil, c.words != "" && (err == nil || !strings.Contains(err.Error(), c.words)):
			t.Errorf("%s: the error is %v, want %q", c.name, err, c.words)
		case err != nil && strings.Contains(err.Error(), "secret"):
			t.Errorf("%s: the error tells a secret: %v", c.name, err)
		case got == nil && c.to != "", got != nil && got.String() != c.to:
			t.Errorf("%s: it leads to %v, want %q", c.name, got, c.to)
		}
	}
}
