// Package registries is the environment of the commands that ask registries, and the client that
// it configures.
package registries

import (
	"os"

	"imagemirror/internal/credentials"
	"imagemirror/internal/credentials/cloud"
	"imagemirror/internal/registry"
)

// ClientEnv is the part of the environment that a client of registries needs.
type ClientEnv struct {
	registry.Config
	credentials.Options
}

// Env is the environment of the commands that plan or copy.
type Env struct {
	ClientEnv
	ForeignLayers bool `split_words:"true" default:"false" desc:"also copy foreign layers, which are not for redistribution"`
}

// Client returns a client that has all credentials.
func (e ClientEnv) Client() (*registry.Client, error) {
	keys, err := credentials.Load(os.Getenv, e.Options, cloud.Keychains()...)
	if err != nil {
		return nil, err
	}
	return registry.New(e.Config, keys)
}

// PullClient returns a client that has pull credentials only. A check of a pull request must not
// use credentials that can push.
func (e ClientEnv) PullClient() (*registry.Client, error) {
	keys, err := credentials.LoadPull(e.Options)
	if err != nil {
		return nil, err
	}
	return registry.New(e.Config, keys)
}
