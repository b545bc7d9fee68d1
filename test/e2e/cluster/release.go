package cluster

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// release writes the archive of a Kubernetes release, and returns its path. Its programs are
// scripts that call the one program in the base image.
func (m *machine) release(ctx context.Context, debian, work string) (string, error) {
	bin := filepath.Join(work, "release", "kubernetes", "server", "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", err
	}
	version := filepath.Join(work, "release", "kubernetes", "version")
	if err := os.WriteFile(version, []byte(kubernetesVersion+"\n"), 0o644); err != nil {
		return "", err
	}
	for _, program := range []string{"kubeadm", "kubelet", "kubectl"} {
		script := "#!/bin/sh\nexec /usr/local/bin/kubernetes " + program + " \"$@\"\n"
		if err := os.WriteFile(filepath.Join(bin, program), []byte(script), 0o755); err != nil {
			return "", err
		}
	}
	if err := m.imageArchives(ctx, debian, bin); err != nil {
		return "", err
	}
	file := filepath.Join(work, "release.tar.gz")
	return file, archive(file, os.DirFS(filepath.Join(work, "release")))
}

// archive writes a tar file in gzip's format, without compression.
func archive(file string, content fs.FS) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewWriterLevel(f, gzip.NoCompression)
	if err != nil {
		return err
	}
	w := tar.NewWriter(z)
	if err := w.AddFS(content); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return f.Close()
}

// imageArchives writes the release's four archives of images. They hold every image that a node
// needs, so that kind pulls none.
func (m *machine) imageArchives(ctx context.Context, debian, dir string) error {
	images, err := m.nodeImages(ctx, debian)
	if err != nil {
		return err
	}
	archives := map[string]map[name.Reference]v1.Image{}
	for _, program := range []string{
		"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy",
	} {
		archives[program+".tar"] = map[name.Reference]v1.Image{}
	}
	needed, err := m.neededImages(ctx)
	if err != nil {
		return err
	}
	for _, image := range needed {
		tag, err := name.NewTag(image)
		if err != nil {
			return err
		}
		file, content := archiveOf(image)
		archives[file][tag] = images[content]
	}
	for file, content := range archives {
		if err := tarball.MultiRefWriteToFile(filepath.Join(dir, file), content); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}

// nodeImages returns the images that a node can have, by the name of the program in each.
func (m *machine) nodeImages(ctx context.Context, debian string) (map[string]v1.Image, error) {
	all, err := m.kubernetesImage(ctx, debian)
	if err != nil {
		return nil, err
	}
	images := map[string]v1.Image{kubernetes.name: all}
	for _, p := range []program{coredns, localpath, pause} {
		if images[p.name], err = m.singleProgram(ctx, p); err != nil {
			return nil, err
		}
	}
	return images, nil
}

// archiveOf returns the archive that an image goes to, and the program that serves as that image.
// kindnet is there in name only: kind wants it in the node image, but kind.yaml turns it off.
func archiveOf(image string) (file, program string) {
	switch {
	case strings.Contains(image, "/coredns"):
		return "kube-controller-manager.tar", coredns.name
	case strings.Contains(image, "/pause:"), strings.Contains(image, "/kindnetd:"):
		return "kube-scheduler.tar", pause.name
	case strings.Contains(image, "/local-path-provisioner:"):
		return "kube-proxy.tar", localpath.name
	}
	return "kube-apiserver.tar", kubernetes.name
}

// neededImages returns the names of the images that a node needs, from kubeadm and kind's source.
func (m *machine) neededImages(ctx context.Context) ([]string, error) {
	out, err := output(m.command(ctx, "kubernetes", "kubeadm", "config", "images", "list",
		"--kubernetes-version", kubernetesVersion))
	if err != nil {
		return nil, err
	}
	images := strings.Fields(string(out))
	dir, err := m.moduleDir(ctx, kind.dir, kind.path)
	if err != nil {
		return nil, err
	}
	for _, file := range []string{
		"pkg/build/nodeimage/const_cni.go",
		"pkg/build/nodeimage/const_storage.go",
		"images/base/files/etc/containerd/config.toml",
	} {
		b, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			return nil, err
		}
		images = append(images, imageNames.FindAllString(string(b), -1)...)
	}
	slices.Sort(images)
	return slices.Compact(images), nil
}

var imageNames = regexp.MustCompile(`(docker\.io/kindest|registry\.k8s\.io)/[a-z-]+:[\w.-]+`)
