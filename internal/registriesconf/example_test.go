package registriesconf_test

import (
	"fmt"
	"os"
	"path/filepath"

	"imagemirror/internal/reference"
	"imagemirror/internal/registriesconf"
)

// Sources may be read from a mirror. Destinations are written to the location only.
func ExampleConfig_Sources() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "registries.conf")
	const file = `[[registry]]
prefix = "registry.example.com/ci"
location = "ci.internal:5000/images"

[[registry.mirror]]
location = "cache.internal/images"
`
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		fmt.Println(err)
	}
	config, err := registriesconf.Load(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	app := reference.Reference{Registry: "registry.example.com", Repository: "ci/app", Tag: "v1"}
	sources, err := config.Sources(app)
	for _, s := range sources {
		fmt.Println("read", s.Registry, s.Repository)
	}
	if err != nil {
		fmt.Println(err)
	}
	destination, err := config.Destination(app)
	fmt.Println("write", destination.Registry, destination.Repository, err)
	// Output:
	// read cache.internal images/app
	// read ci.internal:5000 images/app
	// write ci.internal:5000 images/app <nil>
}
