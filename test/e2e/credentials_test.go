//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"imagemirror/internal/registrytest"
)

// secretWorkspaces binds optional secrets, as the runs do that start makes.
func secretWorkspaces(run *v1.PipelineRun, push, pull string) {
	optional := true
	bind := func(workspace, secret string) v1.WorkspaceBinding {
		return v1.WorkspaceBinding{Name: workspace, Secret: &corev1.SecretVolumeSource{SecretName: secret, Optional: &optional}}
	}
	run.Spec.Workspaces[0] = bind("credentials", push)
	run.Spec.Workspaces = append(run.Spec.Workspaces, bind("pull-credentials", pull))
}

// Each side has a secret of its own. Without one for pulling the other serves both, and without one for pushing split says so at once.
func TestPushAndPullSecrets(t *testing.T) {
	s := newSpace(t)
	all := []string{""}
	s.source.SetUsers(registrytest.User{Name: "puller", Password: "one", Pull: all})
	s.destination.SetUsers(registrytest.User{Name: "pusher", Password: "two", Pull: all, Push: []string{"mirror"}})
	s.apply(s.secret("pull", "puller", "one"))
	s.apply(s.secret("push-payments", "pusher", "two"))
	s.pushOne()
	s.mappings("set", "app:v1 mirror/app:v1")
	for _, c := range []struct {
		run, push, pull string
		well            bool
		says            string
	}{
		{"apart", "push-payments", "pull", true, "1 of 1 mapping copied"},
		{"push-alone", "push-payments", "absent", false, "1 of 1 mapping failed"},
		{"pull-alone", "absent", "pull", false, `the secret at "/workspace/credentials" does not exist or is empty: create it`},
	} {
		e := s.finish(c.run, "set", func(run *v1.PipelineRun) { secretWorkspaces(run, c.push, c.pull) })
		s.checkEnd(e, c.well, c.says)
	}
	s.source.SetUsers(registrytest.User{Name: "pusher", Password: "two", Pull: all})
	e := s.finish("one-for-both", "set", func(run *v1.PipelineRun) { secretWorkspaces(run, "push-payments", "absent") })
	s.checkEnd(e, true, "up to date")
}

// The cluster's own registry takes the token of the run's service account, which it has the API server review, as OpenShift's does.
func TestClusterRegistry(t *testing.T) {
	s := newSpace(t)
	account := "system:serviceaccount:" + s.name + ":" + s.name
	own := registrytest.NewProxy(t, s.copies, registrytest.ProxyOptions{Host: s.host, Auth: &registrytest.Auth{
		JWT: true, Users: []registrytest.User{},
		Lookup: func(_, token string) (registrytest.User, bool) {
			name := s.review(token)
			return registrytest.User{Name: name, Pull: []string{""}, Push: []string{"own"}}, name == account
		},
	}})
	s.configMap("registries", map[string]string{"registries.conf": s.registriesConf() + "[[registry]]\nlocation = \"" + own.Host + "\"\ninsecure = true\n"})
	s.pushOne()
	line := s.source.Host + "/app:v1 " + own.Host + "/%s/app:v1\n"
	s.configMap("set", map[string]string{"OWNERS": owners, "mapping_payments": fmt.Sprintf(line+line, "own", "another")})
	e := s.finish("not-configured", "set", nil)
	s.checkEnd(e, false, "2 of 2 mappings failed")
	s.checkNoCopies("not-configured")
	e = s.finish("configured", "set", func(run *v1.PipelineRun) { param(run, "cluster-registry", own.Host) })
	s.checkEnd(e, false, "1 of 2 mappings failed")
	s.checkCounts(e.report, 2, 1, 0, 1, 0)
	// Before anything is copied, split knows what that account may not do.
	s.checkFailed(e.report, 2, "the registry grants none with the service account's token in ")
	if !strings.Contains(e.log, "copies=1 failed=1") {
		t.Errorf("split says %s", e.log)
	}
}

// pushOne puts one image at the source.
func (s *space) pushOne() {
	s.t.Helper()
	registrytest.Push(s.t, s.sources.Host+"/app:v1", registrytest.NewImage(registrytest.OCI, "app", "amd64", registrytest.NewLayer("app", 1<<16)))
}

// review asks the API server whose token it is; "" is nobody's.
func (s *space) review(token string) string {
	made, err := s.create(context.Background(), "", &authenticationv1.TokenReview{
		TypeMeta: metav1.TypeMeta{APIVersion: authenticationv1.SchemeGroupVersion.String(), Kind: "TokenReview"},
		Spec:     authenticationv1.TokenReviewSpec{Token: token},
	})
	if err != nil {
		return ""
	}
	// Not decode, which ends a test: this is called by a server.
	if yes, _, _ := unstructured.NestedBool(made.Object, "status", "authenticated"); !yes {
		return ""
	}
	name, _, _ := unstructured.NestedString(made.Object, "status", "user", "username")
	return name
}
