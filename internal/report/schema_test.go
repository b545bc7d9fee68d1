package report

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"imagemirror/internal/fault"
	"imagemirror/internal/report/reporttest"
	"imagemirror/internal/selection"
)

func schema(t *testing.T) reporttest.Schema {
	return reporttest.Load(t, "../../docs/reference/report.schema.json")
}

// at returns the part of a JSON document that the keys lead to.
func at(t *testing.T, doc any, keys ...string) map[string]any {
	t.Helper()
	for _, key := range keys {
		next, ok := doc.(map[string]any)[key]
		if !ok {
			t.Fatalf("the schema has no %s", strings.Join(keys, "."))
		}
		doc = next
	}
	return doc.(map[string]any)
}

// TestSchemaHasTheKeysOfTheProgram compares each object of the schema with the type that writes
// it: its keys, and which of them are always there.
func TestSchemaHasTheKeysOfTheProgram(t *testing.T) {
	doc := schema(t).Document
	for _, c := range []struct {
		object map[string]any
		typ    any
	}{
		{at(t, doc, "properties", "run"), Run{}},
		{at(t, doc, "properties", "summary"), Summary{}},
		{at(t, doc, "$defs", "registry"), Traffic{}},
		{at(t, doc, "$defs", "cause"), Cause{}},
		{at(t, doc, "$defs", "cause", "properties", "sets", "items"), CauseSet{}},
		{at(t, doc, "$defs", "result"), Result{}},
		{at(t, doc, "$defs", "selection"), Selection{}},
		{at(t, doc, "$defs", "selection", "properties", "steps", "items"), selection.Step{}},
	} {
		var keys, always []string
		typ := reflect.TypeOf(c.typ)
		for _, f := range reflect.VisibleFields(typ) {
			key, option, _ := strings.Cut(f.Tag.Get("json"), ",")
			if key == "-" {
				continue
			}
			keys = append(keys, key)
			if option == "" {
				always = append(always, key)
			}
		}
		var has, required []string
		for key := range at(t, c.object, "properties") {
			has = append(has, key)
		}
		for _, key := range c.object["required"].([]any) {
			required = append(required, key.(string))
		}
		for _, list := range [][]string{keys, always, has, required} {
			slices.Sort(list)
		}
		if !slices.Equal(keys, has) || !slices.Equal(always, required) {
			t.Errorf("%s has the keys %q, always %q; the schema %q, always %q", typ, keys, always, has, required)
		}
	}
	var kinds []any
	for _, k := range fault.Kinds() {
		kinds = append(kinds, string(k))
	}
	if got := at(t, doc, "$defs", "cause", "properties", "kind")["examples"]; !reflect.DeepEqual(got, kinds) {
		t.Errorf("the schema has the kinds %v, want %v", got, kinds)
	}
}

// TestReadersAllowNewKeys looks for what would make a reader with this schema refuse the report of
// a later version.
func TestReadersAllowNewKeys(t *testing.T) {
	s := schema(t)
	content, err := json.Marshal(s.Document)
	if err != nil {
		t.Fatal(err)
	}
	for _, closed := range []string{"additionalProperties", "unevaluatedProperties", "maxProperties", "propertyNames"} {
		if bytes.Contains(content, []byte(closed)) {
			t.Errorf("the schema has %s", closed)
		}
	}
	r, err := build(t, wholeRun()...)
	if err != nil {
		t.Fatal(err)
	}
	r.From(Origin{Trigger: "cron"})
	var b bytes.Buffer
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	later := strings.ReplaceAll(b.String(), `"status":`, `"new":{"a":1},"status":`)
	later = strings.Replace(later, `"run":`, `"new":null,"run":`, 1)
	later = strings.ReplaceAll(later, `"kind":"missing"`, `"kind":"of-a-later-version"`)
	s.Validate(t, []byte(later))
}

func TestSchemaRefuses(t *testing.T) {
	r, err := build(t, wholeRun()...)
	if err != nil {
		t.Fatal(err)
	}
	r.From(Origin{Trigger: "cron"})
	var b bytes.Buffer
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	s := schema(t)
	s.Validate(t, b.Bytes())
	for _, c := range []struct{ name, old, new string }{
		{"a status", `"status":"copied"`, `"status":"done"`},
		{"a missing status", `"status":"copied",`, ``},
		{"a time", `"first":"2026`, `"first":"yesterday `},
		{"a digest", `"digest":"sha256:`, `"digest":"sha512:`},
		{"a negative number", `"mappings":31`, `"mappings":-1`},
		{"a trigger", `"trigger":"cron"`, `"trigger":"moon"`},
		{"a failure without a kind", `"kind":"missing","cause"`, `"cause"`},
	} {
		changed := strings.Replace(b.String(), c.old, c.new, 1)
		doc := map[string]any{}
		if err := json.Unmarshal([]byte(changed), &doc); err != nil || changed == b.String() {
			t.Fatalf("%s: %v", c.name, err)
		}
		if err := s.Schema.Validate(doc); err == nil {
			t.Errorf("the schema accepts %s", c.name)
		}
	}
}
