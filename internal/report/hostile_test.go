package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"imagemirror/internal/fault"
	"imagemirror/internal/junit"
	"imagemirror/internal/stream"
	"imagemirror/internal/text"
)

// hostile has texts that would do harm in one format or another.
var hostile = []string{
	"\x1b[2J\x1b]0;owned\x07 gone \u009b31m",
	"a\r\nb\n\nreport: all is well\tx\v\f",
	"\u202egnp.exe \u2066x\u2069 \u200b\ufeff",
	"<script>alert(1)</script><!-- & --> &lt; ]]> <img src=x onerror=y>",
	"| a | b |\n|---|---|\\| c \\\\| d",
	"`code` ``two`` ``` ~~~ *b* _i_ # h [l](https://evil.example) ![i](x) https://evil.example www.evil.example a@evil.example",
	"@torvalds @org/team #1 org/repo#2 GH-3",
	"\xff\xfe\xed\xa0\x80 \x00 \ufffe\uffff",
	"$(id) ${HOME} %s %d %!v \\",
	"::error title=x::y", "a ##[stop-commands]b", "##vso[task.complete result=Succeeded]", "::stop-commands::z",
	"`", "```", "|", " ", "\\",
	strings.Repeat("long ", 5000),
	strings.Repeat("🚀", 5000),
	"e" + strings.Repeat("\u0301", 5000),
}

// hostileRun returns a report with each hostile text in each place that takes text.
func hostileRun(t testing.TB, kind string) *Report {
	s := &sheet{header: stream.Header{Stream: kind, Run: hostile[0], Shard: hostile[1], Started: noon, Warnings: hostile}, ended: noon.Add(1e9)}
	for i, h := range hostile {
		set := stream.Set{Name: h, Owners: append([]string{h}, hostile...), Notify: hostile, FileLink: h, RunLink: h}
		if i%2 == 0 {
			set.FileLink, set.RunLink = "https://git.example/|)`{set}/{file}?{name}#L{line}", "https://git.example/runs/{run}"
		}
		s.add("set", set)
	}
	id, done := 0, stream.Copied
	if kind == stream.Plan {
		done = stream.Current
	}
	var rest []any
	for i, h := range hostile {
		for range 3 {
			id++
			s.add("mapping", stream.Mapping{ID: id, Source: h, Destination: h, Set: hostile[(i+id)%len(hostile)], File: h, Line: -id})
		}
		rest = append(rest,
			stream.Result{ID: id, Digest: digestOf("h"), Old: digestOf("o"), Status: stream.Failed, Seconds: 1e300, Error: &stream.Error{Kind: fault.Kind(h), Side: h, Host: h, Status: -1, Message: h, Advice: h}},
			stream.Result{ID: id - 1, Digest: digestOf("h"), Old: digestOf("o"), Status: done, Bytes: 1<<63 - 1, Seconds: 1e300})
		if kind == stream.Plan {
			rest = append(rest, stream.Copy{ID: id - 2, Digest: digestOf("h"), Old: digestOf("o"), Bytes: 1<<63 - 1})
		}
	}
	s.header.Mappings = id
	s.with(rest...)
	r, err := build(t, s)
	if err != nil {
		t.Fatal(err)
	}
	r.From(Origin{ID: hostile[0], Version: hostile[0]})
	r.Cuts = append(r.Cuts, text.Line(hostile[0], maxMessage))
	return r
}

func eachHostile(t *testing.T, check func(*testing.T, *Report)) {
	for _, kind := range []string{stream.Results, stream.Plan} {
		t.Run(kind, func(t *testing.T) { check(t, hostileRun(t, kind)) })
	}
}

// eachHostilePage does what eachHostile does, and adds a report of a run without a plan.
func eachHostilePage(t *testing.T, check func(*testing.T, *Report)) {
	eachHostile(t, check)
	t.Run("no plan", func(t *testing.T) {
		r := hostileRun(t, stream.Plan)
		for _, h := range hostile {
			r.Summary.NoPlan = append(r.Summary.NoPlan, text.Line(h, maxMessage))
			r.Summary.Problems = append(r.Summary.Problems, text.Line(h, maxMessage))
		}
		check(t, r)
	})
}

