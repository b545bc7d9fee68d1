package settings

import (
	"time"

	"imagemirror/internal/strictyaml"
)

// Defaults and bounds of prune.
const (
	DefaultPruneAfter = 30 * 24 * time.Hour
	DefaultPruneMost  = 50
	minPruneAfter     = time.Second
	maxPruneAfter     = 366 * 24 * time.Hour
	MaxPruneMost      = 1000
)

// Prune says what may be deleted of what the set has published and its mappings do not name any
// more.
type Prune struct {
	After time.Duration `yaml:"after"` // for which no mapping has named a tag
	Most  int           `yaml:"most"`  // tags that are deleted at once
}

func (s *Settings) prune(v strictyaml.Value) {
	v.Keys(
		strictyaml.Key{Name: "after", Read: duration(&s.Prune.After, minPruneAfter, maxPruneAfter)},
		strictyaml.Key{Name: "most", Read: number(&s.Prune.Most, 1, MaxPruneMost)},
	)
}
