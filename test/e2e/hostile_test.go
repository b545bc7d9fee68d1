//go:build e2e

package e2e

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"imagemirror/internal/registrytest"
)

// Hostile images fail alone in pods with 256 MiB of memory: one with more layers than the bounds
// allow, in split, and one with as many as they allow, whose layers are missing, in copy. 20
// others arrive. The first has its layers in one manifest: several may exceed the plan's room
// before they are counted.
func TestHostileImagesFailAlone(t *testing.T) {
	s := newSpaceWith(t, registrytest.InProcess) // it takes manifests without their blobs
	s.pushWide("evil/beyond:v1", 1, 42_000)
	s.pushWide("evil/within:v1", 3, 13_000)
	tags := registrytest.Fill(t, s.sources, few(20)).Tags
	s.mappings("set", below("mirror", append([]string{"evil/beyond:v1", "evil/within:v1"}, tags...))...)
	e := s.finish("hostile", "set", shards(1))
	s.checkEnd(e, false, "2 of 22 mappings failed")
	s.checkCounts(e.report, 22, 20, 0, 2, 0)
	s.checkFailed(e.report, 1, "list more than 40000 layers and configs")
	s.checkFailed(e.report, 2, "HTTP 404")
	s.checkArrived("mirror", tags...)
	for _, task := range []string{"split", "copy", "report"} {
		s.checkOnlyPod("hostile", task, 256<<20)
	}
}

// pushWide pushes an index of manifests with many layers, which are not there.
func (s *space) pushWide(tag string, manifests, layers int) {
	s.t.Helper()
	var entries []string
	for i := range manifests {
		m := bare(types.OCIManifestSchema1, "layers", wide(fmt.Sprint(tag, i), layers))
		at := registrytest.Push(s.t, fmt.Sprintf("%s/%s-%d", s.sources.Host, tag, i), m)
		entries = append(entries, fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, m.Type, at, len(m.Content)))
	}
	registrytest.Push(s.t, s.sources.Host+"/"+tag, bare(types.OCIImageIndex, "manifests", entries))
}

// wide returns many layers in as few bytes as possible: 42,000 fit into a manifest of 4 MiB.
func wide(name string, layers int) []string {
	all := make([]string, layers)
	for i := range all {
		all[i] = fmt.Sprintf(`{"digest":"sha256:%x","size":1}`, sha256.Sum256(fmt.Append(nil, name, " ", i)))
	}
	return all
}

func bare(kind types.MediaType, list string, of []string) registrytest.BareManifest {
	return registrytest.BareManifest{Type: kind, Content: fmt.Appendf(nil,
		`{"schemaVersion":2,"mediaType":%q,%q:[%s]}`, kind, list, strings.Join(of, ","))}
}

// checkOnlyPod checks that a task of a run had one pod, with a limit of its memory, and that it was
// not killed for that.
func (s *space) checkOnlyPod(run, task string, limit int64) {
	s.t.Helper()
	pods := s.pods(run, task)
	if len(pods) != 1 {
		s.t.Errorf("%s had %d pods, want one", task, len(pods))
		return
	}
	status := step(pods[0])
	end := status.State.Terminated
	if end == nil || end.Reason == "OOMKilled" || status.RestartCount > 0 {
		s.t.Errorf("%s ended as %+v", task, status)
	}
	if _, of := footprintOf(nil, pods[0]); of != limit {
		s.t.Errorf("%s may use %d MiB of memory, want %d", task, of>>20, limit>>20)
	}
}
