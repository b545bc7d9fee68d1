package execute

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	digests "imagemirror/internal/digest"
	"imagemirror/internal/manifest"
	"imagemirror/internal/mirror"
	"imagemirror/internal/reference"
	"imagemirror/internal/waits"
)

// Each portion fits into the engine's memory, and every image is in one, in order.
func TestPortions(t *testing.T) {
	archive := manifest.NewArchive()
	image := func(name string, layers int) string {
		list := make([]string, layers)
		for i := range list {
			list[i] = fmt.Sprintf(`{"digest":%q,"size":1}`, digests.Of(fmt.Append(nil, name, i)))
		}
		content := fmt.Appendf(nil, `{"mediaType":%q,"layers":[%s]}`, manifest.OCIManifest, strings.Join(list, ","))
		parsed, err := manifest.Parse("", content)
		if err != nil {
			t.Fatal(err)
		}
		id := digests.Of(content)
		archive.Add(id, content, parsed)
		return id
	}
	large, small, huge := image("large", portion/2-10), image("small", 3), image("huge", portion)
	job := func(repository, digest string) mirror.Job {
		return mirror.Job{Destination: reference.Reference{Registry: "r", Repository: repository, Tag: "v1"}, Digest: digest}
	}
	for _, c := range []struct {
		name string
		jobs []mirror.Job
		want []int
	}{
		{"none", nil, []int{0}},
		{"all at once", []mirror.Job{job("a", small), job("b", small)}, []int{2}},
		{"two large ones fit", []mirror.Job{job("a", large), job("b", large), job("c", large)}, []int{2, 1}},
		{"tags of one image count once", []mirror.Job{job("a", large), job("a", large), job("a", large), job("a", small)}, []int{4}},
		{"one that does not fit is alone", []mirror.Job{job("a", small), job("b", huge), job("c", small)}, []int{1, 1, 1}},
		{"images without manifests", slices.Repeat([]mirror.Job{job("a", "sha256:none")}, portion+2), []int{portion / jobWeight, portion / jobWeight, 2}},
	} {
		p := &Batch{archives: []*manifest.Archive{archive}, jobs: c.jobs}
		var got []int
		for rest := c.jobs; len(got) == 0 || len(rest) > 0; rest = rest[got[len(got)-1]:] {
			got = append(got, p.portion(rest))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

// Late jobs are kept for another round, and no other outcome is.
func TestLateJobsAreKept(t *testing.T) {
	c := &collector{Observer: ignoring{}}
	l := &lateJobs{Observer: c}
	l.Image(mirror.Outcome{Job: mirror.Job{ID: 1}, Err: fmt.Errorf("waited: %w", mirror.ErrLate)})
	l.Image(mirror.Outcome{Job: mirror.Job{ID: 2}, Err: mirror.ErrInterrupted})
	l.Image(mirror.Outcome{Job: mirror.Job{ID: 3}})
	if len(l.jobs) != 1 || l.jobs[0].ID != 1 || len(c.results) != 2 {
		t.Errorf("kept %+v and passed %+v on, want the first to be kept", l.jobs, c.results)
	}
}

type ignoring struct{}

func (ignoring) Blob(string, string, int64) mirror.Transfer { return nil }
func (ignoring) Mounted(int64)                              {}
func (ignoring) Begin(waits.Wait) func()                    { return func() {} }
func (ignoring) Image(mirror.Outcome)                       {}

// Portions share the time that is left, so that none takes that of the others.
func TestShare(t *testing.T) {
	none, over := CopyLimits{}.Until()
	defer over()
	if got, over := Share(none, 3); got != nil {
		over()
		t.Errorf("a share of no deadline is %v", got)
	}
	synctest.Test(t, func(t *testing.T) {
		hour, over := CopyLimits{CopyDeadline: time.Hour}.Until()
		defer over()
		began := time.Now()
		for _, parts := range []int{3, 2, 1} {
			share, over := Share(hour, parts)
			<-share.Done()
			over()
			if took, want := time.Since(began), time.Duration(4-parts)*20*time.Minute; took != want {
				t.Errorf("the share of %d parts ends after %s, want %s", parts, took, want)
			}
		}
	})
}
