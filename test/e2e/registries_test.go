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
	downloads := hold(s.source, registrytest.FaultRule{Kind: "GET blob"}) // which split has none of
	images := hold(s.destination, registrytest.FaultRule{Kind: "PUT manifest"})
	s.start("capped", "set", func(run *v1.PipelineRun) {
		sixShards(run)
		param(run, "cap", fmt.Sprint(limit))
	})
	// What is held until all copies have as much in flight as they may shows whether that is too much.
	s.until("downloads by all copies", func() bool { return s.source.Stats().Faults >= limit })
	downloads()
	s.until("images by all copies", func() bool { return s.destination.Stats().Faults >= limit })
	images()
	e := s.await("capped")
	s.checkEnd(e, true, "40 of 40 mappings copied")
	s.checkArrived(tags)
	if len(e.copies) != limit/4 {
		t.Errorf("%d copies ran, want %d", len(e.copies), limit/4)
	}
	for side, proxy := range map[string]*registrytest.Proxy{"source": s.source, "destination": s.destination} {
		if n := proxy.Stats().MaxInFlight; n != limit {
			t.Errorf("the %s had up to %d requests in flight, want %d", side, n, limit)
		}
	}
}

// A registry that refuses everything for a while, and one that is away, cost time and no image.
func TestRegistriesRecover(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fault registrytest.Fault
	}{
		{"busy", registrytest.TooManyRequests("")},
		{"away", registrytest.Disconnect()},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSpace(t)
			tags := s.fill(forty)
			s.start(c.name, "set", shards(3))
			s.until("a copy", func() bool { return len(s.pods(c.name, "copy")) > 0 })
			s.destination.Inject(registrytest.FaultRule{Name: c.name, Fault: c.fault})
			s.held()
			time.AfterFunc(20*time.Second, s.destination.Heal)
			e := s.await(c.name)
			e.report = s.fetch(c.name)
			s.checkEnd(e, true, "40 of 40 mappings copied")
			s.checkCounts(e.report, 40, 40, 0, 0, 0)
			s.checkArrived(tags)
		})
	}
}

// A large set with nothing to do is the pods of split and report alone; and one that has all to do, in a single shard, is within the memory
// that pods may have, too.
func TestFiveThousand(t *testing.T) {
	s := newSpaceWith(t, registrytest.InProcess) // which takes 15,000 tags in a fraction of the time
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
	stop := s.sample()
	e := s.finish("unchanged", "set", nil)
	s.checkEnd(e, true, "Nothing to copy: 5000 mappings up to date")
	s.checkCounts(e.report, repos*tags, 0, repos*tags, 0, 0)
	s.checkNoCopies("unchanged")
	s.checkNothingWritten()
	t.Logf("requests to the source: %v; to the destination: %v", s.source.Stats().Requests, s.destination.Stats().Requests)
	s.checkTwoHundredShards(lines)
	e = s.finish("copied", "new", shards(1))
	s.checkEnd(e, true, "5000 of 5000 mappings copied")
	s.checkCounts(e.report, repos*tags, repos*tags, 0, 0, 0)
	seen := stop()
	s.checkFootprint(seen, "unchanged")
	s.checkFootprint(seen, "planned")
	s.checkFootprint(seen, "copied")
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
	for _, name := range s.names("configmaps", "imagemirror/run=planned") {
		if strings.Contains(name, "planned-shard-") && !strings.Contains(name, ".") { // an index, not a part
			shards++
		}
	}
	if shards != 200 {
		s.t.Errorf("there are %d shards, want 200", shards)
	}
}
