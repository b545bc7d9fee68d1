package settings

import "imagemirror/internal/strictyaml"

// public reads whether strangers have to be able to pull what the set publishes.
func (s *Settings) public(v strictyaml.Value) { s.Public = v.Bool() }
