//go:build e2e

package e2e

import (
	"strings"
	"testing"

	"imagemirror/internal/registrytest"
)

// What people type: tkn starts a run with workspaces by flag, and shows its summary.
func TestTkn(t *testing.T) {
	s := newSpace(t)
	tags := s.fill(registrytest.Workload{Repository: "app", Images: 3, Bases: 1, BaseSize: 1 << 16, TopSize: 1 << 12})
	for _, c := range []struct {
		name  string
		flags []string
		says  string
	}{
		{"dry", []string{"--param=set=" + set, "--param=dry-run=true"}, "Dry run: 3 of 3 mappings to copy"},
		{"defaults", nil, "3 of 3 mappings copied"},
	} {
		args := append([]string{
			"pipeline", "start", "mirror", "--namespace", s.name, "--serviceaccount", s.name, "--use-param-defaults", "--output=name",
			"--workspace=name=mappings,config=set", "--workspace=name=credentials,secret=push", "--workspace=name=settings,config=settings",
		}, c.flags...)
		name := strings.TrimSpace(s.tkn(args...))
		name = name[strings.LastIndexByte(name, '/')+1:]
		s.checkEnd(s.await(name), true, c.says)
		if shown := s.tkn("pipelinerun", "describe", name, "--namespace", s.name); !strings.Contains(shown, c.says) {
			t.Errorf("tkn pipelinerun describe shows\n%swant the summary %q", shown, c.says)
		}
	}
	s.checkArrived(tags)
}

func (s *space) tkn(args ...string) string {
	s.t.Helper()
	out, err := output(s.Command(s.t.Context(), "tkn", args...))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(out)
}
