//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
)

// checkListener makes the EventListener start two sets by a call and one by a push, and none for
// those who do not know the token.
func (s *installed) checkListener() {
	s.t.Helper()
	token := rand.Text()
	s.kubectl("create", "secret", "generic", "mirror-listener", "--from-literal=token="+token)
	s.t.Cleanup(func() {
		_, _ = output(exec.CommandContext(context.Background(), "kubectl",
			"delete", "clusterrole,clusterrolebinding", "mirror-listener"))
	})
	s.applyDirectory(filepath.Join(s.root, "triggers"))
	s.kubectl("wait", "eventlistener", "mirror", "--for=condition=Ready", "--timeout=15m")
	url := s.forward("service/el-mirror", "8080")

	const call = `{"sets": "tekton,ocs-operator"}`
	known := http.Header{"X-Mirror-Token": {token}}
	s.post(url, call, http.Header{"X-Mirror-Token": {"wrong"}})
	s.post(url, call, nil)
	s.post(url, `{"sets": "knative --help"}`, known)
	s.post(url, call, known)
	for _, set := range []string{"tekton", "ocs-operator"} {
		s.checkSucceeds(s.awaitRun(set, nil))
	}

	const push = `{"ref": "refs/heads/main", "repository": {"default_branch": "main"}, "commits": [
		{"added": ["README.md", "image-sets/base/x.yaml"],
		 "modified": ["image-sets/knative/OWNERS", "image-sets/kustomization.yaml"],
		 "removed": ["image-sets/tekton/mapping_x"]},
		{"added": ["image-sets/knative/mapping_x"], "modified": [], "removed": []}]}`
	branch := strings.Replace(push, "heads/main", "heads/other", 1)
	s.post(url, push, signed(push, "wrong"))
	s.post(url, branch, signed(branch, token))
	s.post(url, push, signed(push, token))
	s.checkSucceeds(s.awaitRun("knative", nil))
	// The EventListener has long judged the events that came before.
	for _, set := range []string{"knative", "tekton", "ocs-operator"} {
		if n := len(s.runs(set)); n != 1 {
			s.t.Errorf("%s has %d runs, want one", set, n)
		}
	}
	starts := &v1.TaskRunList{}
	s.list(starts, "taskruns", "tekton.dev/task=mirror-start")
	if len(starts.Items) != 2 {
		s.t.Errorf("start ran %d times for two events with the token", len(starts.Items))
	}
}

// signed returns the headers of GitHub's push event, with the signature of its body.
func signed(body, key string) http.Header {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(body))
	signature := fmt.Sprintf("sha256=%x", mac.Sum(nil))
	return http.Header{"X-Github-Event": {"push"}, "X-Hub-Signature-256": {signature}}
}

func (s *installed) post(url, body string, header http.Header) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(
		s.t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for name, values := range header {
		request.Header[name] = values
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode/100 != 2 {
		s.t.Errorf("the EventListener answers %s", response.Status)
	}
}

var forwardingRE = regexp.MustCompile(`^Forwarding from (127\.0\.0\.1:\d+) `)

// forward forwards a free port of this machine to a port of a Service, and returns its URL. kubectl
// is restarted if it exits: the service may not know a pod yet, or the pod may not listen yet.
func (s *installed) forward(to, port string) string {
	s.t.Helper()
	var address string
	s.until("the port that leads to "+to, func() bool {
		cmd := exec.CommandContext(s.t.Context(), "kubectl", "--namespace", s.name,
			"port-forward", "--address=127.0.0.1", to, ":"+port)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		line, _ := bufio.NewReader(out).ReadString('\n') // empty if kubectl has exited
		m := forwardingRE.FindStringSubmatch(line)
		if m == nil {
			return false
		}
		address = m[1]
		client := &http.Client{Timeout: 10 * time.Second}
		response, err := client.Get("http://" + address + "/live")
		if err == nil {
			response.Body.Close()
		}
		return err == nil
	})
	return "http://" + address
}
