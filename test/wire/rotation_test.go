package wire

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"imagemirror/internal/credentials"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

// A secret is rotated during a run, and the registry accepts only the new password from then on. No
// image fails, since the mounted file is read again.
func TestSecretIsRotatedDuringACopy(t *testing.T) {
	t.Parallel()
	all := []string{""}
	user := func(password string) registrytest.User {
		return registrytest.User{Name: "robot", Password: password, Pull: all, Push: all}
	}
	p := pair{newRegistry(t, nil), newRegistry(t, &registrytest.Auth{Users: []registrytest.User{user("0")}})}
	w := newWorkload(t, p, 12)
	dir := t.TempDir()
	rotate := func(password string) {
		if err := mountSecret(dir, password, p.destination.Host, "robot:"+password); err != nil {
			t.Error(err)
		}
	}
	rotate("0")
	keys, err := credentials.Load(func(name string) string { return map[string]string{"DOCKER_CONFIG": dir}[name] }, credentials.Options{})
	if err != nil {
		t.Fatal(err)
	}
	// An upload gets three attempts if it is refused with 401, so two rotations cannot use them up.
	const rotations = 2
	var writes atomic.Int64
	p.destination.Inject(registrytest.FaultRule{Name: "rotate", Match: func(r *http.Request) bool {
		if r.Method != http.MethodPut {
			return false
		}
		if n := writes.Add(1); n%10 == 0 && n/10 <= rotations {
			password := fmt.Sprint(n / 10)
			rotate(password)
			p.destination.SetUsers(user(password))
		}
		return false
	}})
	mirrorAs(t, settings(), keys, w.lines...).allAre(t, stream.Copied)
	if n := writes.Load(); n < 10*(rotations+1) {
		t.Errorf("there were %d writes, not enough after the last rotation: give the test more to copy", n)
	}
	for _, name := range w.names {
		wantArrived(t, p, name, "mirror/"+name)
	}
}

// mountSecret lays a secret out as the kubelet does, and replaces it atomically.
func mountSecret(dir, version, registry, user string) error {
	version = "..2026_" + version
	if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
		return err
	}
	content := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, registry, base64.StdEncoding.EncodeToString([]byte(user)))
	const key = ".dockerconfigjson"
	if err := os.WriteFile(filepath.Join(dir, version, key), []byte(content), 0o600); err != nil {
		return err
	}
	next, data := filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")
	if err := os.Symlink(version, next); err != nil {
		return err
	}
	if err := os.Rename(next, data); err != nil {
		return err
	}
	if err := os.Symlink(filepath.Join("..data", key), filepath.Join(dir, key)); err != nil && !os.IsExist(err) {
		return err
	}
	return nil
}
