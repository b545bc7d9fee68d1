package foreign

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// told returns a file's entries and what was found, as lines.
func told(t *testing.T, tool *Tool, text string) (entries, found []string) {
	t.Helper()
	c, list := Read(tool, "f", []byte(text), SkopeoTarget{Prefix: "to.example/m"})
	for _, e := range c.Entries {
		line := e.Source.String()
		for _, d := range e.Destinations {
			line += " " + d.String()
		}
		if s := e.Select; s != nil {
			line += fmt.Sprintf(" +%q -%q %q %t", s.Include, s.Exclude, s.Semver, s.Prereleases)
		}
		if e.Options != (Options{}) {
			line += fmt.Sprintf(" %+v", e.Options)
		}
		entries = append(entries, line)
	}
	for _, f := range list.All() {
		found = append(found, f.Error())
	}
	return entries, found
}

const digest0 = "sha256:14b267eb38aa85fd12d0e168fffa2d8a6187ac53a14a0212b0d4fce8d729598c"

func TestEntries(t *testing.T) {
	step := func(lines string) string { return "sync:\n  - source: a.io/x\n    target: b.io/x\n" + lines }
	for _, c := range []struct {
		name string
		tool *Tool
		text string
		want []string
	}{
		{"regsync: an image without a tag is latest", nil, "sync: [{source: busybox, target: b.io/x, type: image}]", []string{"docker.io/library/busybox:latest b.io/x:latest"}},
		{"regsync: all tags", nil, step("    type: repository\n"), []string{"a.io/x:* b.io/x"}},
		{"regsync: tags that YAML reads as numbers", nil, step("    type: repository\n    tags: {allow: [3, 3.9, 1e3]}\n"),
			[]string{`a.io/x:* b.io/x +["3" "3.9" "1e3"] -[] "" false`}},
		{"regsync: ^ and $ are for one side of |", nil, step("    type: repository\n    tags: {allow: [v1|v2], deny: ['.*-rc(1|2)']}\n"),
			[]string{`a.io/x:* b.io/x +[".*(?:^v1|v2$).*"] -[".*-rc(1|2)"] "" false`}},
		{"regsync: ranges", nil, step("    type: repository\n    tags: {semverRange: ['>=1.2 <2', '^0.3', '~4.5.6-rc.1', v7]}\n"),
			[]string{`a.io/x:* b.io/x +[] -[] ">=1.2.0 <2.0.0 || >=0.3.0 <0.4.0 || >=4.5.6-rc.1 <4.6.0 || =7.0.0" true`}},
		{"regsync: sets of tags", nil, step("    type: repository\n    tagSets: [{allow: [a]}, {allow: [b]}]\n    tags: {allow: [c]}\n"),
			[]string{`a.io/x:* b.io/x +["a" "b" "c"] -[] "" false`}},
		{"regsync: defaults", nil, "defaults: {interval: 2h, backup: 'old-{{.Ref.Tag}}', ratelimit: {min: 7}, digestTags: true, fastCheck: true}\n" + step("    type: image\n"),
			[]string{`a.io/x:latest b.io/x:latest {Schedule: Interval:2h0m0s Platforms: Flatten:false Keep:old-{tag} Referrers:copied Types: Reserve:7}`}},
		{"regsync: an entry's own", nil, "defaults: {interval: 2h, referrers: true}\n" + step("    type: image\n    schedule: '@daily'\n    referrers: false\n    platform: linux/arm64\n"),
			[]string{`a.io/x:latest b.io/x:latest {Schedule:@daily Interval:0s Platforms:linux/arm64 Flatten:true Keep: Referrers:none Types: Reserve:0}`}},
		{"regsync: templates", nil, "sync: [{source: 'quay.io/{{ \"A\" | lower }}/x', target: 'b.io/{{ index (split .Sync.Source \"quay.io/\") 1 }}:{{ .Sync.Type }}', type: image}]",
			[]string{"quay.io/a/x:latest b.io/a/x:image"}},
		{"skopeo: not scoped", nil, "a.io:\n  images:\n    o/x: [1.0, " + digest0 + "]\n    o/y: []\n    o/z:\n",
			[]string{"a.io/o/x:1.0 to.example/m/x:1.0", "a.io/o/x@" + digest0 + " to.example/m/x", "a.io/o/y:* to.example/m/y", "a.io/o/z:* to.example/m/z"}},
		{"skopeo: expressions", nil, "a.io:\n  images-by-tag-regex: {x: '^v1', y: '1$', z: 'a|b', q: '^[ab]$', w: '\\.1\\$'}\n",
			[]string{`a.io/x:* to.example/m/x +["v1.*"] -[] "" false`, `a.io/y:* to.example/m/y +[".*1"] -[] "" false`, `a.io/z:* to.example/m/z +[".*(?:a|b).*"] -[] "" false`,
				`a.io/q:* to.example/m/q +["[ab]"] -[] "" false`, `a.io/w:* to.example/m/w +[".*\\.1\\$.*"] -[] "" false`}},
		{"skopeo: versions", nil, "a.io:\n  images-by-semver: {x: '>= 3.12'}\n", []string{`a.io/x:* to.example/m/x +[] -[] ">= 3.12" false`}},
		{"image-syncer: JSON with tabs", nil, "{\n\t\"a.io/x:1,2\": [\"b.io/x\",\t\"c.io/x:3,4\"]\n}",
			[]string{"a.io/x:1 b.io/x:1", "a.io/x:2 b.io/x:2", "a.io/x:1 c.io/x:3", "a.io/x:2 c.io/x:4"}},
		{"image-syncer: a digest", nil, "a.io/x@" + digest0 + ": b.io/x", []string{"a.io/x@" + digest0 + " b.io/x"}},
		{"image-syncer: a tag and a digest", nil, "a.io/x:1@" + digest0 + ": b.io/x", []string{"a.io/x:1@" + digest0 + " b.io/x:1"}},
		{"image-syncer: a port", nil, "a.io:5000/x: b.io:5000/x", []string{"a.io:5000/x:* b.io:5000/x"}},
		{"image-syncer: an expression with slashes and colons", nil, "'a.io/o/x:/^1(?:a/b)?$/': b.io/x", []string{`a.io/o/x:* b.io/x +["1(?:a/b)?"] -[] "" false`}},
		{"image-syncer: a repository of the name images", ImageSyncer, "images: b.io/x", []string{"docker.io/library/images:* b.io/x"}},
		{"image-syncer: the older form", nil, `{"auth": {}, "images": {"a.io/x:1": "b.io/x:2"}}`, []string{"a.io/x:1 b.io/x:2"}},
		{"image-syncer: credentials alone", nil, `{"a.io": {"username": "u", "password": "p"}}`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, found := told(t, c.tool, c.text)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("entries (-want +got):\n%s%s", diff, strings.Join(found, "\n"))
			}
		})
	}
}

