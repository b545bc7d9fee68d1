package tagname

import (
	"errors"
	"strings"
	"testing"
	"time"
)

var values = Values{
	Tag: "v1.2", SourceTag: "latest", Digest: "sha256:0123456789abcdef" + strings.Repeat("f", 48),
	Date: time.Date(2026, time.November, 29, 23, 30, 5, 0, time.FixedZone("", -3600)),
	Label: func(name string) (string, error) {
		switch name {
		case "version":
			return "1.2.3", nil
		case "hostile":
			return "../../v2/x\x1b[31m", nil
		case "long":
			return strings.Repeat("x", 10_000), nil
		case "companion":
			return "sha256-" + strings.Repeat("a", 64), nil
		}
		return "", errors.New("no such label")
	},
}

func TestExpand(t *testing.T) {
	for _, c := range []struct{ template, want string }{
		{"{tag}-{digest:12}", "v1.2-0123456789ab"},
		{"{date:20060102}-{digest:12}", "20261130-0123456789ab"}, // in UTC, it is the next day
		{"{date:2006-01-02T150405}", "2026-11-30T003005"},
		{"{source.tag}_of_{tag}", "latest_of_v1.2"},
		{"{label:version}-{digest:64}", "1.2.3-0123456789abcdef" + strings.Repeat("f", 48)},
		{"previous", "previous"},
		{"_x", "_x"},
		{"sha256-{digest:12}", "sha256-0123456789ab"},
	} {
		parsed, err := Parse(c.template)
		if err != nil {
			t.Errorf("%s: %v", c.template, err)
			continue
		}
		if got, err := parsed.Expand(values); err != nil || got != c.want {
			t.Errorf("%s makes %q (%v), want %q", c.template, got, err, c.want)
		}
		if parsed.String() != c.template {
			t.Errorf("%s is shown as %s", c.template, parsed)
		}
	}
}

func TestExpandRefuses(t *testing.T) {
	long := values
	long.Tag = strings.Repeat("t", 120)
	none := values
	none.Tag, none.SourceTag = "", ""
	for _, c := range []struct {
		template string
		v        Values
		want     string
	}{
		{"{tag}-{digest:12}", long, "which is not a tag"},
		{"x{tag}", none, "the destination has no tag"},
		{"x{source.tag}", none, "the source has no tag"},
		{"{label:hostile}", values, "which is not a tag"},
		{"x-{label:long}", values, "which is not a tag"},
		{"{label:missing}", values, "no such label"},
		{"{label:companion}", values, "where signatures and other referrers of an image are"},
	} {
		parsed, err := Parse(c.template)
		if err != nil {
			t.Fatalf("%s: %v", c.template, err)
		}
		got, err := parsed.Expand(c.v)
		if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 500 || strings.ContainsRune(err.Error(), '\x1b') {
			t.Errorf("%s makes %q, %v; want an error that says %q", c.template, got, err, c.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ template, want string }{
		{"", "must have 1 to 300 bytes"},
		{strings.Repeat("x", 301), "must have 1 to 300 bytes"},
		{strings.Repeat("x", 129), "128 at most"},
		{"-x", `begins with "-"`},
		{".x", `begins with "."`},
		{"{tag", "has a { without a }"},
		{"a b", `has the text "a b"`},
		{"a/b", `has the text "a/b"`},
		{"a}b", `has the text "a}b"`},
		{"{Tag}", "has the placeholder {Tag}"},
		{"{tag:1}", "has the placeholder {tag:1}"},
		{"{}", "has the placeholder {}"},
		{"{digest}", "has the placeholder {digest}"},
		{"{digest:}", "has {digest:}"},
		{"{digest:3}", "with 4 to 64 digits"},
		{"{digest:65}", "with 4 to 64 digits"},
		{"{digest:012}", "has {digest:012}"},
		{"{digest:+12}", "has {digest:+12}"},
		{"{date:}", "has the placeholder {date:}"},
		{"{date:today}", "has no part of a date"},
		{"{date:15:04}", "which stands for"},
		{"{date:2006/01}", "which stands for"},
		{"{date:200601_2}", `which stands for "200101 7"`},
		{"{date:2006-__2}", `which stands for "2001-  7"`},
		{"{date:05,999}", `which stands for "03,456"`},
		{"{label:}", "has the placeholder {label:}"},
		{"{label:\x1b}", "has the placeholder"},
		{"sha256-{digest:64}", "where signatures and other referrers of an image are"},
		{"sha256-{digest:64}.sig", "where signatures and other referrers of an image are"},
		{strings.Repeat("x", 100) + "{digest:64}", "which is not a tag"},
	} {
		if _, err := Parse(c.template); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want an error that says %q", c.template, err, c.want)
		}
	}
}

func TestKindsOfTemplates(t *testing.T) {
	for _, c := range []struct {
		template              string
		fixed, pinned, labels bool
	}{
		{"{tag}-previous", true, false, false},
		{"{source.tag}x", true, false, false},
		{"{tag}-{digest:12}", false, true, false},
		{"{date:2006}", false, false, false},
		{"{label:a}", false, false, true},
	} {
		parsed, err := Parse(c.template)
		if err != nil {
			t.Fatal(err)
		}
		if parsed.Fixed() != c.fixed || parsed.Pinned() != c.pinned || parsed.NeedsLabels() != c.labels {
			t.Errorf("%s: fixed %v, pinned %v, labels %v", c.template, parsed.Fixed(), parsed.Pinned(), parsed.NeedsLabels())
		}
	}
}

// Whatever a template and its values are, the result is a tag, which no path or query can come of.
func FuzzExpand(f *testing.F) {
	for _, s := range []string{"{tag}-{digest:12}", "{date:20060102}", "{label:x}-{source.tag}", "sha256-{digest:64}", "{", "}{", "{date:Jan}"} {
		f.Add(s, "v1", "1.2.3")
	}
	f.Fuzz(func(t *testing.T, template, tag, label string) {
		parsed, err := Parse(template)
		if err != nil {
			return
		}
		v := values
		v.Tag, v.SourceTag = tag, tag
		v.Label = func(string) (string, error) { return label, nil }
		got, err := parsed.Expand(v)
		if err == nil && (!tagRE.MatchString(got) || companionRE.MatchString(got)) {
			t.Errorf("%q makes %q", template, got)
		}
		if again, _ := parsed.Expand(v); again != got {
			t.Errorf("%q makes %q and then %q", template, got, again)
		}
	})
}
