//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

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
			"--workspace=name=mappings,config=set", "--workspace=name=credentials,secret=push", "--workspace=name=registries,config=registries",
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

// What a run says that has failed: the summary is a result of a finally task that fails, too.
func TestTknShowsFailures(t *testing.T) {
	s := newSpace(t)
	tags := s.fill(registrytest.Workload{Repository: "app", Images: 2, Bases: 1, BaseSize: 1 << 16, TopSize: 1 << 12})
	s.mappings("set", tags[0]+" mirror/"+tags[0], "app-1:missing mirror/missing:v1")
	s.configMap("malformed", map[string]string{"OWNERS": owners, "mapping_payments": "only-one-name:v1\n"})
	for run, c := range map[string]struct{ mappings, says string }{
		"failed":  {"set", "1 of 2 mappings failed"},
		"refused": {"malformed", "nothing was mirrored: split: image-sets/payments/mapping_payments:1: source"},
	} {
		s.start(run, c.mappings, nil)
		logs, says := s.follow(run), c.says
		s.checkEnd(s.await(run), false, says)
		if shown := s.tkn("pipelinerun", "describe", run, "--namespace", s.name); !strings.Contains(shown, says) {
			t.Errorf("tkn pipelinerun describe shows\n%swant the summary %q", shown, says)
		}
		if shown := logs(); !strings.Contains(shown, "report: "+says) {
			t.Errorf("tkn pipelinerun logs shows\n%swant the last line of report, %q", shown, says)
		}
	}
}

// follow has tkn show the logs of a run as it goes. Once in some 20 runs tkn has not come to its end when the run had; it gets half a
// minute more then, is ended, and asked again without following.
func (s *space) follow(run string) (shown func() string) {
	s.t.Helper()
	ctx, end := context.WithCancel(s.t.Context())
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, "tkn", "pipelinerun", "logs", run, "--follow", "--namespace", s.name)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &out, 5*time.Second
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	return func() string {
		s.t.Helper()
		defer end()
		select {
		case err := <-ended:
			if err != nil {
				s.t.Errorf("tkn pipelinerun logs --follow: %v", err)
			}
			return out.String()
		case <-time.After(30 * time.Second):
			end()
			<-ended
			s.t.Logf("half a minute after the run %s tkn pipelinerun logs --follow has not ended; it showed\n%s", run, out.String())
			return s.tkn("pipelinerun", "logs", run, "--namespace", s.name)
		}
	}
}

func (s *space) tkn(args ...string) string {
	s.t.Helper()
	out, err := output(exec.CommandContext(s.t.Context(), "tkn", args...))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(out)
}
