package cluster

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

const (
	nodeRepository   = "imagemirror-e2e/node"
	baseRepository   = "imagemirror-e2e/node-base"
	debianRepository = "imagemirror-e2e/debian"
)

// buildNodeImage builds a node image with kind, and returns its name. kind takes Kubernetes as an
// archive in the form of a release, and adds it to a base image. Both are made here.
func (m *machine) buildNodeImage(ctx context.Context) (string, error) {
	image, err := m.nodeImageName()
	if err != nil || m.hasImage(ctx, image) {
		return image, err
	}
	work, err := os.MkdirTemp(m.path("run"), "node-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	debian, err := m.nodeParts(ctx)
	if err != nil {
		return "", err
	}
	release, err := m.release(ctx, debian, work)
	if err != nil {
		return "", err
	}
	base, err := m.baseImage(ctx, debian, work)
	if err != nil {
		return "", err
	}
	m.logf("building the node image (a minute)")
	if err := m.removeImages(ctx, nodeRepository); err != nil {
		return "", err
	}
	err = run(m.command(ctx, "kind", "build", "node-image", "--type", "file",
		"--base-image", base, "--image", image, release))
	if err != nil {
		return "", err
	}
	return image, m.removeImages(ctx, baseRepository, debianRepository)
}

// nodeParts makes the parts of a node that take long, and returns the root directory of its Debian.
// Debian is downloaded and unpacked while the programs are compiled.
func (m *machine) nodeParts(ctx context.Context) (debian string, err error) {
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() (err error) {
		debian, err = m.debian(ctx)
		return err
	})
	both.Go(func() error {
		for _, p := range nodePrograms {
			if _, err := m.build(ctx, p); err != nil {
				return err
			}
		}
		return nil
	})
	err = both.Wait()
	return debian, err
}

// nodeImageName returns a name with a hash of everything that the node image is made from.
func (m *machine) nodeImageName() (string, error) {
	files, err := m.sources("node")
	if err != nil {
		return "", err
	}
	inputs := []string{files, recipe("node.go", "release.go", "image.go", "debian.go")}
	for _, p := range slices.Concat(nodePrograms, []program{kind}) {
		key, err := m.programKey(p)
		if err != nil {
			return "", err
		}
		inputs = append(inputs, key)
	}
	return nodeRepository + ":" + keyOf(inputs...), nil
}

func (m *machine) hasImage(ctx context.Context, image string) bool {
	return run(m.command(ctx, "docker", "image", "inspect", image)) == nil
}

// removeImages removes all images of some repositories. Docker keeps layers that others need.
func (m *machine) removeImages(ctx context.Context, repositories ...string) error {
	for _, repository := range repositories {
		out, err := output(m.command(ctx, "docker", "image", "ls",
			"--format", "{{.Repository}}:{{.Tag}}", repository))
		if err != nil {
			return err
		}
		for reference := range strings.FieldsSeq(string(out)) {
			if err := run(m.command(ctx, "docker", "image", "rm", "--force", reference)); err != nil {
				return err
			}
		}
	}
	return nil
}

// baseImage builds the image that kind adds Kubernetes to, and returns its name.
func (m *machine) baseImage(ctx context.Context, debian, work string) (string, error) {
	m.logf("building the base image of the nodes (half a minute)")
	tar := m.command(ctx, "tar", "-C", debian, "-c", ".")
	root, err := tar.StdoutPipe()
	if err != nil {
		return "", err
	}
	docker := m.command(ctx, "docker", "import", "-", debianRepository)
	docker.Stdin = root
	if err := tar.Start(); err != nil {
		return "", err
	}
	if err := run(docker); err != nil {
		return "", err
	}
	if err := tar.Wait(); err != nil {
		return "", fmt.Errorf("reading %s: %w", debian, err)
	}
	context := filepath.Join(work, "base")
	if err := m.baseContext(ctx, context); err != nil {
		return "", err
	}
	build := m.command(ctx, "docker", "build", "--tag", baseRepository,
		"--build-arg", "DEBIAN="+debianRepository, context)
	// BuildKit would look for the base image in a registry.
	build.Env = append(build.Env, "DOCKER_BUILDKIT=0")
	return baseRepository, run(build)
}

// baseContext fills the directory that node/Dockerfile is built from.
func (m *machine) baseContext(ctx context.Context, dir string) error {
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(m.source, "node"))); err != nil {
		return err
	}
	program, err := m.build(ctx, kubernetes)
	if err != nil {
		return err
	}
	if err := os.Link(program, filepath.Join(dir, kubernetes.name)); err != nil {
		return err
	}
	module, err := m.moduleDir(ctx, kind.dir, kind.path)
	if err != nil {
		return err
	}
	files := filepath.Join(module, "images", "base", "files")
	if err := os.CopyFS(filepath.Join(dir, "kind"), os.DirFS(files)); err != nil {
		return err
	}
	return setModes(filepath.Join(dir, "kind"))
}

// setModes gives files the modes that kind's Dockerfile gives them. A Go module keeps no modes.
func setModes(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() || filepath.Base(filepath.Dir(path)) == "bin" {
			return os.Chmod(path, 0o755)
		}
		return os.Chmod(path, 0o644)
	})
}
