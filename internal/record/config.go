package record

import (
	"cmp"
	"time"

	"imagemirror/internal/apiserver"
	"imagemirror/internal/report"
)

// configMapsName is the value of Config.Record for ConfigMaps.
const configMapsName = "configmaps"

// Config says where records are kept.
type Config struct {
	Record string `desc:"where the record of each image set is kept, which outlives runs: configmaps or a directory; none if unset"`

	Directory string `ignored:"true"` // of a flag, which comes before Record; or ""
	Namespace string `ignored:"true"` // of the ConfigMaps, or "" for that of the service account or context
}

// OpenStore opens the store. It returns nil if none is asked for.
func (c Config) OpenStore() (Store, error) {
	switch path := c.place(); path {
	case "":
		return nil, nil
	case configMapsName:
		return c.openConfigMaps()
	default:
		return OpenDirectory(path)
	}
}

// OpenReader opens the store for reading. It returns nil if none is asked for.
func (c Config) OpenReader() (Reader, error) {
	switch path := c.place(); path {
	case "":
		return nil, nil
	case configMapsName:
		return c.openConfigMaps()
	default:
		return ReadDirectory(path), nil
	}
}

func (c Config) place() string { return cmp.Or(c.Directory, c.Record) }

func (c Config) openConfigMaps() (*ConfigMaps, error) {
	config, namespace, err := apiserver.Find(c.Namespace)
	if err != nil {
		return nil, err
	}
	return OpenConfigMaps(config, namespace)
}

// Updates returns what a report tells of each image set, by its name. If the run was of one set as
// a whole, set names it. A dry run tells nothing.
func Updates(r *report.Report, set string, now time.Time) map[string]Update {
	all := map[string]Update{}
	switch {
	case r.Summary.Planned != nil && len(r.Summary.NoPlan) == 0:
	case set != "":
		all[set] = Update{Report: r, Whole: true, Now: now}
	default:
		for name, one := range r.BySet() {
			all[name] = Update{Report: one, Now: now}
		}
	}
	return all
}
