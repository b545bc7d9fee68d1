// Package place finds the files of an image set and its record, in directories or on a cluster, for
// commands that people type.
package place

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"imagemirror/internal/apiserver"
	"imagemirror/internal/command"
	"imagemirror/internal/imageset"
	"imagemirror/internal/policy"
	"imagemirror/internal/record"
	"imagemirror/internal/settings"
	"imagemirror/internal/status"
	"imagemirror/internal/text"
)

// A Place is where the set's files and its record are: in directories, or on a cluster.
type Place struct {
	record.Config
	Namespace string `desc:"namespace of the image sets (default that of the pod or the kubeconfig)"`

	// Warn writes a warning of the command to which AddFlags added flags.
	Warn func(string) `ignored:"true"`
}

// AddFlags adds the flags that say where the record is, and sets Warn.
func (p *Place) AddFlags(cmd *command.Command) {
	p.Warn = cmd.Warn
	cmd.Flags.StringVar(&p.Directory, "record", "", "use the record in `DIR`, not that of a cluster")
}

// onCluster is the value of MIRROR_RECORD for the records of a cluster.
const onCluster = "configmaps"

// IsCluster reports whether the record is on a cluster. It is unless a directory is named.
func (p *Place) IsCluster() bool {
	p.Record = cmp.Or(p.Directory, p.Record, onCluster)
	p.Config.Namespace = p.Namespace
	return p.Record == onCluster
}

// OpenWriter opens the records for writing.
func (p *Place) OpenWriter() (record.Store, error) {
	if p.IsCluster() {
		return p.OpenStore()
	}
	if _, err := os.Stat(p.Record); err != nil { // a mistyped directory is not made
		return nil, err
	}
	return p.OpenStore()
}

// ReadRecord returns the record of a set.
func (p *Place) ReadRecord(ctx context.Context, set string) (*record.Record, error) {
	p.IsCluster() // which sets p.Record
	from, err := p.OpenReader()
	if err != nil {
		return nil, fmt.Errorf("%w, or name a directory of records with -record", err)
	}
	r, err := from.Load(ctx, set)
	if err != nil {
		return nil, fmt.Errorf("the record of the image set %q: %w", text.Line(set, 80), err)
	}
	return r, nil
}

// SetName returns the name of the set that an argument stands for.
func SetName(arg string) string {
	if info, err := os.Stat(arg); err == nil && info.IsDir() {
		return imageset.NameOf(arg)
	}
	return arg
}

// defaultRoot is where the directories of image sets are.
const defaultRoot = "image-sets"

// Files returns the set that an argument stands for, with the policy that binds it. On a cluster, a
// name is that of the set which is installed there.
func (p *Place) Files(ctx context.Context, arg string) (*imageset.Set, error) {
	if p.IsCluster() && !strings.ContainsRune(arg, filepath.Separator) && arg != "." {
		dir, err := p.installed(ctx, arg)
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(filepath.Dir(dir))
		return loadSet(dir)
	}
	if below := filepath.Join(defaultRoot, arg); !exists(arg) && exists(below) {
		arg = below
	}
	return loadSet(arg)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func loadSet(path string) (*imageset.Set, error) {
	input, err := imageset.Load([]string{path}, nil)
	switch {
	case err != nil:
		return nil, err
	case len(input.Sets) != 1:
		return nil, fmt.Errorf("%s has %d image sets: name one of them", text.Line(path, 80), len(input.Sets))
	}
	return input.Sets[0], nil
}

// installed writes the files of a set that is installed on the cluster into a new directory.
func (p *Place) installed(ctx context.Context, set string) (dir string, err error) {
	if err := settings.CheckName(set); err != nil {
		return "", fmt.Errorf("%q: %w", text.Line(set, 80), err)
	}
	config, namespace, err := apiserver.Find(p.Namespace)
	if err != nil {
		return "", fmt.Errorf("%w, or name a directory of records with -record", err)
	}
	client, err := apiserver.NewClient(config, corev1.SchemeGroupVersion, corev1.AddToScheme)
	if err != nil {
		return "", err
	}
	root, err := os.MkdirTemp("", "imagemirror-")
	if err != nil {
		return "", err
	}
	dir = filepath.Join(root, set)
	err = errors.Join(
		writeConfigMap(ctx, client, namespace, "set-"+set, dir, func(name string) bool {
			return name == imageset.OwnersFile || name == settings.File || strings.HasPrefix(name, imageset.Prefix)
		}),
		writeConfigMap(ctx, client, namespace, policy.ConfigMap, root, func(name string) bool { return name == policy.File }),
	)
	if err != nil {
		os.RemoveAll(root)
	}
	return dir, err
}

// writeConfigMap writes files of a ConfigMap into a directory.
func writeConfigMap(ctx context.Context, client rest.Interface, namespace, name, dir string, wanted func(string) bool) error {
	var m corev1.ConfigMap
	err := apiserver.Insist(ctx, func() error {
		return client.Get().Namespace(namespace).Resource("configmaps").Name(name).Do(ctx).Into(&m)
	})
	if err != nil {
		return fmt.Errorf("getting the ConfigMap %s: %w", name, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	files := m.BinaryData
	if files == nil {
		files = map[string][]byte{}
	}
	for file, content := range m.Data {
		files[file] = []byte(content)
	}
	for file, content := range files {
		if !wanted(file) || filepath.Base(file) != file {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// RefuseActive fails if a run of the set is under way on the cluster: it has asked already what to
// move, and could move the tags again.
func (p *Place) RefuseActive(ctx context.Context, set string) error {
	if !p.IsCluster() {
		return nil
	}
	config, namespace, err := apiserver.Find(p.Namespace)
	if err != nil {
		return err
	}
	runs, err := status.OpenPipelineRuns(config, namespace)
	if err != nil {
		return err
	}
	active, err := runs.Active(ctx)
	if err != nil {
		p.Warn(fmt.Sprintf("cannot tell whether a run is under way: %v", err))
	}
	for _, run := range active {
		if run.Set == set {
			return fmt.Errorf("the run %s is under way and may move the tags again: wait for its end, or cancel it", text.Line(run.Run, 80))
		}
	}
	return nil
}