// printable fails the test for characters that a terminal may act on or hide.
func printable(t *testing.T, what string) {
	t.Helper()
	if !utf8.ValidString(what) {
		t.Errorf("not UTF-8: %q", what)
	}
	for line := range strings.SplitSeq(what, "\n") {
		if i := strings.IndexFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
			t.Errorf("a character that does not print at %d: %q", i, line)
		}
	}
}

func TestTableShowsHostileTextSafely(t *testing.T) {
	eachHostilePage(t, func(t *testing.T, r *Report) {
		var b strings.Builder
		if err := r.WriteTable(&b); err != nil {
			t.Fatal(err)
		}
		printable(t, b.String())
		if strings.Contains(b.String(), "\nreport: all is well") {
			t.Error("a message made a line of its own")
		}
		if command := regexp.MustCompile(`(?m)^\s*::.*::|##(vso)?\[`).FindString(b.String()); command != "" {
			t.Errorf("CI systems read %q as a command", command)
		}
	})
}

// span matches a code span of Markdown.
var span = regexp.MustCompile("(^|[^`])(`[^`]+`|`` .*? ``|``` .*? ```|```` .*? ````)($|[^`])")

// ownLink matches what is left of a link once the code that it shows is gone.
var ownLink = regexp.MustCompile("\\[\\]\\(https://(git\\.example|quay\\.io)/[^\\s()<>|`\"\\\\\\[\\]]*\\)")

func TestMarkdownShowsHostileTextSafely(t *testing.T) {
	eachHostilePage(t, func(t *testing.T, r *Report) {
		var b strings.Builder
		if err := r.WriteMarkdown(&b); err != nil {
			t.Fatal(err)
		}
		printable(t, b.String())
		if !strings.Contains(b.String(), "](https://git.example/") {
			t.Error("no link leads to a line with a hostile name")
		}
		bars := 0
		for line := range strings.SplitSeq(b.String(), "\n") {
			// A reader of Markdown splits tables into cells before it looks for code.
			n := strings.Count(line, "|")
			if strings.HasPrefix(line, "|") && bars > 0 && n != bars {
				t.Errorf("a row of %d bars in a table of %d: %s", n, bars, line)
			}
			bars = 0
			if strings.HasPrefix(line, "|") {
				bars = n
			}
			rest := line
			for span.MatchString(rest) {
				rest = span.ReplaceAllString(rest, "$1$3")
			}
			rest = ownLink.ReplaceAllString(rest, "")
			for _, own := range []string{"<details><summary>", "</summary>", "</details>", "<br>", "&nbsp;"} {
				rest = strings.ReplaceAll(rest, own, "")
			}
			if strings.ContainsAny(rest, "`<>@&$[]\\_~") || strings.Contains(rest, "evil") || strings.Contains(rest, "long") {
				t.Errorf("%q is outside of code, in the line\n%s", rest, line)
			}
		}
	})
}

