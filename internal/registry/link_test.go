package registry

import (
	"net/http"
	"strings"
	"testing"
)

func TestNextLink(t *testing.T) {
	const page = "/v2/a/tags/list?n=2&last=v1"
	for _, c := range []struct {
		name   string
		header []string
		want   string
		bad    bool
	}{
		{"none", nil, "", false},
		{"empty", []string{""}, "", false},
		{"the distribution spec's", []string{`<` + page + `>; rel="next"`}, page, false},
		{"a token", []string{`<` + page + `>;rel=next`}, page, false},
		{"in capitals", []string{`<` + page + `>; REL=NEXT`}, page, false},
		{"blanks everywhere", []string{"\t< " + page + " > ;\t rel\t= \"next\" ,"}, page, false},
		{"several relations", []string{`<` + page + `>; rel="last  Next"`}, page, false},
		{"a relation that contains it", []string{`<` + page + `>; rel="nextish"`}, "", false},
		{"an extension relation", []string{`<` + page + `>; rel="https://example.com/next"`}, "", false},
		{"a title", []string{`</x>; rel="prev"; title="next"`}, "", false},
		{"a title before it", []string{`<` + page + `>; title="a, b; rel=\"prev\""; rel="next"`}, page, false},
		{"a title in another language", []string{`<` + page + `>; title*=UTF-8'de'n%c3%a4chste; rel="next"`}, page, false},
		{"a parameter without a value", []string{`<` + page + `>; crossorigin; rel="next"`}, page, false},
		{"rel twice", []string{`</x>; rel="prev"; rel="next"`}, "", false},
		{"no rel", []string{`</x>; title="next"`}, "", false},
		{"single quotes", []string{`<` + page + `>; rel='next'`}, page, false},
		{"no rel, but the address of a next page", []string{`<` + page + `>`}, page, false},
		{"an empty rel", []string{`<` + page + `>; rel=`}, page, false},
		{"another rel", []string{`<` + page + `>; rel=self`}, "", false},
		{"behind another", []string{`</x>; rel="prev", <` + page + `>; rel="next"`}, page, false},
		{"behind another without a blank", []string{`</x>;rel=first,<` + page + `>;rel=next`}, page, false},
		{"before another", []string{`<` + page + `>; rel="next", </x>; rel="first"`}, page, false},
		{"in a second header", []string{`</x>; rel="prev"`, `<` + page + `>; rel="next"`}, page, false},
		{"behind empty elements", []string{`, ,<` + page + `>; rel="next"`}, page, false},
		{"a comma in the target", []string{`</x?a=1,2;3>; rel="prev", <` + page + `>; rel="next"`}, page, false},
		{"without brackets", []string{page + `; rel="next"`}, page, false},
		{"without brackets, behind another", []string{`</x>; rel="prev", ` + page + `; rel="next"`}, page, false},
		{"without brackets, with a comma", []string{`/x?n=2,3; rel="next"`}, "", true},
		{"one bracket", []string{`<` + page + `; rel="next"`}, "", true},
		{"the other bracket", []string{page + `>; rel="next"`}, "", true},
		{"a string without an end", []string{`<` + page + `>; rel="next`}, "", true},
		{"an empty target", []string{`<>; rel="next"`}, "", true},
		{"an empty target of another relation", []string{`<>; rel="self", <` + page + `>; rel="next"`}, page, false},
		{"text behind the brackets", []string{`<` + page + `> next`}, "", true},
		{"text behind a string", []string{`<` + page + `>; rel="next" <`}, "", true},
	} {
		h := http.Header{"Link": c.header}
		got, err := nextLink(h)
		if got != c.want || (err != nil) != c.bad {
			t.Errorf("%s: got %q and the error %v, want %q", c.name, got, err, c.want)
		}
	}
}

func FuzzNextLink(f *testing.F) {
	f.Add(`</v2/a/tags/list?n=2&last=v1>; rel="next"`, "/x")
	f.Add(`</x>; rel="prev"; title="a \" b", /y; rel=next`, "?n=1")
	f.Fuzz(func(t *testing.T, value, page string) {
		target, err := nextLink(http.Header{"Link": {value}})
		if err == nil && target != "" && !strings.Contains(value, target) {
			t.Errorf("the target %q is not in %q", target, value)
		}
		// Whatever comes before it in a header of its own, a link in the common form is found.
		if first, err := nextLink(http.Header{"Link": {value, `</p>; rel="next"`}}); err == nil && target == "" && first != "/p" {
			t.Errorf("after %q the target is %q", value, first)
		}
		if strings.ContainsAny(page, ">") || strings.TrimSpace(page) != page || page == "" {
			return
		}
		if got, err := nextLink(http.Header{"Link": {`<` + page + `>; title="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"; rel="x NEXT"`}}); err != nil || got != page {
			t.Errorf("with the title %q the target is %q and the error %v, want %q", value, got, err, page)
		}
	})
}
