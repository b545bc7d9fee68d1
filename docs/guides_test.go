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

// A guideWorld is a directory with the image set knative, whose image goes to a registry that is
// quay.io there.
type guideWorld struct {
	dir  string
	quay *registrytest.Proxy
}

func newGuideWorld(t *testing.T, settings string) guideWorld {
	t.Helper()
	source := registrytest.InProcess(t)
	owner := registrytest.User{Name: "owner", Password: "secret", Pull: []string{""}, Push: []string{""}}
	w := guideWorld{t.TempDir(), registrytest.NewProxy(t, registrytest.InProcess(t), registrytest.ProxyOptions{Auth: &registrytest.Auth{Users: []registrytest.User{owner}}})}
	registrytest.Push(t, source.Host+"/knative/client:v1", registrytest.NewImage(registrytest.OCI, "client", "amd64", registrytest.NewLayer("client", 2000)))
	w.write(t, "image-sets/knative/settings.yaml", settings)
	w.write(t, "image-sets/knative/OWNERS", "approvers: [alanfx]\n")
	w.write(t, "image-sets/knative/mapping_knative", source.Host+"/knative/client:v1 quay.io/openshift-knative/client:v1\n")
	w.write(t, "registries.conf", fmt.Sprintf("[[registry]]\nprefix = \"quay.io\"\nlocation = %q\ninsecure = true\n", w.quay.Host))
	w.write(t, "config.json", fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, w.quay.Host, base64.StdEncoding.EncodeToString([]byte("owner:secret"))))
	return w
}

func (w guideWorld) write(t *testing.T, name, content string) {
	t.Helper()
	path := filepath.Join(w.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// follow runs a command of a guide, and compares what it writes and its exit status.
func (w guideWorld) follow(t *testing.T, s step, status int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-c", s.command)
	cmd.Dir, cmd.Env = w.dir, append(cmd.Environ(), "PATH="+bin+":/usr/local/bin:/usr/bin:/bin", "DOCKER_CONFIG="+w.dir, "MIRROR_REGISTRIES_CONF=registries.conf")
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != status {
		t.Errorf("$ %s: exit status %d, want %d", s.command, got, status)
	}
	if diff := cmp.Diff(plain(s.output), plain(strings.ReplaceAll(string(out), w.quay.Host, "quay.io"))); diff != "" {
		t.Errorf("$ %s (-guide +written):\n%s", s.command, diff)
	}
}

// The guide's commands write what it shows, against a registry that creates private repositories.
func TestPublicGuide(t *testing.T) {
	t.Parallel()
	const guide = "how-to/public.md"
	w := newGuideWorld(t, regexp.MustCompile("(?s)```yaml\n(.*?)```").FindStringSubmatch(read(t, guide))[1])
	for i, s := range steps(t, guide) {
		if i > 0 {
			w.quay.MakePublic("openshift-knative/client")
		}
		w.follow(t, s, 1-min(i, 1))
	}
}

// The guide's commands make a kustomization of what is published.
func TestPinGuide(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"jq", "kubectl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("there is no " + tool)
		}
	}
	const guide = "how-to/pin.md"
	w := newGuideWorld(t, "apiVersion: imagemirror/v1\nkind: Settings\nmetadata: {name: knative}\n")
	w.write(t, "deploy/client.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: client}\nspec: {containers: [{name: client, image: quay.io/openshift-knative/client:v1}]}\n")
	w.write(t, "deploy/pins/kustomization.yaml", "")
	for _, s := range steps(t, guide) {
		if file, shown := strings.CutPrefix(s.command, "cat "); shown {
			w.write(t, file, s.output)
		}
		w.follow(t, s, 0)
	}
}
