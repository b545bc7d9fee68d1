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

// tools is the module that pins ko. The end-to-end tests build Tekton with the same ko, so that
// it is compiled once.
const tools = "test/e2e/cluster/tools/go.mod"

// separator separates YAML documents.
const separator = "\n---\n"

type release struct {
	root      string // of the repository
	registry  string
	version   string
	platforms string // in the form of ko's flag
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
	tekton, images, list, err := pinImages(resolved)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(out, "release.yaml"), tekton, 0o644),
		os.WriteFile(filepath.Join(out, "kustomization.yaml"), images, 0o644),
		os.WriteFile(filepath.Join(out, "images.txt"), list, 0o644))
}

// versions matches what can be both a tag of an image and the value of a label.
var versions = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$`)

func (r release) check() error {
	if r.registry == "" {
		return errors.New("no registry to push to: set -registry REGISTRY/REPOSITORY " +
			"(make release REGISTRY=...)")
	}
	if !versions.MatchString(r.version) {
		return fmt.Errorf("version %q cannot be a tag and a label: use 1 to 63 letters, digits, dots, "+
			"hyphens or underscores, with a letter or digit at both ends (make release VERSION=...)",
			r.version)
	}
	return nil
}

var versionLabel = regexp.MustCompile(`(?m)^( +app\.kubernetes\.io/version:).*$`)

// objects returns the Tasks and Pipelines as a stream of YAML, with the version but without
// digests. The last document lists the images.
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
			return nil, fmt.Errorf("%s: a release sets the label app.kubernetes.io/version: "+
				"write it exactly once", file)
		}
		label := []byte(`${1} "` + r.version + `"`)
		documents = append(documents, versionLabel.ReplaceAll(content, label))
	}
	images, err := r.images()
	return bytes.Join(append(documents, images), []byte(separator)), err
}

// files returns the files of the Tasks, which are named like their directories, and of the
// Pipelines. A release has no samples and tests.
func (r release) files() ([]string, error) {
	readmes, err := filepath.Glob(filepath.Join(r.root, "tasks", "*", "README.md"))
	if err != nil {
		return nil, err
	}
	var files []string
	for _, readme := range readmes {
		dir := filepath.Dir(readme)
		files = append(files, filepath.Join(dir, filepath.Base(dir)+".yaml"))
	}
	pipelines, err := filepath.Glob(filepath.Join(r.root, "pipelines", "*.yaml"))
	if len(files) == 0 || len(pipelines) == 0 {
		missing := fmt.Errorf("no tasks or pipelines in %s: run this in the root of the repository", r.root)
		return nil, errors.Join(err, missing)
	}
	return append(files, pipelines...), err
}

// resolve makes ko build and push the images that the objects name. It returns the objects with the
// digests in place of the names.
func (r release) resolve(ctx context.Context, objects []byte, on, sboms string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", "tool", "-modfile="+tools,
		"ko", "resolve", "--base-import-paths", "--platform="+r.platforms, "--tags="+r.version,
		"--image-label=org.opencontainers.image.version="+r.version,
		"--sbom=spdx", "--sbom-dir="+sboms, "--filename=-")
	cmd.Dir = r.root
	cmd.Env = append(os.Environ(),
		"KO_DOCKER_REPO="+r.registry,
		"KO_DEFAULTBASEIMAGE="+on,
		"KO_CONFIG_PATH=.ko.yaml",
		"VERSION="+r.version, // for -version: see .ko.yaml
		"SOURCE_DATE_EPOCH=0",
		// As the end-to-end tests build ko.
		"CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-trimpath",
	)
	cmd.Stdin = bytes.NewReader(objects)
	cmd.Stderr = os.Stderr // its progress and its errors
	resolved, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", strings.Join(cmd.Args[:5], " "), err)
	}
	return bytes.TrimSuffix(resolved, []byte(separator)), nil
}
