package mapping_test

import (
	"fmt"
	"strings"

	"imagemirror/internal/mapping"
)

// Parse goes on after a mistake: it returns the mappings of all other lines.
func ExampleParse() {
	const file = `# the operator, under two tags
registry.example.com/ci/operator:v1 quay.io/team/operator:v1 quay.io/team/operator:latest
registry.example.com/ci/operator quay.io/team/operator:v2
registry.example.com/ci/images:v1.* quay.io/team/images
`
	mappings, findings := mapping.Parse(strings.NewReader(file), "mapping_team")
	for _, m := range mappings {
		fmt.Printf("line %d: %s to %s\n", m.Line, m.Source, m.Destination)
	}
	for _, f := range findings.All() {
		fmt.Println(f.File, f.Line, f.Warning)
	}
	// Output:
	// line 2: registry.example.com/ci/operator:v1 to quay.io/team/operator:v1
	// line 2: registry.example.com/ci/operator:v1 to quay.io/team/operator:latest
	// line 4: registry.example.com/ci/images:v1.* to quay.io/team/images
	// mapping_team 3 false
}
