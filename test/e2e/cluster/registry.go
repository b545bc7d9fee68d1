package cluster

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"imagemirror/internal/registrytest"
)

const (
	registryName       = clusterName + "-registry"
	registryRepository = "imagemirror-e2e/registry"
	registrySettings   = `version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: /var/lib/registry}
  delete: {enabled: true}
http: {addr: ":5000"}
`
)

// haveRegistry sees to it that the registry runs. It is a container on the nodes' network, and keeps what is in it in a volume, so
// that Tekton's images need not be built again with the next cluster.
func (m *machine) haveRegistry(ctx context.Context) error {
	image, err := m.registryImage(ctx)
	if err != nil {
		return err
	}
	out, err := output(m.command(ctx, "docker", "ps", "--filter", "name=^"+registryName+"$", "--format", "{{.Image}}"))
	if err != nil || string(out) == image+"\n" {
		return err
	}
	if err := m.removeRegistry(ctx); err != nil {
		return err
	}
	m.say("starting the registry")
	// Its input is held open, since it ends when that does.
	err = run(m.command(ctx, "docker", "run", "--detach", "--interactive", "--name", registryName, "--network", "kind",
		"--publish", "127.0.0.1:5050:5000", "--volume", registryName+":/var/lib/registry", image))
	if err != nil {
		return err
	}
	return until(ctx, 30*time.Second, "the start of the registry", func() bool { return registryAnswers(ctx) })
}

func registryAnswers(ctx context.Context) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+Registry+"/v2/", nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// registryImage builds the registry's image, unless Docker has it, and returns its name.
func (m *machine) registryImage(ctx context.Context) (string, error) {
	program, err := registrytest.Build(m.progress)
	if err != nil {
		return "", err
	}
	image := registryRepository + ":" + keyOf(filepath.Base(program), recipe("registry.go", "image.go"))
	if m.hasImage(ctx, image) {
		return image, nil
	}
	if err := m.removeRegistry(ctx); err != nil {
		return "", err
	}
	if err := m.removeImages(ctx, registryRepository); err != nil {
		return "", err
	}
	return image, m.loadRegistry(ctx, program, image)
}

func (m *machine) loadRegistry(ctx context.Context, program, reference string) error {
	content, err := image(
		v1.Config{Cmd: []string{"/registry", "/etc/registry.yml"}, Env: []string{"OTEL_TRACES_EXPORTER=none"}},
		programEntry("registry", program),
		entry{path: "etc/registry.yml", mode: 0o644, text: registrySettings},
		entry{path: "tmp/", mode: 0o1777},
	)
	if err != nil {
		return err
	}
	tag, err := name.NewTag(reference)
	if err != nil {
		return err
	}
	file := m.path("run", "registry.tar")
	defer os.Remove(file)
	if err := tarball.WriteToFile(file, tag, content); err != nil {
		return err
	}
	return run(m.command(ctx, "docker", "load", "--input", file))
}

func (m *machine) removeRegistry(ctx context.Context) error {
	out, err := output(m.command(ctx, "docker", "ps", "--all", "--quiet", "--filter", "name=^"+registryName+"$"))
	if err != nil || len(out) == 0 {
		return err
	}
	return run(m.command(ctx, "docker", "rm", "--force", registryName))
}

// knowRegistry has a node's container runtime find the registry under the name that it has on this machine.
func (m *machine) knowRegistry(ctx context.Context, n node) error {
	return run(m.write(ctx, n, "/etc/containerd/certs.d/"+Registry+"/hosts.toml", "[host.\"http://"+registryName+":5000\"]\n"))
}
