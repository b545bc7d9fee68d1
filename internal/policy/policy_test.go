package policy

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/finding"
	"imagemirror/internal/mapping"
	"imagemirror/internal/settings"
)

// head has the first three lines of every policy.
const head = "apiVersion: imagemirror/v1\nkind: Policy\nspec:\n"

const example = head + `  sources: [registry.ci.openshift.org]
  destinations: [quay.io/a, quay.io/b]
  shards: 8
  cap: 64
  rate: 50
  retries: 10
  timeout: 6h
  interval: 15m
  notify: [hooks.slack.com, "mail.example.com:587"]
  links:
    file: https://git.example/{set}/{name}#L{line}
    run: https://tekton.example/{run}
  sets:
    web:
      sources:
        - quay.io/base
        - registry.ci.openshift.org/web
      cap: 128
      interval: 2h
      notify: [hooks.example.com]
      links: {file: 'https://git.example/web/{file}'}
`

func parsed(t *testing.T, text string) *Policy {
	t.Helper()
	p, found := Parse("image-sets/policy.yaml", []byte(text))
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return p
}

// A set's own bounds replace those of all sets, key by key, even if they are wider.
func TestFor(t *testing.T) {
	p := parsed(t, example)
	all := Bounds{
		File: "image-sets/policy.yaml", Sources: settings.Prefixes{{Name: "registry.ci.openshift.org", Line: 4}},
		Destinations: settings.Prefixes{{Name: "quay.io/a", Line: 5}, {Name: "quay.io/b", Line: 5}},
		Shards:       Limit[int]{8, 6}, Cap: Limit[int]{64, 7}, Rate: Limit[int]{50, 8}, Retries: Limit[int]{10, 9},
		Timeout: Limit[time.Duration]{6 * time.Hour, 10}, Interval: Limit[time.Duration]{15 * time.Minute, 11},
		Notify: Hosts{"hooks.slack.com", "mail.example.com:587"},
		Links:  Links{"https://git.example/{set}/{name}#L{line}", "https://tekton.example/{run}"},
	}
	if diff := cmp.Diff(all, p.For("other")); diff != "" {
		t.Errorf("a set without its own (-want +got):\n%s", diff)
	}
	web := all
	web.Sources = settings.Prefixes{{Name: "quay.io/base", Line: 19}, {Name: "registry.ci.openshift.org/web", Line: 20}}
	web.Cap, web.Interval = Limit[int]{128, 21}, Limit[time.Duration]{2 * time.Hour, 22}
	web.Notify = Hosts{"hooks.example.com"}
	web.Links.File = "https://git.example/web/{file}"
	if diff := cmp.Diff(web, p.For("web")); diff != "" {
		t.Errorf("a set with its own (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Bounds{File: "image-sets/policy.yaml"}, parsed(t, head).For("web")); diff != "" {
		t.Errorf("a policy of nothing (-want +got):\n%s", diff)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string // the beginnings of the lines, without the file
	}{
		{"an empty file", "", []string{"1: apiVersion is missing", "1: kind is missing"}},
		{"settings", strings.Replace(head, "Policy", "Settings", 1), []string{`2: this is "Settings": write Policy`}},
		{"an unknown key", head + "  caps: 8\n", []string{`4: unknown key "caps": write sources, destinations, shards, cap, rate, retries, timeout, interval, public, notify, verify, links, network or sets`}},
		{"an unknown key of a set", head + "  sets:\n    a: {schedule: x}\n", []string{`5: unknown key "schedule": write sources, destinations, shards, cap, rate, retries, timeout, interval, public, notify, verify or links`}},
		{"a set twice", head + "  sets:\n    a: {cap: 8}\n    a: {cap: 9}\n", []string{`6: the key "a" is there twice`}},
		{"sets in a list", head + "  sets: [a]\n", []string{"4: spec.sets is not a mapping"}},
		{"out of bounds", head + "  cap: 1001\n  rate: 0\n  retries: 101\n  shards: 257\n  timeout: 169h\n  interval: 59s\n",
			[]string{"4: spec.cap", "5: spec.rate", "6: spec.retries", "7: spec.shards", "8: spec.timeout", "9: spec.interval"}},
		{"nothing is allowed", head + "  sources: []\n  sets:\n    a: {destinations: []}\n", []string{"4: spec.sources allows nothing", "6: spec.destinations allows nothing"}},
		{"hosts that are none", head + "  notify: ['https://hooks.slack.com', 'a:b', '*.example.com', Host, 'a:0', 'a:65536', 'a:+1', 'a:', '']\n", []string{
			`4: notify "https://hooks.slack.com" is not a host`, `4: notify "a:b"`, `4: notify "*.example.com"`, `4: notify "Host"`, `4: notify "a:0"`, `4: notify "a:65536"`, `4: notify "a:+1"`, `4: notify "a:"`, `4: an entry of spec.notify`}},
		{"links that are none", head + "  links:\n    file: 'javascript:{line}'\n    run: 'https://ci.example/{line}'\n    page: x\n", []string{
			`5: "javascript:{line}" is not an address`, `6: the placeholder "{line}" is not known: write {run} or {set}`, `7: unknown key "page": write file or run`}},
		{"nobody may be notified", head + "  notify: []\n", []string{"4: spec.notify allows nothing"}},
		{"prefixes that are none", head + "  sources: [\"quay.io/*\"]\n  destinations: [quay.io/a:v1]\n", []string{`4: source "quay.io/*" is not a prefix`, `5: destination "quay.io/a:v1" is not`}},
		{"a large file", "#" + strings.Repeat(" ", MaxFile), []string{"1: the file has more than 256 KiB"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, found := Parse("f", []byte(c.text))
			compare(t, c.want, found)
		})
	}
}

// compare compares the beginnings of findings, without their file.
func compare(t *testing.T, want []string, found *finding.List) {
	t.Helper()
	all := found.All()
	if len(all) != len(want) {
		t.Fatalf("got %v, want %q", all, want)
	}
	for i, f := range all {
		if !strings.HasPrefix(f.Error(), "f:"+want[i]) {
			t.Errorf("got %q, want it to begin with f:%s", f, want[i])
		}
	}
}

func settingsOf(t *testing.T, spec string) settings.Settings {
	t.Helper()
	s, found := settings.Parse("f", []byte("apiVersion: imagemirror/v1\nkind: Settings\nmetadata: {name: a}\nspec:\n"+spec))
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return s
}

// Settings may ask for what the policy allows and for less.
func TestCheck(t *testing.T) {
	p := parsed(t, example)
	const advice = ": correct it, or ask the owners of the policy"
	for _, c := range []struct {
		spec string
		want []string
	}{
		{"  cap: 1000\n", []string{"5: spec.cap is 1000, and image-sets/policy.yaml:7 allows 64 at most" + advice}},
		{"  retries: 100\n", []string{"5: spec.retries is 100, and image-sets/policy.yaml:9 allows 10 at most" + advice}},
		{"  shards: 256\n", []string{"5: spec.shards is 256, and image-sets/policy.yaml:6 allows 8 at most" + advice}},
		{"  timeout: 168h\n", []string{"5: spec.timeout is 168h, and image-sets/policy.yaml:10 allows 6h at most" + advice}},
		{"  schedule: '* * * * *'\n", []string{`5: spec.schedule is "* * * * *", which starts a run 1m after another, and image-sets/policy.yaml:11 allows one every 15m` + advice}},
		{"  schedule: 0,14 3 * * 1\n", []string{`5: spec.schedule is "0,14 3 * * 1", which starts a run 14m after`}},
		{"  schedule: 55,5 * * * *\n", []string{`5: spec.schedule is "55,5 * * * *", which starts a run 10m after`}},
		{"  rate: 51\n", []string{"5: spec.rate is 51, and image-sets/policy.yaml:8 allows 50 at most" + advice}},
		{"  cap: 65\n  retries: 11\n  shards: 9\n  timeout: 6h1m\n",
			[]string{"8: spec.timeout is 6h1m", "5: spec.cap is 65", "6: spec.retries is 11", "7: spec.shards is 9"}},
		{"  destinations: [quay.io]\n", []string{"5: destination quay.io is more than image-sets/policy.yaml:5 allows (quay.io/a, quay.io/b)" + advice}},
		{"  destinations:\n    - quay.io/a/x\n    - quay.io/ab\n", []string{"7: destination quay.io/ab is more than"}},
		{"  sources: [evil, registry.ci.openshift.org/x]\n", []string{"5: source docker.io/evil is more than image-sets/policy.yaml:4 allows (registry.ci.openshift.org)" + advice}},
		{"  cap: 64\n  retries: 10\n  shards: 8\n  timeout: 6h\n  rate: 50\n  schedule: '*/15 * * * *'\n  sources: [registry.ci.openshift.org]\n  destinations: [quay.io/b, quay.io/a/x]\n", nil},
		{"  cap: 4\n  retries: 1\n  shards: 1\n  timeout: 30m\n  rate: 1\n  schedule: '@daily'\n  history: {runs: 1000}\n", nil},
		{"", nil},
	} {
		t.Run(c.spec, func(t *testing.T) {
			var found finding.List
			b := p.For("a")
			b.Check("f", settingsOf(t, c.spec), &found)
			found.Sort()
			want := c.want
			if len(want) > 1 { // sorted by line
				want = append(want[1:], want[0])
			}
			compare(t, want, &found)
			b = parsed(t, head).For("a")
			found = finding.List{}
			b.Check("f", settingsOf(t, c.spec), &found)
			if err := found.Err(); err != nil {
				t.Errorf("a policy of nothing refuses %v", err)
			}
		})
	}
}

// A policy demands that sets are public, of all of them or of some.
func TestPublicIsDemanded(t *testing.T) {
	const demands = head + "  public: true\n  sets: {private: {public: false}, cautious: {cap: 8}}\n"
	for _, c := range []struct {
		text, set, spec string
		demanded        bool
		want            []string
	}{
		{demands, "web", "  public: false\n", true, []string{"5: spec.public is false, and image-sets/policy.yaml:4 demands true"}},
		{demands, "cautious", "  public: false\n", true, []string{"5: spec.public is false"}},
		{demands, "web", "  public: true\n", true, nil},
		{demands, "web", "  cap: 8\n", true, nil},
		{demands, "private", "  public: false\n", false, nil},
		{demands, "private", "  public: true\n", false, nil},
		{head + "  public: false\n", "web", "  public: true\n", false, nil},
		{head + "  sets: {web: {public: true}}\n", "web", "  public: false\n", true, []string{"5: spec.public is false"}},
		{head + "  sets: {web: {public: true}}\n", "api", "  public: false\n", false, nil},
	} {
		t.Run(c.set+c.spec, func(t *testing.T) {
			b := parsed(t, c.text).For(c.set)
			if b.Public.Value != c.demanded {
				t.Errorf("demanded: %v, want %v", b.Public.Value, c.demanded)
			}
			var found finding.List
			b.Check("f", settingsOf(t, c.spec), &found)
			compare(t, c.want, &found)
		})
	}
}

// Whatever settings ask for, a run gets no more than the policy allows; nor do the defaults.
func TestLower(t *testing.T) {
	greedy := settingsOf(t, "  {shards: 256, cap: 1000, retries: 100, timeout: 168h, history: {age: 1h}}\n").WithDefaults()
	for _, c := range []struct {
		name, text string
		of         settings.Settings
		want       [5]any // shards, cap, rate, retries, timeout
	}{
		{"all keys", example, greedy, [5]any{8, 64, 50, 10, 6 * time.Hour}},
		{"nothing is bounded", head, greedy, [5]any{256, 1000, 0, 100, 168 * time.Hour}},
		{"less is asked for", example, settingsOf(t, "  {shards: 2, cap: 9, rate: 3, retries: 1, timeout: 45m}\n").WithDefaults(), [5]any{2, 9, 3, 1, 45 * time.Minute}},
		{"defaults", head + "  {shards: 1, cap: 4, retries: 2, timeout: 30m}\n", settings.Settings{}.WithDefaults(), [5]any{1, 4, 0, 2, 30 * time.Minute}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := parsed(t, c.text).For("a")
			s := b.Lower(c.of)
			if diff := cmp.Diff(c.want, [5]any{s.Shards, s.Cap, s.Rate, s.Retries, s.Timeout}); diff != "" {
				t.Errorf("shards, cap, rate, retries, timeout (-want +got):\n%s", diff)
			}
			if s.History.Age <= b.Interval.Value {
				t.Errorf("runs are kept for %s, and the interval is %s", s.History.Age, b.Interval.Value)
			}
		})
	}
}

