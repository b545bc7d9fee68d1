package main

import (
	"bytes"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// images is a document that has ko build all commands, whether a Task names them or not: a map from each name to itself, of
// which ko replaces the values.
func (r release) images() ([]byte, error) {
	commands, err := filepath.Glob(filepath.Join(r.root, "cmd", "*", "main.go"))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	for _, file := range commands {
		image := "ko://imagemirror/cmd/" + filepath.Base(filepath.Dir(file))
		fmt.Fprintf(&b, "%s: %s\n", strings.TrimPrefix(image, "ko://"), image)
	}
	return b.Bytes(), nil
}

// pinImages takes the list of images off the objects, and makes of it a component of kustomize's that gives the images of other
// objects their digests.
func pinImages(resolved []byte) (objects, component []byte, err error) {
	i := bytes.LastIndex(resolved, []byte(separator))
	images := map[string]string{}
	if err := yaml.Unmarshal(resolved[max(0, i):], &images); err != nil || i < 0 {
		return nil, nil, fmt.Errorf("ko's output does not end with the list of images: %w", err)
	}
	var b bytes.Buffer
	b.WriteString("apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nimages:\n")
	for _, name := range slices.Sorted(maps.Keys(images)) {
		repository, digest, pinned := strings.Cut(images[name], "@")
		if !pinned {
			return nil, nil, fmt.Errorf("ko gave %s no digest: %s", name, images[name])
		}
		fmt.Fprintf(&b, "  - name: ko://%s\n    newName: %s\n    digest: %s\n", name, repository, digest)
	}
	return append(resolved[:i:i], '\n'), b.Bytes(), nil
}
