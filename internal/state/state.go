// Package state keeps what split, copy and report hand to each other where they are pods on several nodes: the objects of a
// run, by name, in a directory or in ConfigMaps. An object is put once and never changed, so whoever reads one
// reads all of it, and a writer that died leaves a name that is taken and an object that is not there.
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

// A Store keeps the objects of one run. Its methods may be called by several goroutines, and by several processes.
type Store interface {
	// Put stores what write writes under a name of its own. The error is ErrExists if the name is taken, even by an object
	// whose writer did not get to its end. If write fails, there is no object.
	Put(ctx context.Context, name string, write func(io.Writer) error) error
	// Get returns an object as it was put. The error is ErrNotThere where no whole object has the name.
	Get(ctx context.Context, name string) ([]byte, error)
}

// What a Store's methods fail with, wrapped, besides what went wrong underneath.
var (
	ErrExists   = errors.New("it exists already")
	ErrNotThere = errors.New("it is not there")
)

// configMapsName is what Place.State says for ConfigMaps.
const configMapsName = "configmaps"

// Place is what the environment says of where the state is.
type Place struct {
	State     string `desc:"where the objects of a run are kept: configmaps, or a directory; unless set, configmaps where MIRROR_RUN is set"`
	Run       string `desc:"name of the run, the same for its split, copies and report; unless set, only files and pipes are used"`
	RunUID    string `split_words:"true" desc:"with configmaps: UID of the PipelineRun that MIRROR_RUN names, which will own them"`
	Attempts  int    `default:"5" desc:"with MIRROR_STATE: attempts of a shard that are looked for, at least the retries of copy's Task and one"`
	Namespace string `desc:"with configmaps: their namespace; unless set, that of the service account or of KUBECONFIG's context"`
}

// Asked says whether a state is asked for.
func (p Place) Asked() bool { return p.State != "" || p.Run != "" }

// Open opens the run that the environment names. It is nil where no state is asked for.
func (p Place) Open() (*Run, error) {
	if !p.Asked() {
		return nil, nil
	}
	// A Task gives the path of a workspace that is optional.
	p.State = cmp.Or(p.State, configMapsName)
	if problems := validation.IsDNS1123Subdomain(p.Run); len(problems) > 0 {
		return nil, fmt.Errorf("MIRROR_RUN is %q: give the run a name of at most 253 lower-case letters, digits, '-' and '.'", p.Run)
	}
	if p.Attempts < 1 || p.Attempts > 100 {
		return nil, fmt.Errorf("MIRROR_ATTEMPTS is %d: give a number from 1 to 100", p.Attempts)
	}
	open := openDirectory
	if p.State == configMapsName {
		open = openConfigMaps
	}
	store, err := open(p)
	return &Run{store, p.Run, p.Attempts}, err
}

// objectName is what may name an object: short, and good as a part of a file's and of a ConfigMap's name.
var objectName = regexp.MustCompile(`^[a-z0-9]+([-.][a-z0-9]+)*$`)

const maxObjectName = 40

// checkName refuses a name that a store might take for something else.
func checkName(name string) error {
	if len(name) > maxObjectName || !objectName.MatchString(name) {
		return fmt.Errorf("%q is no name of an object", name)
	}
	return nil
}

// failed says what was being done with an object.
func failed(doing, name string, err error) error {
	return fmt.Errorf("%s %s: %w", doing, name, err)
}