func TestMappings(t *testing.T) {
	b := parsed(t, example).For("web")
	for line, want := range map[string]string{
		"registry.ci.openshift.org/web/x:1 quay.io/a/x":      "",
		"quay.io/base/x:* quay.io/b":                         "",
		"docker.io/evil/backdoor:1 quay.io/a/x":              "source docker.io/evil/backdoor:1 is outside of what image-sets/policy.yaml:19 allows (quay.io/base, registry.ci.openshift.org/web): correct it, or ask the owners of the policy",
		"registry.ci.openshift.org/webs/x:1 quay.io/a/x":     "source registry.ci.openshift.org/webs/x:1 is outside",
		"registry.ci.openshift.org/web/x:1 quay.io/ab/x":     "destination quay.io/ab/x:1 is outside of what image-sets/policy.yaml:5 allows (quay.io/a, quay.io/b)",
		"registry.ci.openshift.org/web/x:1 quay.io:443/a/x":  "destination quay.io:443/a/x:1 is outside",
		"registry.ci.openshift.org/web/x:1 a/x":              "destination docker.io/a/x:1 is outside",
		"registry.ci.openshift.org.evil/web/x:1 quay.io/a/x": "source registry.ci.openshift.org.evil/web/x:1 is outside",
	} {
		ms, found := mapping.Parse(strings.NewReader(line), "f")
		if err := found.Err(); err != nil || len(ms) != 1 {
			t.Fatalf("%s: %v", line, err)
		}
		got := ""
		for _, err := range []error{b.Destination(&ms[0]), b.Source(&ms[0])} {
			if err != nil {
				got += err.Error()
			}
		}
		if want == "" && got != "" || !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
}

// docs/reference/policy.md has every key, and an example that sets them all.
func TestDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/reference/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented, keys []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z.]+)` \\|").FindAllStringSubmatch(string(doc), -1) {
		documented = append(documented, m[1])
	}
	_, text, _ := strings.Cut(string(doc), "```yaml\n")
	text, _, _ = strings.Cut(text, "```")
	p := parsed(t, text)
	bounds := reflect.ValueOf(p.bounds)
	for i := range bounds.NumField() {
		key := bounds.Type().Field(i).Tag.Get("yaml")
		if key == "-" {
			continue
		}
		keys = append(keys, key)
		if bounds.Field(i).IsZero() {
			t.Errorf("the example does not set %s", key)
		}
	}
	if diff := cmp.Diff(append(keys, "network", "sets", "ports", "cidrs"), documented); diff != "" {
		t.Errorf("keys (-code +docs/reference/policy.md):\n%s", diff)
	}
	if len(p.sets) == 0 || len(p.network.Ports) == 0 || len(p.network.CIDRs) == 0 {
		t.Error("the example does not set sets, or the keys of network")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte(head + "  sets: &a {b: {sets: *a}, '': , [x]: y}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, found := Parse("f", data)
		for set := range p.Sets {
			b := p.For(set)
			s := b.Lower(settings.Settings{Timeout: settings.MinTimeout}.WithDefaults())
			if found.Err() == nil && (s.Shards < 1 || s.Cap < 1 || s.Retries < 1 || s.Timeout < settings.MinTimeout) {
				t.Errorf("no run has %+v", s)
			}
		}
		for _, f := range found.All() {
			if line := fmt.Sprint(f); !strings.HasPrefix(line, "f:") || len(line) > 2000 {
				t.Errorf("no line of an error: %q", line)
			}
		}
	})
}

func TestNetworkRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"{ports: [0]}":                        "f:6: ",
		"{ports: [65536]}":                    "f:6: ",
		"{ports: [443, 443]}":                 "f:6: port 443 is there twice",
		"{ports: [\"443:8443\"]}":             "f:6: ",
		"{cidrs: [10.0.0.1]}":                 "f:6: cidr \"10.0.0.1\" is not a range",
		"{cidrs: [10.0.0.1/8]}":               "f:6: cidr 10.0.0.1/8 has an address within the range: write 10.0.0.0/8",
		"{cidrs: [10.0.0.0/8, 10.0.0.0/8]}":   "f:6: cidr 10.0.0.0/8 is there twice",
		"{cidrs: [\"0.0.0.0/0}\\n  x: {y\"]}": "f:6: ",
		"{hosts: [quay.io]}":                  "f:6: unknown key \"hosts\": write ports or cidrs",
		"\n  sets:\n    web: {network: {}}":   "f:8: unknown key \"network\"",
	} {
		_, found := Parse("f", []byte("apiVersion: imagemirror/v1\nkind: Policy\nmetadata:\n  name: p\nspec:\n  network: "+text+"\n"))
		if err := found.Err(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}
