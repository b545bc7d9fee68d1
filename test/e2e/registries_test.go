//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sync/errgroup"

	"imagemirror/internal/registrytest"
)

// A registry that answers 429 to everything for 20 seconds, and one that is away as long, cost time
// but no image.
func TestRegistriesRecover(t *testing.T) {
	s := newSpace(t)
	tags := registrytest.Fill(t, s.sources, forty).Tags
	for run, fault := range map[string]registrytest.Fault{
		"busy": registrytest.TooManyRequests(""),
		"away": registrytest.Disconnect(),
	} {
		s.mappings(run, below("mirror/"+run, tags)...)
		s.destination.Reset()
		copying := false
		s.destination.Inject(registrytest.FaultRule{Name: run, Fault: fault, Match: func(r *http.Request) bool {
			copying = copying || r.Method == http.MethodPut // split has none
			return copying
		}})
		s.start(run, run, shards(1))
		s.until("a request that fails", func() bool { return s.destination.Stats().Faults > 0 })
		time.Sleep(20 * time.Second) // as long as the registry does not serve
		s.destination.Heal()
		e := s.awaitReport(run)
		s.checkEnd(e, true, "40 of 40 mappings copied")
		s.checkCounts(e.report, 40, 40, 0, 0, 0)
		s.checkArrived("mirror/"+run, tags...)
	}
}

// A large set with nothing to do costs the pods of split and report only. A single shard with
// all of it to copy stays within the memory that pods may have, and so does a plan for 200
// shards.
func TestFiveThousand(t *testing.T) {
	s := newSpaceWith(t, registrytest.InProcess) // which takes 15,000 tags in a fraction of the time
	requireNodes(t)
	const repos, tags = 250, 20
	lines := s.fillMany(repos, tags)
	s.mappings("set", lines...)
	stop := s.sample()
	e := s.finish("unchanged", "set")
	s.checkEnd(e, true, "Nothing to copy: 5000 mappings up to date")
	s.checkCounts(e.report, repos*tags, 0, repos*tags, 0, 0)
	s.checkNoCopies("unchanged")
	s.checkNothingWritten()
	t.Logf("requests to the source: %v; to the destination: %v",
		s.source.Stats().Requests, s.destination.Stats().Requests)
	s.checkTwoHundredShards(lines)
	e = s.finish("copied", "new", shards(1))
	s.checkEnd(e, true, "5000 of 5000 mappings copied")
	s.checkCounts(e.report, repos*tags, repos*tags, 0, 0, 0)
	seen := stop()
	for _, run := range []string{"unchanged", "planned", "copied"} {
		s.checkFootprint(seen, run)
	}
}

// fillMany pushes one image under many tags to both registries, and returns the mappings.
func (s *space) fillMany(repos, tags int) (lines []string) {
	s.t.Helper()
	var all errgroup.Group
	all.SetLimit(8)
	layer := registrytest.NewLayer("same", 1<<10)
	image := registrytest.NewImage(registrytest.OCI, "same", "amd64", layer)
	for i := range repos {
		repo := fmt.Sprintf("app-%d", i)
		for _, at := range []string{s.sources.Host + "/" + repo, s.copies.Host + "/mirror/" + repo} {
			registrytest.Push(s.t, at+":t0", image)
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
		s.t.Fatal(err)
	}
	return lines
}

// checkTwoHundredShards plans 200 shards for new destinations in a dry run.
func (s *space) checkTwoHundredShards(lines []string) {
	s.t.Helper()
	for i, line := range lines {
		lines[i] = strings.Replace(line, " mirror/", " mirror/new/", 1)
	}
	s.mappings("new", lines...)
	e := s.finish("planned", "new", shards(200), params("cap=0", "dry-run=true"))
	s.checkEnd(e, true, "Dry run: 5000 of 5000 mappings to copy")
	s.checkCounts(e.report, len(lines), 0, 0, 0, len(lines))
	s.checkNoCopies("planned")
	planned := 0
	for _, name := range s.names("configmaps", "imagemirror/run=planned") {
		chunk := strings.Contains(name, ".")
		if strings.Contains(name, "planned-shard-") && !chunk {
			planned++
		}
	}
	if planned != 200 {
		s.t.Errorf("there are %d shards, want 200", planned)
	}
}

// Copies of large images, in shards at the same time, stay far below their memory limit: layers
// stream through.
func TestLargeImages(t *testing.T) {
	s := newSpaceWith(t, onDisk)
	requireNodes(t)
	tags := s.fill(registrytest.Workload{
		Repository: "large", Images: 2, Bases: 1, BaseSize: 100 << 20, TopSize: 100 << 20,
	}).Tags
	stop := s.sample()
	e := s.finish("large", "set", shards(2))
	s.checkFootprint(stop(), "large")
	s.checkEnd(e, true, "2 of 2 mappings copied")
	s.checkArrived("mirror", tags...)
}
