package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

const (
	tektonModule = "github.com/tektoncd/pipeline"
	certificates = "/etc/ssl/certs/ca-certificates.crt"
)

// haveTekton sees to it that Tekton Pipelines serves. Its images are built by ko into the registry, which keeps them.
func (m *machine) haveTekton(ctx context.Context) error {
	key, err := m.tektonKey()
	if err != nil {
		return err
	}
	if m.servesTekton(ctx, key) {
		return nil
	}
	base, pushed, err := m.tektonBase(ctx, key)
	if err != nil {
		return err
	}
	if !pushed {
		// What was resolved before has gone with the registry's content.
		if err := os.RemoveAll(m.path("parts", "tekton-"+key)); err != nil {
			return err
		}
	}
	dir, err := m.part("tekton", key, func(dir string) error { return m.resolveTekton(ctx, base, filepath.Join(dir, "tekton.yaml")) })
	if err != nil {
		return err
	}
	return m.applyTekton(ctx, key, filepath.Join(dir, "tekton.yaml"))
}

func (m *machine) tektonKey() (string, error) {
	module, err := m.folder("tekton")
	return keyOf(module, recipe("tekton.go"), runtime.Version(), runtime.GOARCH), err
}

// keyLabel is where the cluster keeps what Tekton it has.
const keyLabel = "imagemirror-e2e"

func (m *machine) servesTekton(ctx context.Context, key string) bool {
	out, err := output(m.command(ctx, "kubectl", "get", "namespace", "tekton-pipelines", "--output", "jsonpath={.metadata.labels."+keyLabel+"}"))
	return err == nil && string(out) == key
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

// resolveTekton builds Tekton's images and writes its configuration with their digests.
func (m *machine) resolveTekton(ctx context.Context, base, file string) error {
	m.say("building Tekton Pipelines (5 minutes where nothing is cached)")
	module, err := m.moduleDir(ctx, "tekton", tektonModule)
	if err != nil {
		return err
	}
	cmd := m.command(ctx, "ko", "resolve", "--base-import-paths", "--sbom=none", "--platform=linux/"+runtime.GOARCH,
		"--recursive", "--filename", filepath.Join(module, "config"))
	cmd.Dir = filepath.Join(m.source, "tekton")
	cmd.Env = append(cmd.Env, "GOWORK=off", "KO_DOCKER_REPO="+Registry+"/tekton", "KO_DEFAULTBASEIMAGE="+base)
	yaml, err := output(cmd)
	if err != nil {
		return err
	}
	yaml, err = configure(yaml)
	if err != nil {
		return err
	}
	return os.WriteFile(file, yaml, 0o644)
}

// settings are what is changed of Tekton's configuration. The restricted Pod Security Standard admits Tekton's own containers with
// the security contexts only. The version is set in Tekton's releases, too. tini, which is no Go program, is for resolvers that
// start others; none of those is used in tests.
var settings = []struct{ old, new string }{
	{`(?m)^(  set-security-context): "false"$`, `$1: "true"`},
	{`(?m)^(  set-security-context-read-only-root-filesystem): "false"$`, `$1: "true"`},
	{`(?m): "?devel"?$`, `: "` + Tekton + `"`},
	{`(?m)^ +- /sbin/tini\n +- --\n`, ``},
}

func configure(yaml []byte) ([]byte, error) {
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
	return run(m.command(ctx, "kubectl", "label", "--overwrite", "namespace", "tekton-pipelines", keyLabel+"="+key))
}

// admits says whether Tekton takes a Task: its webhook serves only a while after it is ready.
func (m *machine) admits(ctx context.Context) bool {
	cmd := m.command(ctx, "kubectl", "create", "--dry-run=server", "--namespace", "default", "--filename", "-")
	cmd.Stdin = strings.NewReader(`{"apiVersion": "tekton.dev/v1", "kind": "Task", "metadata": {"name": "probe"},
		"spec": {"steps": [{"name": "probe", "image": "probe", "command": ["probe"]}]}}`)
	return run(cmd) == nil
}
