// Package registries is the environment of the commands that ask registries, and the client that
// it configures.
package registries

import (
	"os"

	"imagemirror/internal/credentials"
	"imagemirror/internal/credentials/cloud"
	"imagemirror/internal/registry"
)

// Access is the part of the environment that a client of registries needs.
type Access struct {
	registry.Config
	credentials.Options
}

// Env is the environment of the commands that plan or copy.
type Env struct {
	Access
	ForeignLayers bool `split_words:"true" default:"false" desc:"also copy foreign layers, which are not for redistribution"`
}

// Client returns a client that has all credentials.
func (a Access) Client() (*registry.Client, error) {
	keys, err := credentials.Load(os.Getenv, a.Options, cloud.Keychains()...)
	if err != nil {
		return nil, err
	}
	return registry.New(a.Config, keys)
}

// PullClient returns a client that has pull credentials only. A check of a pull request must not use
// credentials that can push.
func (a Access) PullClient() (*registry.Client, error) {
	keys, err := credentials.LoadPull(a.Options)
	if err != nil {
		return nil, err
	}
	return registry.New(a.Config, keys)
}
