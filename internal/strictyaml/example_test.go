package strictyaml_test

import (
	"fmt"
	"time"

	"imagemirror/internal/finding"
	"imagemirror/internal/strictyaml"
)

// Read calls visit with the document, and reports each mistake with its line.
func ExampleRead() {
	const file = `name: knative
timeout: 90s
shards: many
cap: 64
`
	var name string
	var timeout time.Duration
	found := strictyaml.Read(finding.Input, "settings.yaml", []byte(file), 64<<10, func(v strictyaml.Value) {
		v.Keys(
			strictyaml.Key{Name: "name", Read: func(v strictyaml.Value) { name, _ = v.Text() }},
			strictyaml.Key{Name: "timeout", Read: func(v strictyaml.Value) { timeout = v.Duration(time.Minute, time.Hour) }},
			strictyaml.Key{Name: "shards", Read: func(v strictyaml.Value) { v.Number(1, 256) }},
		)
	})
	fmt.Println(name, timeout)
	for _, f := range found.All() {
		fmt.Println("line", f.Line)
	}
	// Output:
	// knative 1m30s
	// line 3
	// line 4
}
