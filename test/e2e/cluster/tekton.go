package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

const (
	certificates = "/etc/ssl/certs/ca-certificates.crt"
	releases     = "https://infra.tekton.dev/tekton-releases/"
	keyLabel     = "imagemirror-e2e"
)

// A project is one of Tekton's: its published release, or what ko builds from its Go module into
// the cluster's registry.
type project struct {
	title   string // for people
	version string
	dir     string // of the module here that requires it
	module  string
	takes   string   // time to build without caches
	recipes []string // files of this package that decide what is built

	published []string  // URLs of its release
	released  []setting // changes to the configuration of its release
	built     []setting // changes to the configuration in its module

	label string // of the namespace tekton-pipelines, for the key of what the cluster has
	apply func(m *machine, ctx context.Context, file string) error
}

var pipelines = project{
	title: "Tekton Pipelines", version: pipelinesVersion,
	dir: "tekton", module: "github.com/tektoncd/pipeline", takes: "5 minutes",
	recipes:   []string{"tekton.go"},
	published: []string{releases + "pipeline/previous/" + pipelinesVersion + "/release.yaml"},
	released:  restricted,
	built:     slices.Concat(restricted, unreleased, alone),
	label:     keyLabel,
	apply:     (*machine).applyPipelines,
}

// ensurePipelines installs Tekton Pipelines, unless the cluster has it.
func (m *machine) ensurePipelines(ctx context.Context) error { return m.ensure(ctx, pipelines) }

// ensure installs a project, unless the cluster has it. Nodes that are published images get the
// published release if it can be downloaded. Otherwise the project is built.
func (m *machine) ensure(ctx context.Context, p project) error {
	if m.published {
		release := "published-" + p.version
		if m.serves(ctx, p, release) {
			return nil
		}
		file, err := m.download(ctx, p)
		if err == nil {
			return m.start(ctx, p, release, file)
		}
		m.logf("building %s instead of its release: %v", p.title, err)
	}
	module, err := m.sources(p.dir)
	if err != nil {
		return err
	}
	key := keyOf(module, recipe(p.recipes...), runtime.Version(), runtime.GOARCH)
	if m.serves(ctx, p, key) {
		return nil
	}
	file, err := m.configuration(ctx, p, key)
	if err != nil {
		return err
	}
	return m.start(ctx, p, key, file)
}

// serves reports whether the cluster has a project in the form that key names.
func (m *machine) serves(ctx context.Context, p project, key string) bool {
	out, err := output(m.command(ctx, "kubectl", "get", "namespace", "tekton-pipelines",
		"--output", "jsonpath={.metadata.labels."+p.label+"}"))
	return err == nil && string(out) == key
}

// start applies a project's configuration, and labels the cluster with its key.
func (m *machine) start(ctx context.Context, p project, key, file string) error {
	m.logf("starting %s (half a minute)", p.title)
	if err := p.apply(m, ctx, file); err != nil {
		return err
	}
	return run(m.command(ctx, "kubectl", "label", "--overwrite", "namespace", "tekton-pipelines",
		p.label+"="+key))
}

// configuration builds a project's images, unless the registry has them, and returns the file with
// its configuration.
func (m *machine) configuration(ctx context.Context, p project, key string) (string, error) {
	base, pushed, err := m.tektonBase(ctx, p.dir+"-"+key)
	if err != nil {
		return "", err
	}
	if !pushed {
		// The registry has lost its content, and with it the images of the cached configuration.
		if err := os.RemoveAll(m.path("parts", p.dir+"-"+key)); err != nil {
			return "", err
		}
	}
	const file = "config.yaml"
	dir, err := m.part(p.dir, key, func(dir string) error {
		return m.resolve(ctx, p, base, filepath.Join(dir, file))
	})
	return filepath.Join(dir, file), err
}

// tektonBase pushes the base of Tekton's images: certificates, a user and a directory for temporary
// files. It reports whether the registry had it already.
func (m *machine) tektonBase(
	ctx context.Context, key string,
) (reference string, pushed bool, err error) {
	tag, err := name.NewTag(registryHost + "/tekton-base:" + key)
	if err != nil {
		return "", false, err
	}
	if _, err := remote.Head(tag, remote.WithContext(ctx)); err == nil {
		return tag.String(), true, nil
	}
	const users = "nonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\n"
	entries := []entry{
		{path: "tmp/", mode: 0o1777},
		{path: "etc/passwd", mode: 0o644, text: users},
	}
	if exists(certificates) {
		entries = append(entries, entry{path: certificates[1:], mode: 0o644, from: certificates})
	}
	content, err := image(v1.Config{User: "65532"}, entries...)
	if err != nil {
		return "", false, err
	}
	return tag.String(), false, remote.Write(tag, content, remote.WithContext(ctx))
}

