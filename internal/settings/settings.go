// Package settings reads the settings.yaml of an image set: when it runs, where it may publish, which of its tags never move,
// and what its runs are allowed.
//
// The file has the form of a Kubernetes object, so that the set's kustomization can take values from it into the objects
// that carry them. It is the one place where they are written.
package settings

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"imagemirror/internal/finding"
	"imagemirror/internal/reference"
	"imagemirror/internal/strictyaml"
)

// File is the name of the file in a set's directory.
const File = "settings.yaml"

// What a settings file says that it is.
const (
	APIVersion = "imagemirror/v1"
	Kind       = "Settings"
)

// LocalConfig is the annotation of files that kustomize reads and does not apply, if it is "true".
const LocalConfig = "config.kubernetes.io/local-config"

// What holds where a file does not say it.
const (
	DefaultSchedule      = "0 * * * *" // hourly
	DefaultShards        = 8
	DefaultCap           = 64
	DefaultRetries       = 10
	DefaultTimeout       = 5 * time.Hour
	DefaultHistoryRuns   = 10
	DefaultHistoryFailed = 3
	DefaultHistoryAge    = 7 * 24 * time.Hour
)

// Bounds of what a file may say.
const (
	MaxFile = 64 << 10 // bytes
	// ForReport is what of a run's timeout is left to report, which runs also where the time of the others is over.
	ForReport  = 15 * time.Minute
	MinTimeout = 2 * ForReport
	maxTimeout = 7 * 24 * time.Hour
	maxText    = 100 // bytes of a schedule, or of one to tell
)

// Settings are what a settings file says. What it does not say is the zero value: see WithDefaults.
type Settings struct {
	Name         string        `yaml:"-"`            // the set's
	NameLine     int           `yaml:"-"`            // where the name stands in the file
	LocalConfig  bool          `yaml:"-"`            // the annotation LocalConfig keeps the file from being applied
	Schedule     string        `yaml:"schedule"`     // when a run starts, in five cron fields
	Destinations []string      `yaml:"destinations"` // prefixes, HOST[/PATH], that destinations must have; none: any
	Immutable    []string      `yaml:"immutable"`    // patterns, with *, of destination tags that never move
	Shards       int           `yaml:"shards"`       // the most that a run is cut into
	Cap          int           `yaml:"cap"`          // requests in flight to one registry by a whole run
	Retries      int           `yaml:"retries"`      // tries of a request that a registry does not answer well
	Timeout      time.Duration `yaml:"timeout"`      // of a whole run
	Notify       []string      `yaml:"notify"`       // whom to tell when a run fails
	History      History       `yaml:"history"`
}

// History says which finished runs are kept.
type History struct {
	Runs   int           `yaml:"runs"`   // so many of the newest
	Failed int           `yaml:"failed"` // and so many of the newest that failed, however many came after them
	Age    time.Duration `yaml:"age"`    // but none that ended longer ago
}

// Parse reads a settings file; file is its label in findings. What is right with the file is in the
// Settings even if something else is wrong.
func Parse(file string, data []byte) (Settings, *finding.List) {
	var s Settings
	found := strictyaml.Read(finding.Input, file, data, MaxFile, s.object)
	return s, found
}

// WithDefaults is s with the default of what it does not say.
func (s Settings) WithDefaults() Settings {
	s.Schedule = cmp.Or(s.Schedule, DefaultSchedule)
	s.Shards = cmp.Or(s.Shards, DefaultShards)
	s.Cap = cmp.Or(s.Cap, DefaultCap)
	s.Retries = cmp.Or(s.Retries, DefaultRetries)
	s.Timeout = cmp.Or(s.Timeout, DefaultTimeout)
	s.History.Runs = cmp.Or(s.History.Runs, DefaultHistoryRuns)
	s.History.Failed = cmp.Or(s.History.Failed, DefaultHistoryFailed)
	s.History.Age = cmp.Or(s.History.Age, DefaultHistoryAge)
	return s
}

// Allows says whether the set may publish to a destination.
func (s Settings) Allows(destination reference.Reference) bool {
	name := destination.Name() + "/"
	return len(s.Destinations) == 0 ||
		slices.ContainsFunc(s.Destinations, func(prefix string) bool { return strings.HasPrefix(name, prefix+"/") })
}

// Keeps says whether a tag of a destination, once it is there, never moves.
func (s Settings) Keeps(tag string) bool {
	return tag != "" && slices.ContainsFunc(s.Immutable, func(pattern string) bool { return reference.Reference{Tag: pattern}.Match(tag) })
}

// nameRE are the names of which mirror-NAME is one of a CronJob, which takes 52 characters.
var nameRE = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,43}[a-z0-9])?$`)

// reserved are the names of which mirror-NAME is an object that the sets share.
var reserved = []string{"listener", "start", "state"}

// CheckName refuses a set's name that Kubernetes would not take in the names of the set's objects, or of which they would
// replace what the sets share.
func CheckName(name string) error {
	if slices.Contains(reserved, name) {
		return fmt.Errorf("a set cannot be named %s: mirror-%s is what all sets share; take another name", name, name)
	}
	if !nameRE.MatchString(name) {
		return errors.New("a set's name has 1 to 45 lower-case letters, digits and '-', with no '-' at its ends")
	}
	return nil
}

// CheckSchedule refuses what is no cron expression, or none that Kubernetes takes.
func CheckSchedule(schedule string) error {
	const write = "write five fields, such as 7 * * * *"
	// A time zone stands beside a CronJob's schedule and is refused within it.
	if len(schedule) > maxText || strings.Contains(schedule, "=") {
		return fmt.Errorf("%.*q is no cron expression: %s", maxText, schedule, write)
	}
	if strings.HasPrefix(schedule, "@every") {
		return fmt.Errorf("%q is no time of day, and counts anew whenever the cluster does: %s", schedule, write)
	}
	when, err := cron.ParseStandard(schedule)
	if err != nil {
		return fmt.Errorf("%q is no cron expression: %s (%s)", schedule, write, strings.ReplaceAll(err.Error(), "\n", " "))
	}
	if when.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return fmt.Errorf("%q is a day that never comes: %s", schedule, write)
	}
	return nil
}
