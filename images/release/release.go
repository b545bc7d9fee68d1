package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"imagemirror/images/base"
)

// tools is the module that pins ko. It is that of the end-to-end tests, which build Tekton with it: pinned in one place, it is
// compiled once.
const tools = "test/e2e/cluster/tools/go.mod"

// separator is what is between documents of YAML.
const separator = "\n---\n"

type release struct {
	root      string // of the repository
	registry  string
	version   string
	platforms string // as ko takes them
	out       string
}

func (r release) write(ctx context.Context) error {
	if err := r.check(); err != nil {
		return err
	}
	objects, err := r.objects()
	if err != nil {
		return err
	}
	out, err := filepath.Abs(r.out)
	if err != nil {
		return err
	}
	sboms := filepath.Join(out, "sbom")
	if err := os.MkdirAll(sboms, 0o755); err != nil {
		return err
	}
	on, err := base.Push(ctx, r.registry+"/base:"+r.version)
	if err != nil {
		return fmt.Errorf("pushing the base of the images: %w", err)
	}
	resolved, err := r.resolve(ctx, objects, on, sboms)
	if err != nil {
		return err
	}
	tekton, images, err := pinImages(resolved)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(out, "release.yaml"), tekton, 0o644),
		os.WriteFile(filepath.Join(out, "kustomization.yaml"), images, 0o644))
}

// versions are both tags of images and values of labels.
var versions = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$`)

func (r release) check() error {
	if r.registry == "" {
		return errors.New("where do the images go? Say -registry REGISTRY/REPOSITORY (make release REGISTRY=...)")
	}
	if !versions.MatchString(r.version) {
		return fmt.Errorf("version %q cannot be a tag and a label: write 1 to 63 letters, digits, dots, hyphens or underscores, "+
			"letters or digits at both ends (make release VERSION=...)", r.version)
	}
	return nil
}

var versionLabel = regexp.MustCompile(`(?m)^( +app\.kubernetes\.io/version:).*$`)

// objects are the Tasks and Pipelines as one stream of YAML, with the version and without digests; the last document lists the
// images.
func (r release) objects() ([]byte, error) {
	files, err := r.files()
	if err != nil {
		return nil, err
	}
	var documents [][]byte
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if len(versionLabel.FindAll(content, 2)) != 1 {
			return nil, fmt.Errorf("%s: want one label app.kubernetes.io/version, which a release sets", file)
		}
		documents = append(documents, versionLabel.ReplaceAll(content, []byte(`${1} "`+r.version+`"`)))
	}
	images, err := r.images()
	return bytes.Join(append(documents, images), []byte(separator)), err
}

// files are those of the Tasks, named like their folders, and of the Pipelines. Samples and tests are no part of a release.
func (r release) files() ([]string, error) {
	folders, err := filepath.Glob(filepath.Join(r.root, "tasks", "*", "README.md"))
	if err != nil {
		return nil, err
	}
	var files []string
	for _, readme := range folders {
		folder := filepath.Dir(readme)
		files = append(files, filepath.Join(folder, filepath.Base(folder)+".yaml"))
	}
	pipelines, err := filepath.Glob(filepath.Join(r.root, "pipelines", "*.yaml"))
	if len(files) == 0 || len(pipelines) == 0 {
		return nil, errors.Join(err, fmt.Errorf("no tasks or pipelines in %s: run in the root of the repository", r.root))
	}
	return append(files, pipelines...), err
}

// resolve has ko build and push the images that the objects name, and put their digests in place of the names.
func (r release) resolve(ctx context.Context, objects []byte, on, sboms string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", "tool", "-modfile="+tools, "ko", "resolve", "--base-import-paths",
		"--platform="+r.platforms, "--tags="+r.version, "--image-label=org.opencontainers.image.version="+r.version,
		"--sbom=spdx", "--sbom-dir="+sboms, "--filename=-")
	cmd.Dir = r.root
	cmd.Env = append(os.Environ(),
		"KO_DOCKER_REPO="+r.registry,
		"KO_DEFAULTBASEIMAGE="+on,
		"KO_CONFIG_PATH=.ko.yaml",
		"VERSION="+r.version, // which the commands print: see .ko.yaml
		"SOURCE_DATE_EPOCH=0",
		// As the end-to-end tests build ko.
		"CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-trimpath",
	)
	cmd.Stdin = bytes.NewReader(objects)
	cmd.Stderr = os.Stderr // its progress, and what it fails with
	resolved, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", strings.Join(cmd.Args[:5], " "), err)
	}
	return bytes.TrimSuffix(resolved, []byte(separator)), nil
}
