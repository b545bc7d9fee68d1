package settings

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/reference"
	"imagemirror/internal/selection"
)

// rules returns the rules of a list below spec.select.
func rules(t *testing.T, list string) Select {
	t.Helper()
	s, found := Parse("f", []byte(head+"spec:\n  select:\n"+list))
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return s.Select
}

func TestSelectReadsRules(t *testing.T) {
	got := rules(t, `    - source: quay.io/org/app
      include: v1\..*
      exclude: [".*-rc.*", '.*\+']
      semver: ">=1.2 <2"
      prereleases: true
      companions: true
      newest: 5
      by: version
      minimum: 3
    - {source: "*", by: name, newest: 2}
`)
	if len(got) != 2 || got[0].File != "f" || got[0].Line != 7 || got[1].Line != 16 {
		t.Fatalf("got %+v, want rules at lines 7 and 16 of f", got)
	}
	r := got[0]
	texts := []string{r.Source, r.Include[0].String(), r.Exclude[0].String(), r.Exclude[1].String(), r.Semver.String()}
	if diff := cmp.Diff([]string{"quay.io/org/app", `v1\..*`, ".*-rc.*", `.*\+`, ">=1.2 <2"}, texts); diff != "" {
		t.Errorf("texts (-want +got):\n%s", diff)
	}
	if !r.Prereleases || !r.Companions || r.Newest != 5 || r.By != selection.ByVersion || r.Minimum != 3 || got[1].By != selection.ByName {
		t.Errorf("got %+v and %+v", r, got[1])
	}
}

// Of several rules whose sources match, the first applies, and only to wildcards.
func TestTheFirstRuleThatMatchesApplies(t *testing.T) {
	list := rules(t, `    - source: quay.io/org/app:v1.*
    - source: quay.io/org/app
    - source: "quay.io/*-team/tool"
    - source: QUAY.io/org
    - source: localhost:5000
    - source: "*.example.com:5000/x"
    - source: busybox
    - source: "redis:7*"
    - source: docker.io/library/nginx
    - source: "*/deep/er"
    - source: "*:nightly-*"
`)
	for source, want := range map[string]string{
		"quay.io/org/app:v1.*":             "quay.io/org/app:v1.*",
		"quay.io/org/app:v1.2*":            "quay.io/org/app:v1.*",
		"quay.io/org/app:v*":               "quay.io/org/app",
		"quay.io/org/app:v1.2":             "",
		"quay.io/org/app/sub:*":            "quay.io/org/app",
		"quay.io/org/apples:*":             "QUAY.io/org",
		"quay.io/organization/app:*":       "",
		"quay.io/a-team/tool:*":            "quay.io/*-team/tool",
		"quay.io/a/b-team/tool/x:*":        "quay.io/*-team/tool",
		"quay.io/a-team/tools:*":           "",
		"localhost:5000/a:*":               "localhost:5000",
		"localhost:5001/a:*":               "",
		"eu.example.com:5000/x/y:*":        "*.example.com:5000/x",
		"example.com:5000/x:*":             "",
		"busybox:*":                        "busybox",
		"busybox/sub:*":                    "busybox",
		"redis:7.*":                        "redis:7*",
		"redis:*":                          "",
		"docker.io/nginx:1*":               "docker.io/library/nginx",
		"ghcr.io/x/deep/er/y:*":            "*/deep/er",
		"docker.io/deep/er:*":              "*/deep/er",
		"ghcr.io/a/b:nightly-*":            "*:nightly-*",
		"ghcr.io/a/b:nightly-*-2":          "*:nightly-*",
		"ghcr.io/a/b:*":                    "",
		"index.docker.io/library/redis:7*": "redis:7*",
	} {
		got := ""
		parsed, err := reference.ParsePattern(source)
		if err != nil {
			t.Fatal(err)
		}
		if r := list.For(parsed); r != nil {
			got = r.Source
		}
		if got != want {
			t.Errorf("%s has the rule %q, want %q", source, got, want)
		}
	}
}

