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

// entry is a file, a folder or a symbolic link in an image.
type entry struct {
	path string // without the leading /; a folder's ends with one
	mode int64
	from string // file with the content
	text string // or the content itself
	link string // or what it is a link to
}

// programEntry is a program in an image's root folder.
func programEntry(name, file string) entry { return entry{path: name, mode: 0o755, from: file} }

// image is one of a single layer, for this machine's architecture.
func image(config v1.Config, entries ...entry) (v1.Image, error) {
	content, err := layerOf(entries)
	if err != nil {
		return nil, err
	}
	// Images stay on this machine, and nodes unpack them at once: compressing them costs more than it saves.
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

// kubernetesImage serves under the names of all of Kubernetes' images, and as the one that makes volumes: the programs, iptables
// for kube-proxy, and a shell.
func (m *machine) kubernetesImage(ctx context.Context, debian string) (v1.Image, error) {
	program, err := m.build(ctx, kubernetes)
	if err != nil {
		return nil, err
	}
	entries := []entry{{path: "tmp/", mode: 0o1777}, programEntry("usr/local/bin/kubernetes", program)}
	for _, name := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "etcd"} {
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
	return image(v1.Config{Env: []string{"PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}}, entries...)
}

// iptables is the files of Debian's iptables, the older kind, with its extensions and the libraries that they are linked with.
func (m *machine) iptables(ctx context.Context, debian string) ([]entry, error) {
	const program = "/usr/sbin/xtables-legacy-multi"
	var entries []entry
	for _, name := range []string{"iptables", "ip6tables"} {
		for _, suffix := range []string{"", "-save", "-restore"} {
			entries = append(entries, entry{path: "usr/sbin/" + name + suffix, link: filepath.Base(program)})
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

// libraries is the shared ones that some files of a Debian system are linked with, one by one and indirectly.
func (m *machine) libraries(ctx context.Context, debian string, files []string) ([]string, error) {
	out, err := output(m.command(ctx, "chroot", append([]string{debian, "ldd"}, files...)...))
	if err != nil {
		return nil, err
	}
	var libraries []string
	for word := range strings.FieldsSeq(string(out)) {
		// With a colon it is the headline over a file's libraries.
		if strings.HasPrefix(word, "/") && !strings.HasSuffix(word, ":") {
			libraries = append(libraries, word)
		}
	}
	slices.Sort(libraries)
	return slices.Compact(libraries), nil
}

// singleProgram is an image with nothing but a program, at /NAME, which is found by NAME alone, too.
func (m *machine) singleProgram(ctx context.Context, p program) (v1.Image, error) {
	file, err := m.build(ctx, p)
	if err != nil {
		return nil, err
	}
	return image(v1.Config{Entrypoint: []string{"/" + p.name}, Env: []string{"PATH=/"}}, programEntry(p.name, file))
}