func TestWhatCannotBeSaid(t *testing.T) {
	step := func(lines string) string {
		return "sync:\n  - source: a.io/x\n    target: b.io/x\n    type: repository\n" + lines
	}
	const left = "f:2: sync: the entry is left out: "
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"regsync: an unknown key", step("    frob: 1\n"), []string{"f:5: sync.frob: unknown here: what it asks for is not in the set"}},
		{"regsync: a top-level key", "frob: 1\nx-mine: 1\nsync: []", []string{"f:1: frob: unknown here: what it asks for is not in the set"}},
		{"regsync: a template that reads the environment", strings.Replace(step(""), "a.io/x", `'{{ env "X" }}'`, 1),
			[]string{left + `"{{ env \"X\" }}" cannot be expanded here (function "env" not defined): write the result out`}},
		{"regsync: a template with a loop", strings.Replace(step(""), "a.io/x", `'{{ range (split "a.b" ".") }}x{{ end }}'`, 1),
			[]string{left + `"{{ range (split \"a.b\" \".\") }}x{{ end }}" does more than this program expands: write the result out`}},
		{"regsync: a template with an unknown field", strings.Replace(step(""), "b.io/x", `'b.io/{{ .Sync.Frob }}'`, 1),
			[]string{left + `"b.io/{{ .Sync.Frob }}" cannot be expanded: write the result out`}},
		{"regsync: a local platform", step("    platform: local\n"), []string{"f:5: sync.platform: runs are the same on every machine: write a platform, such as linux/amd64"}},
		{"regsync: a schedule with a time zone", step("    schedule: CRON_TZ=UTC 1 * * * *\n"), []string{`f:5: sync.schedule: "CRON_TZ=UTC 1 * * * *" is not a cron expression: write five fields, such as 7 * * * *`}},
		{"regsync: sets of tags that differ", step("    tagSets: [{allow: [a], deny: [b]}, {allow: [c]}]\n"),
			[]string{left + "its sets of tags differ in what they deny or in their versions: write them as entries for different targets"}},
		{"regsync: no expression", step("    tags: {allow: ['v(']}\n"), []string{left + `"v(" is not a regular expression of RE2: missing closing ): "^v($"`}},
		{"regsync: four numbers", step("    tags: {semverRange: ['>1.2.3.4']}\n"), []string{left + `"1.2.3.4" has more than three numbers, which is not a semantic version`}},
		{"regsync: a repository with a tag", strings.Replace(step(""), "a.io/x", "a.io/x:v1", 1), []string{left + `"a.io/x:v1" has a tag or a digest: write only the repository`}},
		{"regsync: a user in a name", strings.Replace(step(""), "a.io/x", "me:hunter2@a.io/x", 1), []string{left + "this is a URL or names a user: write HOST/REPOSITORY:TAG"}},
		{"regsync: a type", "sync:\n  - {source: a.io/x, target: b.io/x, type: Image}", []string{`f:2: type is "Image": write image, repository or registry`}},
		{"regsync: a newer version", "version: 2\nsync: []", []string{"f:1: version is \"2\": write a number from 0 to 1, or leave it out"}},
		{"skopeo: a tag in a repository", "a.io:\n  images:\n    x:v1: [v2]\n", []string{`f:3: images: "x:v1" is left out: "a.io/x:v1" has a tag or a digest: write only the repository`}},
		{"skopeo: credentials", "a.io:\n  credentials: {username: u, password: p}\n  tls-verify: false\n",
			[]string{"f:2: credentials: credentials stay outside of image sets: see docs/how-to/credentials.md", "f:3: tls-verify: how a registry is reached belongs in registries.conf: see docs/reference/registries.md"}},
		{"image-syncer: tags of both sides", "a.io/x:1,2: b.io/x:3", []string{`f:1: images: a destination of "a.io/x:1,2" is left out: it has 1 tags, and its source 2`}},
		{"image-syncer: a tag for all tags", "a.io/x: b.io/x:3", []string{`f:1: images: a destination of "a.io/x" is left out: it has a tag, but its source stands for several: write only the repository`}},
		{"image-syncer: the environment", "a.io/x: $HOST/x", []string{`f:1: images: a destination of "a.io/x" is left out: it has an environment variable: replace it with its value`}},
		{"image-syncer: no destination", "a.io/x: ''\na.io/y: []", []string{
			`f:1: images: "a.io/x" is left out: it has no destination, and image sets have no default for one: write it out`,
			`f:2: images: "a.io/y" is left out: it has no destination, and image sets have no default for one: write it out`}},
		{"image-syncer: a user in a name", "https://me:hunter2@a.io/x: b.io/x", []string{"f:1: images: a source is left out: this is a URL or names a user: write HOST/REPOSITORY:TAG"}},
		{"no tool's", "version: 1", []string{"f:1: this does not look like a file of regsync, skopeo or image-syncer: name the tool with -from"}},
		{"a list", "- a.io/x", []string{"f:1: this does not look like a file of regsync, skopeo or image-syncer: name the tool with -from"}},
		{"nothing", "", []string{"f:1: this does not look like a file of regsync, skopeo or image-syncer: name the tool with -from"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, got := told(t, nil, c.text)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

// A mistake in JSON is at its line.
func TestMistakesInJSON(t *testing.T) {
	_, found := Read(nil, "images.json", []byte("{\n\t\"a.io/x\": \"b.io/x\",\n}\n"), SkopeoTarget{})
	want := "images.json:3: the file is not JSON: invalid character '}' looking for beginning of object key string"
	if err := found.Err(); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// FuzzRead checks that no file makes the program fail or brings in an invalid name.
func FuzzRead(f *testing.F) {
	for _, name := range []string{"regsync.yml", "skopeo.yaml", "images.yaml", "auth.json", "config.json"} {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("sync: [&a {<<: [*a, *a], source: *a, tags: *a}]"))
	f.Add([]byte("sync: [{source: '{{((((.Sync))))}}', target: '{{index .Sync.Source 1000000000}}', backup: '{{.}}'}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, tool := range []*Tool{nil, Regsync, Skopeo, ImageSyncer} {
			c, found := Read(tool, "f", data, SkopeoTarget{Prefix: "to.example/m", Scoped: true})
			for _, e := range c.Entries {
				if e.Source.Registry == "" || e.Source.Identifier() == "" || len(e.Destinations) == 0 || e.Line < 1 {
					t.Errorf("the entry %+v has no names", e)
				}
			}
			for _, f := range found.All() {
				if strings.Contains(f.Error(), "\n") {
					t.Errorf("%q has several lines", f.Error())
				}
			}
		}
	})
}
