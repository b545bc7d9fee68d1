package cluster

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// An entry is a file, a directory or a symbolic link in an image.
type entry struct {
	path string // without the leading slash; a directory's ends with a slash
	mode int64
	from string // file with the content
	text string // or the content itself
	link string // or the target of the link
}

// programEntry returns an entry for a program.
func programEntry(name, file string) entry { return entry{path: name, mode: 0o755, from: file} }

// image makes an image with a single layer, for this machine's architecture.
func image(config v1.Config, entries ...entry) (v1.Image, error) {
	content, err := layerOf(entries)
	if err != nil {
		return nil, err
	}
	// Images stay on this machine, and nodes unpack them at once. Compression would only cost time.
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}, tarball.WithCompressionLevel(0))
	if err != nil {
		return nil, err
	}
	base, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{
		OS: "linux", Architecture: runtime.GOARCH, Config: config,
		RootFS: v1.RootFS{Type: "layers"},
	})
	if err != nil {
		return nil, err
	}
	return mutate.AppendLayers(base, layer)
}

func layerOf(entries []entry) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if err := e.write(w); err != nil {
			return nil, fmt.Errorf("%s: %w", e.path, err)
		}
	}
	return b.Bytes(), w.Close()
}

func (e entry) write(w *tar.Writer) error {
	header := &tar.Header{Name: e.path, Mode: e.mode, Linkname: e.link}
	if e.link != "" {
		header.Typeflag = tar.TypeSymlink
		return w.WriteHeader(header)
	}
	content := []byte(e.text)
	if e.from != "" {
		var err error
		if content, err = os.ReadFile(e.from); err != nil {
			return err
		}
	}
	header.Size = int64(len(content))
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	_, err := w.Write(content)
	return err
}

// kubernetesImage makes the image that serves under the names of all of Kubernetes' images, and as
// the one that makes volumes. It has the programs, iptables for kube-proxy, and a shell.
func (m *machine) kubernetesImage(ctx context.Context, debian string) (v1.Image, error) {
	program, err := m.build(ctx, kubernetes)
	if err != nil {
		return nil, err
	}
	entries := []entry{
		{path: "tmp/", mode: 0o1777},
		programEntry("usr/local/bin/kubernetes", program),
	}
	for _, name := range []string{
		"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "etcd",
	} {
		entries = append(entries, entry{path: "usr/local/bin/" + name, link: "kubernetes"})
	}
	iptables, err := m.iptables(ctx, debian)
	if err != nil {
		return nil, err
	}
	entries = append(entries, iptables...)
	entries = append(entries, programEntry("bin/busybox", filepath.Join(debian, "bin/busybox")))
	for _, name := range []string{"sh", "mkdir", "rm"} {
		entries = append(entries, entry{path: "bin/" + name, link: "busybox"})
	}
	const path = "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	return image(v1.Config{Env: []string{path}}, entries...)
}

// iptables returns the files of Debian's iptables-legacy, with its extensions and the shared
// libraries of both.
func (m *machine) iptables(ctx context.Context, debian string) ([]entry, error) {
	const program = "/usr/sbin/xtables-legacy-multi"
	var entries []entry
	for _, name := range []string{"iptables", "ip6tables"} {
		for _, suffix := range []string{"", "-save", "-restore"} {
			link := entry{path: "usr/sbin/" + name + suffix, link: filepath.Base(program)}
			entries = append(entries, link)
		}
	}
	files := []string{program}
	extensions, err := filepath.Glob(filepath.Join(debian, "usr/lib/*/xtables/*.so"))
	if err != nil {
		return nil, err
	}
	for _, extension := range extensions {
		files = append(files, strings.TrimPrefix(extension, debian))
	}
	libraries, err := m.libraries(ctx, debian, files)
	for _, file := range append(files, libraries...) {
		entries = append(entries, programEntry(file[1:], filepath.Join(debian, file)))
	}
	return entries, err
}

// libraries returns the shared libraries that some files of a Debian system need, also indirectly.
func (m *machine) libraries(ctx context.Context, debian string, files []string) ([]string, error) {
	out, err := output(m.command(ctx, "chroot", append([]string{debian, "ldd"}, files...)...))
	if err != nil {
		return nil, err
	}
	var libraries []string
	for word := range strings.FieldsSeq(string(out)) {
		// A word with a colon is the heading of a file's list.
		if strings.HasPrefix(word, "/") && !strings.HasSuffix(word, ":") {
			libraries = append(libraries, word)
		}
	}
	slices.Sort(libraries)
	return slices.Compact(libraries), nil
}

// singleProgram makes an image with nothing but a program, at /NAME. PATH has it, too.
func (m *machine) singleProgram(ctx context.Context, p program) (v1.Image, error) {
	file, err := m.build(ctx, p)
	if err != nil {
		return nil, err
	}
	config := v1.Config{Entrypoint: []string{"/" + p.name}, Env: []string{"PATH=/"}}
	return image(config, programEntry(p.name, file))
}
