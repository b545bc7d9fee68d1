package start

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"imagemirror/internal/finding"
	"imagemirror/internal/policy"
	"imagemirror/internal/settings"
)

// An imageSet is an image set as it is installed on the cluster.
type imageSet struct {
	name       string
	configMaps []corev1.ConfigMap // with all of its files
	bounds     policy.Bounds      // of the operator's policy
	settings   settings.Settings  // with defaults, within the bounds
	mistakes   error              // in its settings
}

// objectName returns the name of the objects that a set has one of: its service account, its Lease.
func objectName(set string) string { return "mirror-" + set }

// maxConfigMaps bounds the ConfigMaps of a set. The files of a run have less than 64 MiB.
const maxConfigMaps = 100

// configMapName returns the name of a set's nth ConfigMap, from 1, as its kustomization has it.
func configMapName(set string, n int) string {
	if n == 1 {
		return "set-" + set
	}
	return fmt.Sprintf("set-%d-%s", n, set)
}

// load reads a set from its ConfigMaps. It asks for them by name: other pods of the namespace may
// create ConfigMaps, and give them any label.
func (s *Starter) load(ctx context.Context, name string) (*imageSet, error) {
	var all []corev1.ConfigMap
	for n := 1; n <= maxConfigMaps; n++ {
		m, err := s.configMaps.Get(ctx, configMapName(name, n), metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("getting a ConfigMap of the image set %s: %w", name, err)
		}
		// The second of a set x is named as the first of a set 2-x: the label tells them apart.
		if m.Labels[SetLabel] != name {
			break
		}
		all = append(all, *m)
	}
	if len(all) == 0 {
		return nil, &Unfit{fmt.Errorf("there is no image set %s in the namespace %s: no ConfigMap %s has the label %s=%s: install it with kubectl apply --server-side -k image-sets/%s",
			name, s.namespace, configMapName(name, 1), SetLabel, name, name)}
	}
	p, err := s.policy(ctx)
	if err != nil {
		return nil, err
	}
	return setOf(name, all, p)
}

// setOf returns the set whose files are in the ConfigMaps, bound by a policy.
func setOf(name string, configMaps []corev1.ConfigMap, p *policy.Policy) (*imageSet, error) {
	set := &imageSet{name: name, configMaps: configMaps, bounds: p.For(name)}
	// The ConfigMaps are mounted as one directory, where one of two files of a name would hide
	// the other.
	in := map[string]string{}
	var twice []error
	for _, m := range configMaps {
		for _, key := range fileNames(m) {
			if other := in[key]; other != "" {
				twice = append(twice, fmt.Errorf("%s is in the ConfigMaps %s and %s: remove the one that no kustomization makes any more", path(name, key), other, m.Name))
			}
			in[key] = m.Name
			if key == settings.File {
				var found *finding.List
				set.settings, found = settings.Parse(path(name, key), []byte(fileContent(m, key)))
				set.bounds.Check(path(name, key), set.settings, found)
				found.Sort()
				set.mistakes = found.Err()
			}
		}
	}
	set.settings = set.bounds.Lower(set.settings.WithDefaults())
	if len(twice) > 0 {
		return nil, &Unfit{errors.Join(twice...)}
	}
	return set, nil
}

func path(set, file string) string { return "image-sets/" + set + "/" + file }

// fileNames returns the names of the files in a ConfigMap.
func fileNames(m corev1.ConfigMap) []string {
	var all []string
	for key := range m.Data {
		all = append(all, key)
	}
	for key := range m.BinaryData {
		all = append(all, key)
	}
	slices.Sort(all)
	return all
}

func fileContent(m corev1.ConfigMap, key string) string {
	if text, found := m.Data[key]; found {
		return text
	}
	return string(m.BinaryData[key])
}

// owners returns references to the ConfigMaps, so that objects of the set are deleted with it.
func (s *imageSet) owners() []metav1.OwnerReference {
	var all []metav1.OwnerReference
	for _, m := range s.configMaps {
		all = append(all, metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: m.Name, UID: m.UID})
	}
	return all
}
