// Package reporttest checks in tests that a report.json is what its published schema says.
package reporttest

import (
	"bytes"
	"os"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// A Schema is the published schema of report.json.
type Schema struct {
	*jsonschema.Schema
	Document map[string]any // as it is in the file
}

// Load reads docs/reference/report.schema.json, whose path it is given.
func Load(t testing.TB, path string) Schema {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource("report.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("report.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return Schema{s, doc.(map[string]any)}
}

// Validate fails the test if a report.json does not match the schema.
func (s Schema) Validate(t testing.TB, content []byte) {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
	if err != nil {
		t.Errorf("report.json is no JSON: %v", err)
		return
	}
	if err := s.Schema.Validate(doc); err != nil {
		t.Errorf("report.json does not match its schema: %v", err)
	}
}
