//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"imagemirror/internal/imageset"
	"imagemirror/internal/registrytest"
)

var (
	onCallCommand = regexp.MustCompile(`(?m)^\$ (.*)$`)
	stopsRun      = regexp.MustCompile(`(?m)^.*CancelledRunFinally.*\n`)
)

// checkOnCall runs the commands of docs/how-to/on-call.md, for a set that is mirrored: it starts
// another run, which has a tag to move, and stops that.
func (s *installed) checkOnCall(set string) {
	s.t.Helper()
	document, err := os.ReadFile("../../docs/how-to/on-call.md")
	if err != nil {
		s.t.Fatal(err)
	}
	script := "set -e\n"
	for _, command := range onCallCommand.FindAllStringSubmatch(string(document), -1) {
		script += strings.NewReplacer("image-mirror", s.name, "knative", set).Replace(command[1]) + "\n"
	}
	stop := stopsRun.FindString(script)
	if stop == "" {
		s.t.Fatal("docs/how-to/on-call.md has no command that stops a run")
	}
	before := s.runs(set)
	i := slices.IndexFunc(s.sets, func(one *imageset.Set) bool { return one.Name == set })
	source := s.sets[i].Mappings[0].Source
	registrytest.Push(s.t, s.sources.Host+"/"+source.Repository+":"+source.Tag, imageOf("moved"))
	s.destination.Heal()      // of what held earlier runs of the set
	held := s.holdSet(set, 0) // so that the run is active when it is stopped
	dir := s.t.TempDir()
	s.shell(dir, strings.Replace(script, stop, "", 1))
	if r := s.parse(s.read(filepath.Join(dir, "report"))); r.Summary.Mappings == 0 || r.Summary.Failed > 0 {
		s.t.Errorf("the last report of %s is %+v", set, r.Summary)
	}
	run := s.awaitRun(set, before)
	s.awaitHeld(held, 1)
	s.shell(dir, "RUN="+run+"\n"+stop)
	held.release()
	if s.await(run).succeeded {
		s.t.Errorf("the run %s succeeded, although it was stopped", run)
	}
}

// shell runs a script in a directory.
func (s *installed) shell(dir, script string) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), "bash", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+s.bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	if _, err := output(cmd); err != nil {
		s.t.Fatal(err)
	}
}
