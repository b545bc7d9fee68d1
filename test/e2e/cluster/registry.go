package cluster

import (
	"context"
	"net/http"
	"os"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
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

// ensureRegistry starts the registry, unless it runs. It is a container on the nodes' network. Its
// content is in a volume, so that the next cluster need not build Tekton's images again.
func (m *machine) ensureRegistry(ctx context.Context) error {
	image, err := m.registryImage(ctx)
	if err != nil {
		return err
	}
	out, err := output(m.command(ctx, "docker", "ps",
		"--filter", "name=^"+registryName+"$", "--format", "{{.Image}}"))
	if err != nil || string(out) == image+"\n" {
		return err
	}
	if err := m.removeRegistry(ctx); err != nil {
		return err
	}
	m.logf("starting the registry")
	// --interactive keeps its standard input open: the registry exits when that is closed.
	err = run(m.command(ctx, "docker", "run", "--detach", "--interactive",
		"--name", registryName, "--network", "kind", "--publish", "127.0.0.1:5050:5000",
		"--volume", registryName+":/var/lib/registry", image))
	if err != nil {
		return err
	}
	return until(ctx, 30*time.Second, "the start of the registry", func() bool {
		return registryAnswers(ctx)
	})
}

func registryAnswers(ctx context.Context) bool {
	url := "http://" + registryHost + "/v2/"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
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
	key, err := m.programKey(registry)
	if err != nil {
		return "", err
	}
	image := registryRepository + ":" + keyOf(key, recipe("registry.go", "image.go"))
	if m.hasImage(ctx, image) {
		return image, nil
	}
	if err := m.removeRegistry(ctx); err != nil {
		return "", err
	}
	if err := m.removeImages(ctx, registryRepository); err != nil {
		return "", err
	}
	return image, m.loadRegistry(ctx, image)
}

func (m *machine) loadRegistry(ctx context.Context, reference string) error {
	program, err := m.build(ctx, registry)
	if err != nil {
		return err
	}
	content, err := image(
		v1.Config{
			Cmd: []string{"/registry", "/etc/registry.yml"},
			Env: []string{"OTEL_TRACES_EXPORTER=none"},
		},
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
	out, err := output(m.command(ctx, "docker", "ps", "--all", "--quiet",
		"--filter", "name=^"+registryName+"$"))
	if err != nil || len(out) == 0 {
		return err
	}
	return run(m.command(ctx, "docker", "rm", "--force", registryName))
}

// addRegistryHost makes a node's container runtime find the registry by the name that this machine
// uses.
func (m *machine) addRegistryHost(ctx context.Context, n node) error {
	return run(m.write(ctx, n, "/etc/containerd/certs.d/"+registryHost+"/hosts.toml",
		"[host.\"http://"+registryName+":5000\"]\n"))
}
