//go:build e2e

package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"imagemirror/internal/start"
	"imagemirror/internal/status"
)

// checkStatus installs the status pages as docs/how-to/status.md says, and looks at what they show
// of a set in which all is well. Their service account may read records and runs only.
func (s *installed) checkStatus(set string) {
	s.t.Helper()
	dir := filepath.Join(s.root, "status")
	if err := os.CopyFS(dir, os.DirFS("../../install/status")); err != nil {
		s.t.Fatal(err)
	}
	s.pin(filepath.Join(dir, "kustomization.yaml"))
	s.rename(dir)
	s.applyDirectory(dir)
	s.kubectl("rollout", "status", "deployment/mirror-status", "--timeout=15m")
	url := s.forward("service/mirror-status", "80")
	s.checkShown(url, "/healthz", "ok, as of ")
	s.checkShown(url, "/metrics", `imagemirror_last_run_success{set="`+set+`"} 1`)
	s.checkShown(url, "/sets/"+set, s.record(set).Destinations[0].Name)
	page := s.checkShown(url, "/", `href="sets/`+set+`"`)
	if strings.Contains(page, `class="notice"`) { // records or runs could not be read
		s.t.Errorf("the overview has a notice:\n%s", page)
	}
	s.checkList(s.checkShown(url, "/api/v1/sets", ""), set)
	s.checkMay("mirror-status",
		[]string{
			"get configmaps", "list configmaps", "get pipelineruns.tekton.dev", "list pipelineruns.tekton.dev",
		},
		[]string{
			"get secrets", "list secrets", "watch secrets", "get secrets push-" + set, "create configmaps",
			"update configmaps", "update configmaps record-" + set, "patch configmaps", "delete configmaps",
			"create pipelineruns.tekton.dev", "patch pipelineruns.tekton.dev", "delete pipelineruns.tekton.dev",
			"create pods", "get pods", "create serviceaccounts/token",
		})
}

// checkList checks the JSON of all sets: those that start has started, since other runs have no
// record, and one in which all is well.
func (s *installed) checkList(content, set string) {
	s.t.Helper()
	var list status.SetList
	if err := json.Unmarshal([]byte(content), &list); err != nil {
		s.t.Fatal(err)
	}
	var names []string
	for _, one := range list.Sets {
		names = append(names, one.Set)
		if one.Set == set && (one.State != status.Good || one.Counts[status.Good] != len(s.record(set).Destinations)) {
			s.t.Errorf("%s is %+v, want that all its destinations are good", set, one)
		}
	}
	runs := &metav1.PartialObjectMetadataList{}
	s.list(runs, "pipelineruns", start.SetLabel)
	var started []string
	for _, run := range runs.Items {
		started = append(started, run.Labels[start.SetLabel])
	}
	slices.Sort(started)
	if started = slices.Compact(started); !slices.Contains(names, set) || !slices.Equal(names, started) {
		s.t.Errorf("the sets %s are listed, want %s", names, started)
	}
}

// checkShown checks that the answer to a request contains some words, and returns it.
func (s *installed) checkShown(url, path, words string) string {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(body), words) {
		s.t.Errorf("GET %s answers %s (%v), want %q in\n%s", path, response.Status, err, words, body)
	}
	return string(body)
}
