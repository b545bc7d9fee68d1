package selection

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// compiled returns expressions.
func compiled(t testing.TB, texts ...string) (list []Expression) {
	t.Helper()
	for _, text := range texts {
		e, err := Compile(text)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

func constraint(t testing.TB, text string) *Constraint {
	t.Helper()
	c, err := ParseConstraint(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// on returns tags under a rule.
func on(t testing.TB, rule *Filter, tags []string) *Tags {
	t.Helper()
	all, err := rule.On(tags)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func all(string) bool { return true }

// tags are those of a repository that people and tools tag as they like.
var tags = []string{
	"latest", "1", "1.2", "v1.2.0", "1.2.0", "v1.9.1", "v1.10.0", "v1.10.0-rc.1", "v2.0.0-rc.1", "v2.0.0", "2.1.0-alpine", "nightly-9", "nightly-10",
	"v99999999999999999999.0.0", "v1.2.3-99999999999999999999", "_x", "x.", "V1.2.3", "1.02.3", "20240101",
	"sha256-" + strings.Repeat("a", 64) + ".sig", "sha256-" + strings.Repeat("b", 64), "sha512-" + strings.Repeat("c", 128),
}

func TestSelect(t *testing.T) {
	for _, c := range []struct {
		name string
		rule Filter
		want []string
	}{
		{"include, as a whole", Filter{Include: compiled(t, "v1", `v1\.2.*`, "latest|1")}, []string{"1", "latest", "v1.2.0", "v1.2.3-99999999999999999999"}},
		{"exclude", Filter{Include: compiled(t, "nightly.*|la.*"), Exclude: compiled(t, ".*-9", "late")}, []string{"latest", "nightly-10"}},
		{"semver", Filter{Semver: constraint(t, ">=1.2 <2")}, []string{"1.02.3", "1.2", "1.2.0", "v1.10.0", "v1.2.0", "v1.9.1"}},
		{"semver with a prerelease", Filter{Semver: constraint(t, ">=2.0.0-0 <2.1.0-0")}, []string{"v2.0.0", "v2.0.0-rc.1"}},
		{"semver and prereleases", Filter{Semver: constraint(t, "~1.10 || 2.x"), Prereleases: true}, []string{"2.1.0-alpine", "v1.10.0", "v2.0.0"}},
		{"the newest versions", Filter{Newest: 3, Exclude: compiled(t, "2024.*")}, []string{"v1.10.0", "v1.9.1", "v2.0.0"}},
		{"the newest with prereleases", Filter{Newest: 3, Prereleases: true, Exclude: compiled(t, "2024.*")}, []string{"2.1.0-alpine", "v2.0.0", "v2.0.0-rc.1"}},
		{"the newest names", Filter{Newest: 1, By: ByName, Include: compiled(t, "nightly-.*")}, []string{"nightly-10"}},
		{"versions, the newest by name", Filter{Newest: 2, By: ByName, Semver: constraint(t, "1.x")}, []string{"v1.10.0", "v1.9.1"}},
		{"nothing", Filter{Include: compiled(t, "none")}, nil},
		{"tags that refer to digests", Filter{Companions: true, Include: compiled(t, `sha256-.*\.sig`)}, []string{tags[20]}},
	} {
		o, err := on(t, &c.rule, tags).Select(t.Context(), "*", all)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, o.Selected); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestStepsExplainWhatIsLeftOut(t *testing.T) {
	rule := Filter{Include: compiled(t, "v.*"), Exclude: compiled(t, ".*alpine", `.*-rc\.1`), Semver: constraint(t, ">=1.9"), Newest: 1}
	list := []string{"1.0", "v1.9.0", "v1.10.0", "v1.2.0", "vx", "v2.0.0-rc.1", "v2.0.0-a", "v3-alpine", "sha256-x", "latest"}
	o, err := on(t, &rule, list).Select(t.Context(), "*[^l]", func(tag string) bool { return tag != "latest" })
	if err != nil {
		t.Fatal(err)
	}
	want := []Step{
		{StepPattern, 9, []Excluded{{"latest", "the pattern *[^l] does not match it"}}},
		{StepCompanions, 8, []Excluded{{"sha256-x", "it refers to a digest, as the tags of signatures do"}}},
		{StepInclude, 7, []Excluded{{"1.0", "no expression of include matches it"}}},
		{StepExclude, 5, []Excluded{{"v2.0.0-rc.1", `exclude ".*-rc\\.1" matches it`}, {"v3-alpine", `exclude ".*alpine" matches it`}}},
		{StepSemver, 2, []Excluded{
			{"v1.2.0", `it is outside of semver ">=1.9"`}, {"v2.0.0-a", "it is a prerelease"}, {"vx", "it is not a version"},
		}},
		{StepNewest, 1, []Excluded{{"v1.9.0", "the newest 1 are newer"}}},
	}
	if diff := cmp.Diff(want, o.Steps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"v1.10.0"}, o.Newest); diff != "" || o.Listed != len(list) {
		t.Errorf("of %d the newest (-want +got):\n%s", o.Listed, diff)
	}
	if o.Why("v1.10.0") != "" || o.Why("v4") != "the repository does not list it" {
		t.Errorf("the selected tag is out because %q, and an unknown one because %q", o.Why("v1.10.0"), o.Why("v4"))
	}
}

func TestSelectEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := on(t, &Filter{}, tags).Select(ctx, "*", all); err == nil {
		t.Error("an outcome, although the context has ended")
	}
}

func TestCompileRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"v(":                     "missing closing ): \"v(\"",
		"a)|(b":                  "unexpected ): \"a)|(b\"",
		`(?=v)`:                  "invalid or unsupported Perl syntax: \"(?=\"",
		`(a)\1`:                  "invalid escape sequence: \"\\\\1\"",
		"(a{1000}){1000}":        "invalid repeat count: \"{1000}\"",
		"(.{100}){10}.{9}":       "it takes 1031 instructions, and at most 1000 are allowed: repeat less",
		strings.Repeat("a", 501): "it has 501 bytes, and at most 500 are allowed",
		strings.Repeat("(", 500): "missing closing ): \"" + strings.Repeat("(", 500) + "\"",
	} {
		if _, err := Compile(text); err == nil || err.Error() != want {
			t.Errorf("%.20s: got %v, want %s", text, err, want)
		}
	}
}

// Expressions that are too many for so many tags are refused, whatever they match.
func TestExpressionsMayNotTakeTooLong(t *testing.T) {
	var list []string
	for i := range 200_000 {
		list = append(list, fmt.Sprintf("v1.%06d-%050d", i, i))
	}
	short, long := Filter{Include: compiled(t, `v1\.\d+-[0-9]*`)}, Filter{Include: compiled(t, "v{1,100}.*")}
	on(t, &short, list)
	on(t, &long, list[:20_000])
	_, err := long.On(list)
	if want := "the repository lists 200000 tags of 12000000 characters in all, and the expressions take 203 instructions: 83 are allowed for so many"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestCompareReadsNumbers(t *testing.T) {
	ordered := []string{"", "1", "1.0", "01.1", "1.1", "1.9", "1.10", "1.10-rc.2", "1.10-rc.10", "2", "10", "99999999999999999999", "100000000000000000000", "A", "_", "a", "v1", "v1a", "v001b", "v1b", "v2", "w"}
	for i, a := range ordered {
		for j, b := range ordered {
			if got, want := sign(Compare(a, b)), sign(i-j); got != want {
				t.Errorf("Compare(%q, %q) is %d, want %d", a, b, got, want)
			}
		}
	}
}

func sign(n int) int { return max(-1, min(1, n)) }

// What a rule selects depends on the tags alone, whatever their order and however often each is
// listed. Each tag is selected or has a reason, the steps count all of them, and none that is
// left out is newer than one that is selected.
func TestSelectionIsAFunctionOfTheTags(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		list, rule := randomTags(random), randomRule(t, random)
		checkProperties(t, random, list, rule)
	}
}

func checkProperties(t *testing.T, random *rand.Rand, list []string, rule Filter) {
	t.Helper()
	match := func(tag string) bool { return !strings.HasPrefix(tag, "n") }
	o, err := on(t, &rule, list).Select(t.Context(), "*", match)
	if err != nil {
		t.Fatal(err)
	}
	shuffled := append(slices.Clone(list), list[:len(list)/2]...)
	random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	again, err := on(t, &rule, shuffled).Select(t.Context(), "*", match)
	if err != nil {
		t.Fatal(err)
	}
	same := slices.Equal(o.Selected, again.Selected) && slices.Equal(o.Newest, again.Newest) && o.Listed == again.Listed && cmp.Equal(o.Steps, again.Steps)
	if !same {
		t.Fatalf("%q and %q of one list in two orders", o.Selected, again.Selected)
	}
	left := o.Listed
	if len(o.Steps) > 0 {
		left = o.Steps[len(o.Steps)-1].Left
	}
	if left != len(o.Selected) || rule.Newest > 0 && left > rule.Newest {
		t.Fatalf("%d left after %+v, and %d selected", left, o.Steps, len(o.Selected))
	}
	ranking := newest{rule: &rule, most: 1}
	for _, tag := range list {
		chosen := slices.Contains(o.Selected, tag)
		if (o.Why(tag) == "") != chosen || chosen && (!match(tag) || !rule.Admits(tag)) {
			t.Fatalf("%s is selected: %v, and its reason %q", tag, chosen, o.Why(tag))
		}
		if o.Why(tag) == fmt.Sprintf("the newest %d are newer", rule.Newest) {
			ranking.add(0, tag)
			for _, one := range o.Selected {
				ranking.add(0, one)
			}
			if ranking.sorted()[0].tag == tag {
				t.Fatalf("%s is left out, and newer than %q", tag, o.Selected)
			}
			ranking.held = nil
		}
	}
}

func randomTags(random *rand.Rand) (list []string) {
	for range random.IntN(40) {
		switch n := random.IntN(4); n {
		case 0:
			list = append(list, tags[random.IntN(len(tags))])
		case 1:
			list = append(list, fmt.Sprintf("v%d.%d.%d", random.IntN(3), random.IntN(12), random.IntN(3)))
		case 2:
			list = append(list, fmt.Sprintf("%d.%d-rc.%d", random.IntN(3), random.IntN(12), random.IntN(12)))
		case 3:
			list = append(list, fmt.Sprintf("%c-%0*d", 'm'+rune(random.IntN(3)), random.IntN(4), random.IntN(30)))
		}
	}
	return list
}

func randomRule(t *testing.T, random *rand.Rand) Filter {
	pick := func(texts ...string) string { return texts[random.IntN(len(texts))] }
	r := Filter{Newest: max(0, random.IntN(12)-4), By: Order(pick("", "version", "name")), Prereleases: random.IntN(2) == 0, Companions: random.IntN(4) == 0}
	if random.IntN(2) == 0 {
		r.Include = compiled(t, pick("v.*", ".*1.*", "[^l].*"), "1.*")
	}
	if random.IntN(2) == 0 {
		r.Exclude = compiled(t, pick(".*rc.*", "v0.*"))
	}
	if random.IntN(3) == 0 {
		r.Semver = constraint(t, pick(">=1", "~1.2 || 2.x", "<2.0.0-rc.3", "*"))
	}
	return r
}

// Newest is the same whether all tags are sorted at once or a few at a time.
func TestNewestOfMany(t *testing.T) {
	var list []string
	for i := range 5000 {
		list = append(list, fmt.Sprintf("v%d.%d.%d", i%7, i%97, i))
	}
	for _, n := range []int{1, 3, 499, 500, 501, 2000, 4999, 5000, 6000} {
		o, err := on(t, &Filter{Newest: n}, list).Select(t.Context(), "*", all)
		if err != nil {
			t.Fatal(err)
		}
		sorted := slices.Clone(list)
		slices.SortFunc(sorted, func(a, b string) int { return version(b).Compare(version(a)) })
		want := slices.Sorted(slices.Values(sorted[:min(n, len(sorted))]))
		if !slices.Equal(want, o.Selected) {
			t.Errorf("the newest %d are not the first %d of all in order", n, n)
		}
	}
}

// FuzzSelect gives any rules of a settings file any tags of a registry.
func FuzzSelect(f *testing.F) {
	f.Add("v.*", ".*-rc.*", ">=1.2 <2", 3, "v1.2.0 v1.2.1-rc.1 latest 1.2 99999999999999999999")
	f.Add("", "", "1.x || ~2", 0, "1.0.0-99999999999999999999 1.0.0-a.b 1.0.0-a")
	f.Add("(a|b)*", "[[:alpha:]]+", "!=1", 1, "ab 01 1 001")
	f.Fuzz(func(t *testing.T, include, exclude, versions string, n int, names string) {
		rule := Filter{Newest: max(0, n), Prereleases: n%2 == 0}
		if e, err := Compile(include); err == nil && include != "" {
			rule.Include = append(rule.Include, e)
		}
		if e, err := Compile(exclude); err == nil {
			rule.Exclude = append(rule.Exclude, e)
		}
		if n%3 == 0 {
			rule.By = ByName
		}
		if c, err := ParseConstraint(versions); err == nil {
			rule.Semver = c
		}
		checkProperties(t, rand.New(rand.NewPCG(1, 2)), strings.Fields(names), rule)
	})
}

// BenchmarkSelect selects from as many tags as a repository may list.
func BenchmarkSelect(b *testing.B) {
	var list []string
	for i := range 200_000 {
		list = append(list, fmt.Sprintf("v%d.%d.%d-build.%d", i%10, i%100, i%1000, i))
	}
	slices.Sort(list)
	for name, rule := range map[string]Filter{
		"none":   {},
		"regexp": {Include: compiled(b, `v\d+\.\d+\.\d+-build\.\d+`), Exclude: compiled(b, `.*-rc\.\d+`)},
		"semver": {Semver: constraint(b, ">=1.2 <5 || ~7.1"), Prereleases: true},
		"newest": {Newest: 5, Prereleases: true},
		"worst":  {Include: compiled(b, `(?:[a-z0-9.-]{0,60}x){0,8}y`)},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := on(b, &rule, list).Select(b.Context(), "*", all); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
