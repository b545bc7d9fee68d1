//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"golang.org/x/sync/errgroup"

	"imagemirror/internal/registrytest"
)

// The cap holds for the run: there are no more shards than leave each of them four requests in flight.
func TestCap(t *testing.T) {
	s := newSpace(t)
	tags := s.fill(forty)
	const limit = 12
	e := s.finish("capped", "set", func(run *v1.PipelineRun) {
		sixShards(run)
		param(run, "cap", fmt.Sprint(limit))
	})
	s.checkEnd(e, true, "40 of 40 mappings copied")
	s.checkArrived(tags)
	if len(e.copies) != limit/4 {
		t.Errorf("%d copies ran, want %d", len(e.copies), limit/4)
	}
	for side, proxy := range map[string]*registrytest.Proxy{"source": s.source, "destination": s.destination} {
		// One copy alone stays below half of what is looked for.
		if n := proxy.Stats().MaxInFlight; n > limit || n <= limit/3 {
			t.Errorf("the %s had up to %d requests in flight, want more than one copy's %d and at most %d", side, n, limit/3, limit)
		}
	}
}

// A registry that refuses everything for a while, and one that is away, cost time and no image.
func TestRegistriesRecover(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault registrytest.Fault
	}{
		{"busy", registrytest.TooManyRequests("")},
		{"away", registrytest.Cut()},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSpace(t)
			tags := s.fill(forty)
			s.start(c.name, "set", sixShards)
			for len(s.pods(c.name, "copy")) == 0 {
				time.Sleep(100 * time.Millisecond)
			}
			s.destination.Inject(registrytest.Rule{Name: c.name, Fault: c.fault})
			time.AfterFunc(20*time.Second, s.destination.Heal)
			e := s.await(c.name)
			e.report = s.fetch(c.name)
			s.checkEnd(e, true, "40 of 40 mappings copied")
			s.checkCounts(e.report, 40, 40, 0, 0, 0)
			s.checkArrived(tags)
			if s.destination.Stats().Faults == 0 {
				t.Error("nothing was struck")
			}
		})
	}
}

// A large set with nothing to do is the pods of split and report alone, within the memory that they may have.
func TestFiveThousandUnchanged(t *testing.T) {
	s := newSpace(t)
	const repos, tags = 250, 20
	var lines []string
	var all errgroup.Group
	all.SetLimit(8)
	image := registrytest.NewImage(registrytest.OCI, "same", "amd64", registrytest.NewLayer("same", 1<<10))
	for i := range repos {
		repo := fmt.Sprintf("app-%d", i)
		for _, at := range []string{s.sources.Host + "/" + repo, s.copies.Host + "/mirror/" + repo} {
			registrytest.Push(t, at+":t0", image)
			for j := range tags {
				all.Go(func() error {
					tag, err := name.NewTag(fmt.Sprintf("%s:t%d", at, j))
					if err != nil {
						return err
					}
					return remote.Put(tag, image)
				})
			}
		}
		for j := range tags {
			lines = append(lines, fmt.Sprintf("%s:t%d mirror/%s:t%d", repo, j, repo, j))
		}
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	s.mappings("set", lines...)
	e := s.finish("unchanged", "set", nil)
	s.checkEnd(e, true, "Nothing to copy: 5000 mappings up to date")
	s.checkCounts(e.report, repos*tags, 0, repos*tags, 0, 0)
	s.checkNoCopies("unchanged")
	s.checkNothingWritten()
	s.checkTwoHundredShards(lines)
	t.Logf("requests to the source: %v; to the destination: %v", s.source.Stats().Requests, s.destination.Stats().Requests)
}

// checkTwoHundredShards plans, and has reported, as many shards as nobody has nodes for here.
func (s *space) checkTwoHundredShards(lines []string) {
	s.t.Helper()
	for i, line := range lines {
		lines[i] = strings.Replace(line, " mirror/", " mirror/new/", 1)
	}
	s.mappings("new", lines...)
	e := s.finish("planned", "new", func(run *v1.PipelineRun) {
		param(run, "shards", "200")
		param(run, "cap", "0")
		param(run, "dry-run", "true")
	})
	s.checkEnd(e, true, "Dry run: 5000 of 5000 mappings to copy")
	s.checkCounts(e.report, len(lines), 0, 0, 0, len(lines))
	s.checkNoCopies("planned")
	shards := 0
	for name := range strings.Lines(s.kubectl("", "get", "configmaps", "--output=name", "--selector=imagemirror/run=planned")) {
		if strings.Contains(name, "planned-shard-") && !strings.Contains(name, ".") { // an index, not a part
			shards++
		}
	}
	if shards != 200 {
		s.t.Errorf("there are %d shards, want 200", shards)
	}
}