// resolve builds a project's images and writes its configuration with their digests.
func (m *machine) resolve(ctx context.Context, p project, base, file string) error {
	m.logf("building %s (%s without caches)", p.title, p.takes)
	module, err := m.moduleDir(ctx, p.dir, p.module)
	if err != nil {
		return err
	}
	cmd := m.command(ctx, "ko", "resolve", "--base-import-paths", "--sbom=none",
		"--platform=linux/"+runtime.GOARCH,
		"--recursive", "--filename", filepath.Join(module, "config"))
	cmd.Dir = filepath.Join(m.source, p.dir)
	// Tekton copies one of its programs into each pod. Without symbols it is a third smaller.
	cmd.Env = append(cmd.Env, "GOWORK=off", "GOFLAGS=-ldflags=-s",
		"KO_DOCKER_REPO="+registryHost+"/"+p.dir, "KO_DEFAULTBASEIMAGE="+base)
	yaml, err := output(cmd)
	if err != nil {
		return err
	}
	yaml, err = configure(yaml, p.built)
	if err != nil {
		return err
	}
	return os.WriteFile(file, yaml, 0o644)
}

// A setting is a change to Tekton's configuration: a regular expression and its replacement.
type setting struct{ old, new string }

var (
	// The restricted Pod Security Standard admits Tekton's own containers only with security
	// contexts.
	restricted = []setting{
		{`(?m)^(  set-security-context): "false"$`, `$1: "true"`},
		{`(?m)^(  set-security-context-read-only-root-filesystem): "false"$`, `$1: "true"`},
	}
	// unreleased sets what a release sets. It also removes tini, which is not a Go program. Only
	// resolvers that start other programs need it, and no test uses one of those.
	unreleased = []setting{
		{`(?m): "?devel"?$`, `: "` + pipelinesVersion + `"`},
		{`(?m)^ +- /sbin/tini\n +- --\n`, ``},
	}
	// There is one of each controller, with a Lease for each kind of object. Renewed every ten
	// seconds, they were half of what the API server wrote.
	alone = []setting{{
		`(?m)^(  name: config-leader-election-.+\n(?:  .+\n)*data:\n)`,
		"${1}  lease-duration: 5m\n  renew-deadline: 4m\n  retry-period: 1m\n",
	}}
)

// configure applies the settings. Each has to match.
func configure(yaml []byte, settings []setting) ([]byte, error) {
	for _, s := range settings {
		old := regexp.MustCompile(s.old)
		if !old.Match(yaml) {
			return nil, fmt.Errorf("configuring Tekton: nothing matches %s", s.old)
		}
		yaml = old.ReplaceAll(yaml, []byte(s.new))
	}
	return yaml, nil
}

func (m *machine) applyPipelines(ctx context.Context, file string) error {
	// On the server's side, because its larger definitions do not fit into the annotation of a
	// client-side apply.
	err := run(m.command(ctx, "kubectl", "apply", "--server-side", "--force-conflicts",
		"--filename", file))
	if err != nil {
		return err
	}
	if err := m.rollOut(ctx, "tekton-pipelines", "tekton-pipelines-resolvers"); err != nil {
		return err
	}
	return until(ctx, time.Minute, "the start of Tekton's webhook", func() bool {
		return m.admitsTask(ctx)
	})
}

// admitsTask reports whether Tekton accepts a Task. Its webhook needs a moment after it is ready.
func (m *machine) admitsTask(ctx context.Context) bool {
	return m.admits(ctx, `{"apiVersion": "tekton.dev/v1", "kind": "Task",
		"metadata": {"name": "probe"},
		"spec": {"steps": [{"name": "probe", "image": "probe", "command": ["probe"]}]}}`)
}

// admits reports whether the cluster would create an object.
func (m *machine) admits(ctx context.Context, object string) bool {
	cmd := m.command(ctx, "kubectl", "create", "--dry-run=server", "--namespace", "default",
		"--filename", "-")
	cmd.Stdin = strings.NewReader(object)
	return run(cmd) == nil
}
