// Package settings reads the settings.yaml of an image set: when it runs, where it may
// publish, which of its tags never move, and the limits of its runs.
//
// The file has the form of a Kubernetes object, so that kustomize can carry values from it
// into the objects that use them. A value is written in this file only.
package settings

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"imagemirror/internal/finding"
	"imagemirror/internal/reference"
	"imagemirror/internal/strictyaml"
	"imagemirror/internal/tagname"
)

// File is the name of the file in a set's directory.
const File = "settings.yaml"

// The type that a settings file declares.
const (
	APIVersion = "imagemirror/v1"
	Kind       = "Settings"
)

// LocalConfig names the annotation that, if "true", has kustomize read a file and not apply it.
const LocalConfig = "config.kubernetes.io/local-config"

// The defaults of keys that a file leaves out.
const (
	DefaultSchedule      = "0 * * * *" // hourly
	DefaultShards        = 8
	DefaultCap           = 64
	DefaultRetries       = 10
	DefaultTimeout       = 5 * time.Hour
	DefaultRemind        = 24 * time.Hour
	DefaultHistoryRuns   = 10
	DefaultHistoryFailed = 3
	DefaultHistoryAge    = 7 * 24 * time.Hour
)

// Bounds on a file and on its values.
const (
	MaxFile = 64 << 10 // bytes
	// ForReport is the part of a run's timeout that is left for report, which runs even if
	// the other steps ran out of time.
	ForReport  = 15 * time.Minute
	MinTimeout = 2 * ForReport
	MaxTimeout = 7 * 24 * time.Hour
	MinRemind  = time.Hour
	maxRemind  = 31 * 24 * time.Hour
	maxStale   = 366 * 24 * time.Hour
	maxText    = 100 // bytes of a schedule, or of an entry of notify
)

// Settings are the content of a settings file. A key that it leaves out is the zero value: see
// WithDefaults.
type Settings struct {
	Name         string         `yaml:"-"`            // of the set
	NameLine     int            `yaml:"-"`            // the line of the name
	LocalConfig  bool           `yaml:"-"`            // the annotation LocalConfig keeps the file from being applied
	Lines        map[string]int `yaml:"-"`            // the lines of the keys below spec that the file has
	Schedule     string         `yaml:"schedule"`     // when a run starts, in five cron fields
	Sources      Prefixes       `yaml:"sources"`      // that sources must have one of
	Destinations Prefixes       `yaml:"destinations"` // that destinations must have one of
	Immutable    []string       `yaml:"immutable"`    // patterns, with *, of destination tags that never move
	Shards       int            `yaml:"shards"`       // at most, of one run
	Cap          int            `yaml:"cap"`          // requests in flight to one registry by a whole run
	Rate         int            `yaml:"rate"`         // requests per second to one registry by a whole run; 0: no limit
	Retries      int            `yaml:"retries"`      // attempts per request on timeouts, 408, 429 and 5xx
	Timeout      time.Duration  `yaml:"timeout"`      // of a whole run
	Notify       []string       `yaml:"notify"`       // people whom a report of a failed run names
	Targets      []Target       `yaml:"-"`            // entries of notify to which notifications are sent
	Remind       time.Duration  `yaml:"remind"`       // time between two notifications of what goes on failing
	Stale        time.Duration  `yaml:"stale"`        // age at which a destination that was not good since is stale; 0: none is
	Referrers    Referrers      `yaml:"referrers"`    // what travels with images

	Tags   []tagname.Template `yaml:"tags"`   // of the additional tags that each image that moves gets
	Keep   tagname.Template   `yaml:"keep"`   // of the tag that keeps what a tag pointed at before it moves
	Select Select             `yaml:"select"` // which tags of wildcard sources are mirrored

	Public bool         `yaml:"public"` // strangers have to be able to pull what is published
	Verify []VerifyRule `yaml:"verify"` // what images must be before they are published

	Platforms Platforms `yaml:"platforms"` // for which images are copied
	History   History   `yaml:"history"`

	// What a run leaves for later ones.
	Reserve       int           `yaml:"reserve"`       // pulls of a metered source that the set leaves for others; 0: it does not look
	AllowDeferred bool          `yaml:"allowDeferred"` // a run is good though images wait for pulls
	Recheck       time.Duration `yaml:"recheck"`       // age at which registries are asked again for an immutable tag
	Window        LargeWindow   `yaml:"window"`        // when large images are copied
	Bandwidth     int64         `yaml:"bandwidth"`     // bytes of blobs per second by a whole run; 0: no limit
	Prune         Prune         `yaml:"prune"`         // what may be deleted
}

// A History limits the finished runs that are kept.
type History struct {
	Runs   int           `yaml:"runs"`   // newest runs to keep
	Failed int           `yaml:"failed"` // newest failed runs to keep, whatever came after
	Age    time.Duration `yaml:"age"`    // runs that ended longer ago are deleted in any case
}

// Parse reads a settings file; file is its label in findings. What is right with the file is
// in the Settings even if something else is wrong.
func Parse(file string, data []byte) (Settings, *finding.List) {
	var s Settings
	found := strictyaml.Read(finding.Input, file, data, MaxFile, s.object)
	for _, r := range s.Select {
		r.File = file
	}
	return s, found
}

// WithDefaults returns s with the defaults of the keys that it leaves out.
func (s Settings) WithDefaults() Settings {
	s.Schedule = cmp.Or(s.Schedule, DefaultSchedule)
	s.Shards = cmp.Or(s.Shards, DefaultShards)
	s.Cap = cmp.Or(s.Cap, DefaultCap)
	s.Retries = cmp.Or(s.Retries, DefaultRetries)
	s.Timeout = cmp.Or(s.Timeout, DefaultTimeout)
	s.Remind = cmp.Or(s.Remind, DefaultRemind)
	s.Prune.After = cmp.Or(s.Prune.After, DefaultPruneAfter)
	s.Prune.Most = cmp.Or(s.Prune.Most, DefaultPruneMost)
	s.Referrers.Copy = cmp.Or(s.Referrers.Copy, CopyCopied)
	s.Platforms.Form = cmp.Or(s.Platforms.Form, FormSparse)
	s.Recheck = cmp.Or(s.Recheck, DefaultRecheck)
	s.Window.Above = cmp.Or(s.Window.Above, DefaultWindowAbove)
	s.History.Runs = cmp.Or(s.History.Runs, DefaultHistoryRuns)
	s.History.Failed = cmp.Or(s.History.Failed, DefaultHistoryFailed)
	s.History.Age = cmp.Or(s.History.Age, DefaultHistoryAge)
	return s
}

// Keeps reports whether a tag of a destination never moves once it exists.
func (s Settings) Keeps(tag string) bool {
	return tag != "" && slices.ContainsFunc(s.Immutable, func(pattern string) bool { return reference.Reference{Tag: pattern}.Match(tag) })
}

// nameRE matches the names for which mirror-NAME can be a CronJob: at most 52 characters.
var nameRE = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,43}[a-z0-9])?$`)

// reserved lists the names for which mirror-NAME is an object that all sets share.
var reserved = []string{"listener", "start", "state"}

// CheckName refuses a set's name that cannot be part of the names of Kubernetes objects, and
// one with which the set's objects would replace what all sets share.
func CheckName(name string) error {
	if slices.Contains(reserved, name) {
		return fmt.Errorf("a set cannot be named %s, since all sets share mirror-%s: choose another name", name, name)
	}
	if !nameRE.MatchString(name) {
		return errors.New("a set's name has 1 to 45 lower-case letters, digits and '-', with no '-' at its ends")
	}
	return nil
}
