package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"imagemirror/internal/manifest"
	"imagemirror/internal/registrytest"
	"imagemirror/internal/stream"
)

const (
	images  = 5                    // of a kill
	latency = 2 * time.Millisecond // of a request to the destination: it gives moments to kill at
	grace   = 30 * time.Second     // for the end after SIGTERM: three times what copy takes at most
)

const (
	killCopy = "kill -9 of copy"
	stopRun  = "SIGTERM to imagemirror run"
)

var killPart = trial{
	name: "Kills", cases: []string{killCopy, "SIGTERM to copy", stopRun},
	columns: "Before each, the tags are on their old images; after each, the next copy has to bring them to the new ones.\n\n" +
		"| what, at random moments | times | it had ended by itself | tags on the old image | on the new one | on another, or not whole | took |\n| :-- | --: | --: | --: | --: | --: | --: |",
	run: (*torturer).kill,
}

// A movingTarget is a destination whose tags move from old to new images.
type movingTarget struct {
	registry   atomic.Pointer[http.Handler] // a new one each time
	host       string
	lines      []string
	old, fresh map[string]string // digests, by repository
	pushes     []pushed          // that bring the old images
}

// A pushed is a request that brings content to a registry.
type pushed struct{ method, path, body string }

// newMovingTarget starts a destination, and a source of two images for each of its repositories.
func newMovingTarget(ctx context.Context) (*movingTarget, error) {
	m := &movingTarget{old: map[string]string{}, fresh: map[string]string{}}
	source := registrytest.StartInProcess().Host
	m.host = listen(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		time.Sleep(latency)
		(*m.registry.Load()).ServeHTTP(w, q)
	}))
	base := registrytest.NewLayer("base", 10_000)
	for i := range images {
		name := fmt.Sprint("moving/", i)
		for version, digests := range map[string]map[string]string{"old": m.old, "new": m.fresh} {
			image := registrytest.NewImage(registrytest.OCI, name+version, "amd64", base, registrytest.NewLayer(name+version, 20_000))
			digest, err := registrytest.Write(ctx, source+"/"+name+":"+version, image)
			if err != nil {
				return nil, err
			}
			digests[name] = digest
		}
		m.lines = append(m.lines, fmt.Sprintf("%s/%s:new %s/%[2]s:v1", source, name, m.host))
		m.keep("http://"+source+"/v2/"+name+"/", name)
	}
	return m, nil
}

// keep keeps what brings the old image of a repository, which is below a URL.
func (m *movingTarget) keep(url, name string) {
	content := get(url + "manifests/" + m.old[name])
	for _, blob := range blobsOf(strings.NewReader(content)) {
		m.pushes = append(m.pushes, pushed{http.MethodPost, "/v2/" + name + "/blobs/uploads/?digest=" + blob, get(url + "blobs/" + blob)})
	}
	m.pushes = append(m.pushes, pushed{http.MethodPut, "/v2/" + name + "/manifests/v1", content})
}

// reset makes the destination anew, with the old images.
func (m *movingTarget) reset() error {
	var fresh http.Handler = registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	m.registry.Store(&fresh)
	for _, p := range m.pushes {
		q := httptest.NewRequest(p.method, p.path, strings.NewReader(p.body))
		q.Header.Set("Content-Type", manifest.OCIManifest)
		if w := httptest.NewRecorder(); !served(fresh, w, q, http.StatusCreated) {
			return fmt.Errorf("pushing an old image: %d %s", w.Code, w.Body)
		}
	}
	return nil
}

func served(h http.Handler, w *httptest.ResponseRecorder, q *http.Request, status int) bool {
	h.ServeHTTP(w, q)
	return w.Code == status
}

// state returns how many tags are on their old and on their new images, with all that these need.
func (m *movingTarget) state() (old, fresh int) {
	h := *m.registry.Load()
	for name := range m.old {
		tag := httptest.NewRecorder()
		if !served(h, tag, httptest.NewRequest(http.MethodGet, "/v2/"+name+"/manifests/v1", nil), http.StatusOK) {
			continue
		}
		whole := true
		for _, blob := range blobsOf(tag.Body) {
			whole = whole && served(h, httptest.NewRecorder(), httptest.NewRequest(http.MethodHead, "/v2/"+name+"/blobs/"+blob, nil), http.StatusOK)
		}
		switch at := tag.Header().Get("Docker-Content-Digest"); {
		case whole && at == m.old[name]:
			old++
		case whole && at == m.fresh[name]:
			fresh++
		}
	}
	return old, fresh
}

