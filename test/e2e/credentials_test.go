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

// withSecrets returns a change that binds optional secrets, as the runs do that start makes.
func withSecrets(push, pull string) func(*v1.PipelineRun) {
	optional := true
	bind := func(workspace, secret string) v1.WorkspaceBinding {
		source := &corev1.SecretVolumeSource{SecretName: secret, Optional: &optional}
		return v1.WorkspaceBinding{Name: workspace, Secret: source}
	}
	return func(run *v1.PipelineRun) {
		run.Spec.Workspaces[0] = bind("credentials", push)
		run.Spec.Workspaces = append(run.Spec.Workspaces, bind("pull-credentials", pull))
	}
}

// Each side can have a secret of its own. Without the one for pushing, split says so at once. (The
// runs of TestImageSets have no secret for pulling, and push's serves both sides.)
func TestPushAndPullSecrets(t *testing.T) {
	s := newSpace(t)
	all := []string{""}
	s.source.SetUsers(registrytest.User{Name: "puller", Password: "one", Pull: all})
	s.destination.SetUsers(registrytest.User{
		Name: "pusher", Password: "two", Pull: all, Push: []string{"mirror"},
	})
	s.apply(s.secretYAML("pull", s.login("puller", "one")),
		s.secretYAML("push-payments", s.login("pusher", "two")))
	s.pushOne("app:v1")
	s.mappings("set", "app:v1 mirror/app:v1")
	s.start("both", "set", withSecrets("push-payments", "pull"))
	s.start("pull-only", "set", withSecrets("absent", "pull"))
	s.checkEnd(s.await("both"), true, "1 of 1 mapping copied")
	s.checkEnd(s.await("pull-only"), false,
		`the secret at "/workspace/credentials" does not exist or is empty: create it`)
}

// The cluster's own registry gets the token of the run's service account, and asks the API server
// about it, as OpenShift's does. split's preflight finds what that account may not push. No other
// registry gets the token.
func TestClusterRegistry(t *testing.T) {
	s := newSpace(t)
	account := "system:serviceaccount:" + s.name + ":" + s.name
	own, other := s.clusterRegistry(account), s.clusterRegistry(account)
	s.configMap("registries", map[string]string{
		"registries.conf": s.registriesConf(own.Host, other.Host),
	})
	s.pushOne("app:v1")
	from := s.source.Host + "/app:v1"
	s.configMap("set", map[string]string{
		"OWNERS": owners,
		"mapping_payments": fmt.Sprintf("%[1]s %[2]s/own/app:v1\n%[1]s %[2]s/another/app:v1\n"+
			"%[1]s %[3]s/own/other:v1\n", from, own.Host, other.Host),
	})
	e := s.finish("own", "set", params("cluster-registry="+own.Host))
	s.checkEnd(e, false, "2 of 3 mappings failed")
	s.checkCounts(e.report, 3, 1, 0, 2, 0)
	s.checkFailed(e.report, 2, "denied with the service account's token in ")
	s.checkFailed(e.report, 3, "denied with no credentials")
	if !strings.Contains(e.log, "copies=1 failed=2") {
		t.Errorf("split found only in part what the account may not do: %s", e.log)
	}
}

// clusterRegistry opens the destination once more, to the token of a service account. It may push
// below own.
func (s *space) clusterRegistry(account string) *registrytest.Proxy {
	s.t.Helper()
	return registrytest.NewProxy(s.t, s.copies, registrytest.ProxyOptions{
		Host: s.host, Auth: &registrytest.Auth{
			JWT: true, Users: []registrytest.User{},
			Lookup: func(_, token string) (registrytest.User, bool) {
				name := s.review(token)
				user := registrytest.User{Name: name, Pull: []string{""}, Push: []string{"own"}}
				return user, name == account
			},
		},
	})
}

// review asks the API server whose token it is, and returns "" if it is nobody's.
func (s *space) review(token string) string {
	made, err := s.create(context.Background(), "", &authenticationv1.TokenReview{
		TypeMeta: metav1.TypeMeta{
			APIVersion: authenticationv1.SchemeGroupVersion.String(), Kind: "TokenReview",
		},
		Spec: authenticationv1.TokenReviewSpec{Token: token},
	})
	if err != nil {
		return ""
	}
	// A server calls this, so that it must not end the test, as decode would.
	if yes, _, _ := unstructured.NestedBool(made.Object, "status", "authenticated"); !yes {
		return ""
	}
	name, _, _ := unstructured.NestedString(made.Object, "status", "user", "username")
	return name
}
