package stream

import (
	"fmt"
	"strings"
	"testing"

	"imagemirror/internal/selection"
)

func TestAttrition(t *testing.T) {
	steps := []selection.Step{{Name: selection.StepPattern, Left: 400}, {Name: selection.StepInclude, Left: 40}, {Name: selection.StepExclude, Left: 31}}
	for _, c := range []struct {
		of   Selection
		want string
	}{
		{Selection{}, "0 tags"},
		{Selection{Listed: 1, Selected: 1, Newest: []string{"v1"}}, "1 tag: v1"},
		{Selection{Listed: 412, Steps: steps, Selected: 31, Newest: []string{"v1.10", "v1.9"}}, "412 tags, 400 match the pattern, 40 after include, 31 after exclude: v1.10, v1.9 and 29 more"},
		{Selection{Listed: 7, Steps: []selection.Step{{Name: selection.StepCompanions, Left: 5}, {Name: selection.StepSemver, Left: 4}, {Name: selection.StepNewest, Left: 0}}},
			"7 tags, 5 without those of signatures, 4 after semver, 0 newest"},
	} {
		if got := c.of.Attrition(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestSelectionsThatCannotBeAreRefused(t *testing.T) {
	out := strings.Repeat(`{"tag":"a","why":"b"},`, 4)
	for in, want := range map[string]string{
		`"listed":2,"selected":1`:                                                               `has 1 tags and names 0, and its 0 steps leave 2`,
		`"listed":2,"selected":3,"steps":[{"name":"newest","left":3}]`:                          `has a step that leaves 3 of 2 tags`,
		`"listed":2,"selected":0,"steps":[{"name":"age","left":0}]`:                             `has the unknown step "age"`,
		`"listed":2,"selected":1,"newest":["a","b"],"steps":[{"name":"newest","left":1}]`:       `has 1 tags and names 2`,
		`"listed":-1,"selected":-1,"newest":[]`:                                                 `has -1 tags`,
		`"listed":9,"selected":0,"steps":[{"name":"newest","left":0,"out":[` + out[:87] + `]}]`: `and names 4`,
	} {
		line := fmt.Sprintf(`{"selection":{"file":"f","line":1,"source":"a/b:*","rule":"s:7",%s}}`, in)
		if _, err := Read(strings.NewReader(lines(planHeader, line)), "in"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", in, err, want)
		}
	}
}
