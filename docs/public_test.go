package docs

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/registrytest"
)

// The guide's commands write what it shows, against a registry that creates private repositories.
func TestPublicGuide(t *testing.T) {
	source := registrytest.InProcess(t)
	owner := registrytest.User{Name: "owner", Password: "secret", Pull: []string{""}, Push: []string{""}}
	quay := registrytest.NewProxy(t, registrytest.InProcess(t), registrytest.ProxyOptions{Auth: &registrytest.Auth{Users: []registrytest.User{owner}}})
	registrytest.Push(t, source.Host+"/knative/client:v1", registrytest.NewImage(registrytest.OCI, "client", "amd64", registrytest.NewLayer("client", 2000)))
	const guide = "how-to/public.md"
	settings := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindStringSubmatch(read(t, guide))[1]
	dir := t.TempDir()
	for name, content := range map[string]string{
		"image-sets/knative/settings.yaml":   settings,
		"image-sets/knative/OWNERS":          "approvers: [alanfx]\n",
		"image-sets/knative/mapping_knative": source.Host + "/knative/client:v1 quay.io/openshift-knative/client:v1\n",
		"registries.conf":                    fmt.Sprintf("[[registry]]\nprefix = \"quay.io\"\nlocation = %q\ninsecure = true\n", quay.Host),
		"config.json":                        fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, quay.Host, base64.StdEncoding.EncodeToString([]byte("owner:secret"))),
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for i, s := range steps(t, guide) {
		if i > 0 {
			quay.MakePublic("openshift-knative/client")
		}
		cmd := exec.CommandContext(t.Context(), "bash", "-c", s.command)
		cmd.Dir, cmd.Env = dir, append(cmd.Environ(), "PATH="+bin, "DOCKER_CONFIG="+dir, "MIRROR_REGISTRIES_CONF=registries.conf")
		out, err := cmd.Output()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		if want := 1 - min(i, 1); cmd.ProcessState.ExitCode() != want {
			t.Errorf("$ %s: exit status %d, want %d", s.command, cmd.ProcessState.ExitCode(), want)
		}
		if diff := cmp.Diff(plain(s.output), plain(strings.ReplaceAll(string(out), quay.Host, "quay.io"))); diff != "" {
			t.Errorf("$ %s (-guide +written):\n%s", s.command, diff)
		}
	}
}
