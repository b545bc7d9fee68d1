package settings

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/platforms"
	"imagemirror/internal/tagname"
	"imagemirror/internal/text"
	"imagemirror/internal/window"
)

// docs/reference/settings.md has every key with its default, and an example that sets them all.
func TestDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/reference/settings.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-zA-Z.]+)` \\| `?(.*?)`? \\|").FindAllStringSubmatch(string(doc), -1) {
		documented[m[1]] = m[2]
	}
	defaults := map[string]string{}
	keys("", reflect.ValueOf(Settings{}.WithDefaults()), func(key string, value reflect.Value) { defaults[key] = written(key, value) })
	if diff := cmp.Diff(defaults, documented); diff != "" {
		t.Errorf("keys and defaults (-code +docs/reference/settings.md):\n%s", diff)
	}
	_, example, _ := strings.Cut(string(doc), "```yaml\n")
	example, _, _ = strings.Cut(example, "```")
	s, found := Parse("docs/reference/settings.md", []byte(example))
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	keys("", reflect.ValueOf(s), func(key string, value reflect.Value) {
		if value.IsZero() {
			t.Errorf("the example does not set %s", key)
		}
	})
}

// keys calls visit for each key of a file below spec.
func keys(above string, s reflect.Value, visit func(key string, value reflect.Value)) {
	for i := range s.NumField() {
		name := s.Type().Field(i).Tag.Get("yaml")
		_, leaf := s.Field(i).Interface().(fmt.Stringer)
		switch {
		case name == "-":
		case leaf:
			visit(above+name, s.Field(i))
		case s.Field(i).Kind() == reflect.Struct:
			keys(name+".", s.Field(i), visit)
		default:
			visit(above+name, s.Field(i))
		}
	}
}

// written returns a default as people write it.
func written(key string, value reflect.Value) string {
	switch v := value.Interface().(type) {
	case window.Window:
		return "always"
	case time.Duration:
		if key == "stale" {
			return "never"
		}
		return text.Duration(v)
	case Prefixes:
		return "any"
	case []string, []VerifyRule, tagname.Template, []tagname.Template, platforms.List:
		return "none"
	case Select:
		return "all tags"
	default:
		switch key {
		case "rate", "bandwidth":
			return "no limit"
		case "reserve":
			return "none"
		case "window.above":
			return "1Gi"
		}
		return fmt.Sprint(v)
	}
}
