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

const certificates = "/etc/ssl/certs/ca-certificates.crt"

// project is one of Tekton's, built from its Go module by ko into the registry, which keeps it.
type project struct {
	title    string // for people
	folder   string // of the module here that requires it
	module   string
	takes    string    // to build, where nothing is cached
	label    string    // of the namespace tekton-pipelines: what of the project the cluster has
	recipes  []string  // files of this package that it is made by
	settings []setting // changes of its configuration
}

// keyLabel is where the cluster keeps what Tekton it has.
const keyLabel = "imagemirror-e2e"

// pipelines is Tekton Pipelines.
var pipelines = project{
	title: "Tekton Pipelines", folder: "tekton", module: "github.com/tektoncd/pipeline", takes: "5 minutes",
	label: keyLabel, recipes: []string{"tekton.go"}, settings: slices.Concat(restricted, unreleased, alone),
}

// haveTekton sees to it that Tekton Pipelines serves: its release on nodes that are published images, too, or else what is built here.
func (m *machine) haveTekton(ctx context.Context) error {
	if m.published {
		release := "published-" + Tekton
		if m.serves(ctx, pipelines, release) {
			return nil
		}
		file, err := m.publishedTekton(ctx)
		if err == nil {
			return m.applyTekton(ctx, release, file)
		}
		m.say("%v", err) // it can still be built
	}
	return m.have(ctx, pipelines, m.applyTekton)
}

// have sees to it that a project serves, which apply starts from its configuration.
func (m *machine) have(ctx context.Context, p project, apply func(ctx context.Context, key, file string) error) error {
	module, err := m.folder(p.folder)
	if err != nil {
		return err
	}
	key := keyOf(module, recipe(p.recipes...), runtime.Version(), runtime.GOARCH)
	if m.serves(ctx, p, key) {
		return nil
	}
	base, pushed, err := m.tektonBase(ctx, p.folder+"-"+key)
	if err != nil {
		return err
	}
	if !pushed {
		// What was resolved before has gone with the registry's content.
		if err := os.RemoveAll(m.path("parts", p.folder+"-"+key)); err != nil {
			return err
		}
	}
	const file = "config.yaml"
	dir, err := m.part(p.folder, key, func(dir string) error { return m.resolve(ctx, p, base, filepath.Join(dir, file)) })
	if err != nil {
		return err
	}
	return apply(ctx, key, filepath.Join(dir, file))
}

func (m *machine) serves(ctx context.Context, p project, key string) bool {
	out, err := output(m.command(ctx, "kubectl", "get", "namespace", "tekton-pipelines", "--output", "jsonpath={.metadata.labels."+p.label+"}"))
	return err == nil && string(out) == key
}

// nowServes notes that the cluster has a project.
func (m *machine) nowServes(ctx context.Context, p project, key string) error {
	return run(m.command(ctx, "kubectl", "label", "--overwrite", "namespace", "tekton-pipelines", p.label+"="+key))
}

// tektonBase is the image that Tekton's are built upon: certificates, a user, and a place for temporary files. It says whether the
// registry had it already.
func (m *machine) tektonBase(ctx context.Context, key string) (reference string, pushed bool, err error) {
	tag, err := name.NewTag(Registry + "/tekton-base:" + key)
	if err != nil {
		return "", false, err
	}
	if _, err := remote.Head(tag, remote.WithContext(ctx)); err == nil {
		return tag.String(), true, nil
	}
	entries := []entry{
		{path: "tmp/", mode: 0o1777},
		{path: "etc/passwd", mode: 0o644, text: "nonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\n"},
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
	m.say("building %s (%s where nothing is cached)", p.title, p.takes)
	module, err := m.moduleDir(ctx, p.folder, p.module)
	if err != nil {
		return err
	}
	cmd := m.command(ctx, "ko", "resolve", "--base-import-paths", "--sbom=none", "--platform=linux/"+runtime.GOARCH,
		"--recursive", "--filename", filepath.Join(module, "config"))
	cmd.Dir = filepath.Join(m.source, p.folder)
	// Tekton copies one of its programs into each pod: without symbols that is a third less.
	cmd.Env = append(cmd.Env, "GOWORK=off", "GOFLAGS=-ldflags=-s", "KO_DOCKER_REPO="+Registry+"/"+p.folder, "KO_DEFAULTBASEIMAGE="+base)
	yaml, err := output(cmd)
	if err != nil {
		return err
	}
	yaml, err = configure(yaml, p.settings)
	if err != nil {
		return err
	}
	return os.WriteFile(file, yaml, 0o644)
}

// setting is a change of Tekton's configuration.
type setting struct{ old, new string }

var (
	// The restricted Pod Security Standard admits Tekton's own containers with the security contexts only.
	restricted = []setting{
		{`(?m)^(  set-security-context): "false"$`, `$1: "true"`},
		{`(?m)^(  set-security-context-read-only-root-filesystem): "false"$`, `$1: "true"`},
	}
	// What differs in a configuration that is not yet a release. tini, which is no Go program, is for resolvers that start others;
	// none of those is used in tests.
	unreleased = []setting{
		{`(?m): "?devel"?$`, `: "` + Tekton + `"`},
		{`(?m)^ +- /sbin/tini\n +- --\n`, ``},
	}
	// There is one of each controller, with a Lease for each kind of object: renewed every ten seconds, they were half of what the
	// API server wrote.
	alone = []setting{{
		`(?m)^(  name: config-leader-election-.+\n(?:  .+\n)*data:\n)`,
		"${1}  lease-duration: 5m\n  renew-deadline: 4m\n  retry-period: 1m\n",
	}}
)

func configure(yaml []byte, settings []setting) ([]byte, error) {
	for _, s := range settings {
		old := regexp.MustCompile(s.old)
		if !old.Match(yaml) {
			return nil, fmt.Errorf("nothing in the configuration of Tekton matches %s", s.old)
		}
		yaml = old.ReplaceAll(yaml, []byte(s.new))
	}
	return yaml, nil
}

func (m *machine) applyTekton(ctx context.Context, key, file string) error {
	m.say("starting Tekton Pipelines (half a minute)")
	// Its larger definitions do not fit into the annotation by which a client-side apply remembers them.
	if err := run(m.command(ctx, "kubectl", "apply", "--server-side", "--force-conflicts", "--filename", file)); err != nil {
		return err
	}
	if err := m.rollOut(ctx, "tekton-pipelines", "tekton-pipelines-resolvers"); err != nil {
		return err
	}
	if err := until(ctx, time.Minute, "the start of Tekton's webhook", func() bool { return m.admits(ctx) }); err != nil {
		return err
	}
	return m.nowServes(ctx, pipelines, key)
}

// admits says whether Tekton takes a Task: its webhook serves only a while after it is ready.
func (m *machine) admits(ctx context.Context) bool {
	cmd := m.command(ctx, "kubectl", "create", "--dry-run=server", "--namespace", "default", "--filename", "-")
	cmd.Stdin = strings.NewReader(`{"apiVersion": "tekton.dev/v1", "kind": "Task", "metadata": {"name": "probe"},
		"spec": {"steps": [{"name": "probe", "image": "probe", "command": ["probe"]}]}}`)
	return run(cmd) == nil
}