func TestJUnitShowsHostileTextSafely(t *testing.T) {
	eachHostile(t, func(t *testing.T, r *Report) {
		var b bytes.Buffer
		if err := r.WriteJUnit(&b); err != nil {
			t.Fatal(err)
		}
		printable(t, b.String())
		var got junit.Suites
		if err := xml.Unmarshal(b.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		cases := 0
		for _, s := range got.Suites {
			cases += len(s.Cases)
		}
		if want := len(r.Results); cases != want || got.Tests != want || got.Failures != r.Summary.Failed || got.Skipped != r.planned() {
			t.Errorf("%d cases, attributes %+v; want those of the summary %+v", cases, got.Counts, r.Summary)
		}
		if strings.ContainsAny(b.String(), "eE+") && regexp.MustCompile(`time="[^"]*[eE+]`).Match(b.Bytes()) {
			t.Error("a time is written with an exponent")
		}
	})
}

func TestJSONShowsHostileTextSafely(t *testing.T) {
	eachHostile(t, func(t *testing.T, r *Report) {
		var b bytes.Buffer
		if err := r.WriteJSON(&b); err != nil {
			t.Fatal(err)
		}
		printable(t, b.String())
		got := decode(t, b.Bytes())
		if len(got.Results) != len(r.Results) {
			t.Errorf("%d results, want %d", len(got.Results), len(r.Results))
		}
		texts := []string{got.Run.ID, got.Run.Version, got.Run.Set}
		for _, m := range got.Results {
			texts = append(texts, m.Source, m.Destination, m.Error, m.Advice, m.Side, m.Host, string(m.Kind), m.Cause, m.Set, m.File, m.Digest, m.Old)
			texts = slices.Concat(texts, m.Owners, m.Notify)
		}
		for _, c := range got.Causes {
			texts = append(texts, c.Key, c.Host, c.Title, c.Message, c.Advice)
			for _, s := range c.Sets {
				texts = append(slices.Concat(texts, s.Owners, s.Notify), s.Set)
			}
		}
		for _, s := range texts {
			printable(t, s)
			if n := utf8.RuneCountInString(s); n > maxMessage+1 {
				t.Errorf("a text of %d characters", n)
			}
		}
	})
}

// decode reads report.json strictly.
func decode(t *testing.T, content []byte) Report {
	t.Helper()
	schema(t).Validate(t, content)
	var got struct {
		Run        Run       `json:"run"`
		Summary    Summary   `json:"summary"`
		Registries []Traffic `json:"registries"`
		Causes     []*Cause  `json:"causes"`
		Results    []*Result `json:"results"`
	}
	dec := json.NewDecoder(bytes.NewReader(content))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&got); err != nil {
		t.Fatal(err)
	}
	return Report{Run: got.Run, Summary: got.Summary, Registries: got.Registries, Causes: got.Causes, Results: got.Results}
}

func TestMarkdownCode(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"quay.io/a/b:v1", "`quay.io/a/b:v1`"},
		{"", "–"},
		{"  ", "–"},
		{"a `b` c", "`` a `b` c ``"},
		{"```", "```` ``` ````"},
		{"`", "`` ` ``"},
		{" a  b ", "`a b`"},
	} {
		if got := code(c.in); got != c.want {
			t.Errorf("code(%q) = %s, want %s", c.in, got, c.want)
		}
	}
	if got, want := cell("a|b"), "`a¦b`"; got != want {
		t.Errorf("cell is %s, want %s", got, want)
	}
}

// TestMarkdownIsBounded fills a report with more than GitHub takes, each part of it in turn.
func TestMarkdownIsBounded(t *testing.T) {
	const n = 120
	wide := strings.Repeat("🚀", 320)
	owners := slices.Repeat([]string{wide}, 11)
	for _, c := range []struct {
		name string
		kind string
		each func(s *sheet, id int)
		want string
	}{
		{"as many causes", stream.Results, func(s *sheet, id int) {
			s.with(failed(id, stream.Error{Kind: fault.Denied, Host: fmt.Sprint(id, wide), Message: wide}))
		}, " more, for "},
		{"one cause", stream.Results, func(s *sheet, id int) { s.with(broken(id, wide)) }, " other sets."},
		{"as many copies", stream.Results, func(s *sheet, id int) { s.with(result(id, stream.Copied, 1)) }, " more\n\n</details>"},
		{"as many plans", stream.Plan, func(s *sheet, id int) { s.with(stream.Copy{ID: id, Digest: digestOf("w")}) }, "### To copy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &sheet{header: stream.Header{Stream: c.kind, Mappings: n, Started: noon}, ended: noon.Add(1e9)}
			for id := range n {
				s.add("set", stream.Set{Name: fmt.Sprint("set", id, wide), Owners: owners, Notify: owners})
			}
			for id := range n {
				s.add("mapping", stream.Mapping{ID: id, Source: wide, Destination: wide, Set: fmt.Sprint("set", id, wide), File: wide, Line: id})
			}
			for id := range n {
				c.each(s, id)
			}
			r, err := build(t, s)
			if err != nil {
				t.Fatal(err)
			}
			for range n {
				r.Cuts = append(r.Cuts, wide)
			}
			var b strings.Builder
			if err := r.WriteMarkdown(&b); err != nil {
				t.Fatal(err)
			}
			if b.Len() > 65536 {
				t.Errorf("the Markdown has %d bytes", b.Len())
			}
			if !strings.Contains(b.String(), c.want) {
				t.Errorf("it does not have %q:\n…%s", c.want, b.String()[max(0, b.Len()-3000):])
			}
		})
	}
}
