// Package state stores what split, copy and report pass to each other when they are pods: the
// named objects of a run, in a directory or in ConfigMaps. An object is put once and never
// changes, so readers always see all of it. A writer that dies leaves a name that is taken,
// but no object.
package state

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"

	"k8s.io/apimachinery/pkg/util/validation"
)

// A Store keeps the objects of one run. Its methods are safe for concurrent use, even by
// several processes.
type Store interface {
	// Put stores what write writes under a new name. It fails with ErrExists if the name is
	// taken, even if its writer died. If write fails, there is no object.
	Put(ctx context.Context, name string, write func(io.Writer) error) error
	// Get calls read with an object of at most limit bytes. It fails with ErrNotThere if no
	// complete object has the name, and with the error of read. What was read counts only if it
	// does not fail.
	Get(ctx context.Context, name string, limit int64, read func(io.Reader) error) error
}

// Errors of a Store, which are wrapped.
var (
	ErrExists   = errors.New("it exists already")
	ErrNotThere = errors.New("it does not exist")
	ErrForeign  = errors.New("it is from another run")
)

// configMapsName is the value of Location.State for ConfigMaps.
const configMapsName = "configmaps"

// A Location is where the state is, from the environment.
type Location struct {
	State     string `desc:"where the state of a run is stored: configmaps or a directory; configmaps if only MIRROR_RUN is set"`
	Run       string `desc:"name of the run, the same for its split, copies and report; if unset, only files and pipes are used"`
	RunUID    string `split_words:"true" desc:"UID of the PipelineRun that MIRROR_RUN names, which will own the ConfigMaps"`
	Attempts  int    `default:"5" desc:"the most attempts of a shard, at least the retries of copy's Task plus one"`
	Namespace string `desc:"namespace of the ConfigMaps; if unset, that of the service account or of the context in KUBECONFIG"`
}

// Asked reports whether a state is configured.
func (l Location) Asked() bool { return l.State != "" || l.Run != "" }

// Open opens the run that the environment names. It returns nil if no state is configured.
func (l Location) Open() (*Run, error) {
	if !l.Asked() {
		return nil, nil
	}
	// The Task sets MIRROR_STATE to the path of an optional workspace, which may be empty.
	l.State = cmp.Or(l.State, configMapsName)
	if problems := validation.IsDNS1123Subdomain(l.Run); len(problems) > 0 {
		return nil, fmt.Errorf("MIRROR_RUN is %q: give the run a name of at most 253 lower-case letters, digits, '-' and '.'", l.Run)
	}
	if l.Attempts < 1 || l.Attempts > 100 {
		return nil, fmt.Errorf("MIRROR_ATTEMPTS is %d: give a number from 1 to 100", l.Attempts)
	}
	open := openDirectory
	if l.State == configMapsName {
		open = openConfigMaps
	}
	store, err := open(l)
	return &Run{store: store, name: l.Run, attempts: l.Attempts}, err
}

// objectName matches names that are valid as part of the name of a file and of a ConfigMap.
var objectName = regexp.MustCompile(`^[a-z0-9]+([-.][a-z0-9]+)*$`)

const maxObjectName = 40

// checkName fails if a name is not valid in every store.
func checkName(name string) error {
	if len(name) > maxObjectName || !objectName.MatchString(name) {
		return fmt.Errorf("%q is not the name of an object", name)
	}
	return nil
}

// failed adds to err what was being done with which object.
func failed(doing, name string, err error) error {
	return fmt.Errorf("%s %s: %w", doing, name, err)
}