func TestSelectRefuses(t *testing.T) {
	for list, want := range map[string]string{
		"    - quay.io/org":                                              `f:7: a rule of spec.select is not a mapping`,
		"    - {include: v.*}":                                           `f:7: a rule of spec.select has no source: write one`,
		"    - {source: 7}":                                              `f:7: an entry of spec.select.source is "7", which YAML does not read as a string`,
		"    []":                                                         `f:7: select has no rules: write one, or leave the key out`,
		"    # - source: quay.io\n":                                      `f:6: select has no rules`,
		"    - source: quay.io\n      include: []":                       `f:8: include lists no expressions: write one, or leave the key out`,
		"    - source: quay.io\n      include:":                          `f:8: include lists no expressions`,
		"    - source: quay.io\n      exclude: []":                       `f:8: exclude lists no expressions`,
		"    - {source: \"quay.io:70000/*\"}":                            `f:7: source "quay.io:70000/*" is not a prefix of image names or a source with a wildcard`,
		"    - {source: quay.io/Org}":                                    `f:7: source "quay.io/Org" is not a prefix of image names or a source with a wildcard`,
		"    - {source: 'quay.io/org/app:v1'}":                           `f:7: source "quay.io/org/app:v1" is not a prefix`,
		"    - {source: 'quay.io/a@sha256:*'}":                           `f:7: source "quay.io/a@sha256:*" is not a prefix`,
		"    - {source: '*:-*'}":                                         `f:7: source "*:-*" is not a prefix`,
		"    - {source: quay.io/}":                                       `f:7: source "quay.io/" is not a prefix`,
		"    - source: quay.io\n      include: 'v('":                     `f:8: include "v(" is not a regular expression of RE2: missing closing ): "v("`,
		"    - source: quay.io\n      exclude: [a, '(?=b)']":             `f:8: exclude "(?=b)" is not a regular expression of RE2: invalid or unsupported Perl syntax: "(?="`,
		"    - source: quay.io\n      include: [" + many(51) + "]":       `f:8: include has more than 50 expressions`,
		"    - source: quay.io\n      include: ['.{600}', '.{600}']":     `f:7: the expressions of the rule take 1204 instructions together, and at most 1000 are allowed`,
		"    - source: quay.io\n      semver: '>=one'":                   `f:8: semver ">=one" is not a constraint on versions`,
		"    - source: quay.io\n      semver: 1.2":                       `f:8: an entry of spec.select.semver is "1.2", which YAML does not read as a string: write it in quotes`,
		"    - source: quay.io\n      newest: 0":                         `f:8: an entry of spec.select.newest is "0": write a number from 1 to 10000`,
		"    - source: quay.io\n      newest: 5\n      by: age":          `f:9: by is "age": write version or name`,
		"    - source: quay.io\n      by: name":                          `f:7: by is the order of newest, which the rule does not have`,
		"    - source: quay.io\n      newest: 5\n      minimum: 6":       `f:7: minimum is 6, and newest leaves 5 at most: the rule can never have enough`,
		"    - source: quay.io\n      prereleases: true":                 `f:7: prereleases is about versions, which the rule does not ask for`,
		"    - source: quay.io\n      tags: [a]":                         `f:8: unknown key "tags": write source, include, exclude, semver, prereleases, companions, newest, by or minimum`,
		strings.Repeat("    - source: quay.io\n      minimum: 2\n", 101): `f:207: spec.select has more than 100 rules`,
	} {
		_, found := Parse("f", []byte(head+"spec:\n  select:\n"+list+"\n"))
		if all := found.All(); len(all) != 1 || !strings.HasPrefix(all[0].Error(), want) {
			t.Errorf("%.60s: got %v, want one mistake %s", list, all, want)
		}
	}
}

func many(n int) string { return strings.TrimSuffix(strings.Repeat("a, ", n), ", ") }

// docs/reference/settings.md has the keys of a rule.
func TestSelectIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/reference/settings.md")
	if err != nil {
		t.Fatal(err)
	}
	_, found := Parse("f", []byte(head+"spec:\n  select:\n    - {source: a.io, x: 1}\n"))
	_, list, _ := strings.Cut(found.All()[0].Error(), `write `)
	for _, key := range regexp.MustCompile("[a-z]{3,}").FindAllString(list, -1) {
		if !strings.Contains(string(doc), "\n| `select[]."+key+"` | ") {
			t.Errorf("docs/reference/settings.md does not say what %s is", key)
		}
	}
}
