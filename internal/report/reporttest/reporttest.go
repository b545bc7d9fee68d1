// Package reporttest checks in tests that the files of a report are what their published schemas
// say.
package reporttest

import (
	"bytes"
	"os"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// A Schema is the published schema of report.json or images.lock.
type Schema struct {
	*jsonschema.Schema
	Document map[string]any // as it is in the file
}

// Load reads a schema of docs/reference, whose path it is given.
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
	if err := c.AddResource(path, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(path)
	if err != nil {
		t.Fatal(err)
	}
	return Schema{s, doc.(map[string]any)}
}

// Validate fails the test if a file does not match the schema.
func (s Schema) Validate(t testing.TB, content []byte) {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
	if err != nil {
		t.Errorf("the file is no JSON: %v", err)
		return
	}
	if err := s.Schema.Validate(doc); err != nil {
		t.Errorf("the file does not match its schema: %v", err)
	}
}
