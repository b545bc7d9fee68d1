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

// images returns a YAML document that makes ko build all commands, even those that no Task names: a
// map from each name to itself, whose values ko replaces.
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

// pinImages separates the objects from the list of images. It returns that as a kustomize component
// that gives the images of other objects their digests, and as a list, one NAME@DIGEST a line.
func pinImages(resolved []byte) (objects, component, list []byte, err error) {
	i := bytes.LastIndex(resolved, []byte(separator))
	images := map[string]string{}
	if err := yaml.Unmarshal(resolved[max(0, i):], &images); err != nil || i < 0 {
		return nil, nil, nil, fmt.Errorf("reading ko's output: the list of images is missing at its end: %w", err)
	}
	var b, lines bytes.Buffer
	b.WriteString("apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nimages:\n")
	for _, name := range slices.Sorted(maps.Keys(images)) {
		repository, digest, pinned := strings.Cut(images[name], "@")
		if !pinned {
			return nil, nil, nil, fmt.Errorf("ko gave %s no digest: %s", name, images[name])
		}
		fmt.Fprintf(&b, "  - name: ko://%s\n    newName: %s\n    digest: %s\n", name, repository, digest)
		fmt.Fprintln(&lines, images[name])
	}
	return append(resolved[:i:i], '\n'), b.Bytes(), lines.Bytes(), nil
}