// kill ends a command at random moments.
func (t *torturer) kill(ctx context.Context, name string) error {
	m, err := newMovingTarget(ctx)
	if err != nil {
		return err
	}
	work, mapping, err := t.work(m.lines)
	if err = errors.Join(err, m.reset()); err != nil {
		return err
	}
	plan, results := filepath.Join(work, "plan"), filepath.Join(work, "results")
	if o, err := t.run(ctx, job{command: []string{"split", mapping}, output: plan}); err != nil || o.status != 0 {
		return fmt.Errorf("split: %s (%w)", o.end(), err)
	}
	copying := job{command: []string{"copy", "-out", results, plan}}
	victim, times, by := t.victimOf(name, mapping, copying)
	began, sum := time.Now(), [4]int{}
	first, err := t.killOnce(ctx, m, victim, by, 0) // which tells how long it takes
	if err != nil {
		return err
	}
	for range times {
		k, err := t.killOnce(ctx, m, victim, by, first.took)
		if err != nil {
			return err
		}
		if by == syscall.SIGTERM && victim.output == "" {
			t.checkResults(results)
		}
		for j, n := range []int{k.ended, k.old, k.fresh, images - k.old - k.fresh} {
			sum[j] += n
		}
		t.copyAgain(ctx, m, copying)
	}
	if sum[3] > 0 {
		t.fail("%s: %d tags are on no whole image", name, sum[3])
	}
	t.row(name, times, sum[0], sum[1], sum[2], sum[3], fmt.Sprintf("%.1f s", time.Since(began).Seconds()))
	return nil
}

// victimOf returns the command that a case ends, how often, and with which signal.
func (t *torturer) victimOf(name, mapping string, copying job) (victim job, times int, by os.Signal) {
	switch name {
	case killCopy:
		return copying, t.kills, os.Kill
	case stopRun:
		return job{command: []string{"run", mapping}, output: os.DevNull}, t.stops, syscall.SIGTERM
	}
	return copying, t.stops, syscall.SIGTERM
}

// copyAgain runs the copy after a kill, which has to bring each tag to its new image.
func (t *torturer) copyAgain(ctx context.Context, m *movingTarget, copying job) {
	if o, err := t.run(ctx, copying); err != nil || o.status != 0 {
		t.fail("the copy after a kill: %s (%w)", o.end(), err)
	}
	if _, fresh := m.state(); fresh != images {
		t.fail("after the next copy, %d of %d tags are on their new images", fresh, images)
	}
}

// A killed tells what a command left behind.
type killed struct {
	ended      int // 1: it had ended before
	old, fresh int
	took       time.Duration
}

// killOnce starts a command, and sends it a signal at a random moment of what it usually takes and
// a quarter more. If that is 0, it waits for its end.
func (t *torturer) killOnce(ctx context.Context, m *movingTarget, victim job, by os.Signal, usual time.Duration) (killed, error) {
	if err := m.reset(); err != nil {
		return killed{}, err
	}
	p, wait, err := t.start(ctx, victim)
	if err != nil {
		return killed{}, err
	}
	var k killed
	if usual > 0 {
		time.Sleep(time.Duration(rand.Int64N(int64(usual) * 5 / 4)))
		_ = p.Signal(by)
	}
	o := wait()
	if k.took = o.took; o.status == 0 {
		k.ended = 1
	}
	k.old, k.fresh = m.state()
	if by == syscall.SIGTERM && (o.took > usual+grace || o.status > 1) || by != os.Kill && o.status >= 0 && o.crashed() {
		t.fail("after SIGTERM: exit status %d in %s: %s", o.status, o.took, o.end())
	}
	return k, nil
}

// checkResults checks that a copy that was told to stop has left results for every mapping, unless
// it had not begun to write.
func (t *torturer) checkResults(file string) {
	f, err := os.Open(file)
	if err != nil {
		return
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() == 0 {
		return
	}
	if c, err := stream.Skim(f, file); err != nil || c.Cut != nil || len(c.Results) != images {
		t.fail("the results after SIGTERM are not whole: %+v (%w)", c, err)
	}
}

// get reads what is at a URL.
func get(url string) string {
	resp, err := http.Get(url)
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		panic(err)
	}
	return string(content)
}

// blobsOf returns the digests of the blobs of a manifest.
func blobsOf(content io.Reader) (digests []string) {
	type descriptor struct{ Digest string }
	var m struct {
		Config descriptor
		Layers []descriptor
	}
	if err := json.NewDecoder(content).Decode(&m); err != nil {
		return nil
	}
	for _, d := range append(m.Layers, m.Config) {
		digests = append(digests, d.Digest)
	}
	return digests
}
