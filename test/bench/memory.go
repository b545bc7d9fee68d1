package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// The bounds on the resident memory of split, copy and imagemirror run, in bytes. A cgroup of 256
// MiB holds run.
const (
	splitBound = 160 * megabyte
	copyBound  = 96 * megabyte
	runBound   = 192 << 20
)

// runFor is how long run copies before it is interrupted. Its memory does not grow any more once
// it has carried out a few portions of the plan, and the rest would take it half an hour.
const runFor = time.Minute

// memoryShards is the number of shards that the plan is cut into.
const memoryShards = 64

// A reading is the memory of one command in one mode.
type reading struct {
	command, mode string
	cost
	bound int64
}

// memory plans images with large manifests in every mode, copies one shard of each plan, and
// prints the memory that it took.
func (b *bench) memory(ctx context.Context, images int) error {
	b.say("generating %d images", images)
	r := newLayered(images)
	source, destination := httptest.NewServer(r), httptest.NewServer(emptyRegistry{})
	defer source.Close()
	defer destination.Close()
	b.say("%d manifests of %s, %d blobs", len(r.manifests), size(r.bytes), len(r.blobs))
	mapping := filepath.Join(b.dir, "mapping_memory")
	if err := os.WriteFile(mapping, r.mappings(source.URL, destination.URL), 0o600); err != nil {
		return err
	}
	kubeconfig, where, closeStore, err := configMapStore(b.dir)
	if err != nil {
		return err
	}
	defer closeStore()
	var readings []reading
	for _, m := range b.memoryModes(mapping, kubeconfig, where) {
		for _, step := range []struct {
			command string
			job     launchSpec
			bound   int64
		}{{"split", m.split, splitBound}, {"copy", m.copy, copyBound}, {"run", m.run, runBound}} {
			if len(step.job.Pipelines) == 0 {
				continue
			}
			c, err := step.job.start(ctx)
			if err == nil && c.Error != "" {
				err = fmt.Errorf("%s: %s", c.Error, lastLines(step.job.Output))
			}
			if err != nil {
				return fmt.Errorf("%s, %s: %w", step.command, m.name, err)
			}
			b.say("%s, %s: %s in %.1f s, CPU %.1f s", step.command, m.name, size(c.Memory), c.Wall.Seconds(), c.CPU.Seconds())
			readings = append(readings, reading{step.command, m.name, c, step.bound})
		}
	}
	return printReadings(os.Stdout, readings)
}

// A mode is one way in which a plan goes from split to copy.
type mode struct {
	name        string
	split, copy launchSpec // copy carries out the heaviest shard
	run         launchSpec // in place of both
}

func (b *bench) memoryModes(mapping, kubeconfig, where string) []mode {
	split := func(env []string, args ...string) launchSpec {
		return b.with(env, append([]string{b.program("split")}, append(args, mapping)...))
	}
	n := fmt.Sprint("-shards=", memoryShards)
	out, state := filepath.Join(b.dir, "plan"), filepath.Join(b.dir, "state")
	inDirectory := []string{"MIRROR_STATE=" + state, "MIRROR_RUN=memory"}
	inConfigMaps := []string{"MIRROR_STATE=configmaps", "MIRROR_RUN=" + filepath.Base(b.dir), "KUBECONFIG=" + kubeconfig, "MIRROR_NAMESPACE=default"}
	pipe := split(nil)
	pipe.Output = os.DevNull
	run := b.with(nil, []string{b.program("imagemirror"), "run", mapping})
	run.Interrupt = runFor
	return []mode{
		{name: "pipe", split: pipe},
		{name: "one process", run: run},
		{name: "-out", split: split(nil, n, "-out="+out), copy: b.with(nil, []string{b.program("copy"), filepath.Join(out, "shards", "s00.jsonl")})},
		{name: "directory state", split: split(inDirectory, n), copy: b.with(inDirectory, []string{b.program("copy"), "s00"})},
		{name: "ConfigMap state (" + where + ")", split: split(inConfigMaps, n), copy: b.with(inConfigMaps, []string{b.program("copy"), "s00"})},
	}
}

// with returns a job of one command in an environment.
func (b *bench) with(env, command []string) launchSpec {
	j := b.job([][]string{command})
	j.Env = append(j.Env, env...)
	return j
}

// printReadings prints a table, and fails if a command took more than its bound.
func printReadings(w io.Writer, readings []reading) error {
	var errs []error
	fmt.Fprintln(w, "| command | plan | resident | bound | wall | CPU |\n| :-- | :-- | --: | --: | --: | --: |")
	for _, r := range readings {
		fmt.Fprintf(w, "| %s | %s | %s | %s | %.1f s | %.1f s |\n", r.command, r.mode, size(r.Memory), size(r.bound), r.Wall.Seconds(), r.CPU.Seconds())
		if r.Memory > r.bound {
			errs = append(errs, fmt.Errorf("%s, %s: %s resident, more than %s", r.command, r.mode, size(r.Memory), size(r.bound)))
		}
	}
	return errors.Join(errs...)
}

// configMapStore returns a kubeconfig for ConfigMaps, and what serves them: the API server
// that IMAGEMIRROR_TEST_KUBECONFIG names, or else a map behind the two requests that the state
// needs.
func configMapStore(dir string) (kubeconfig, where string, stop func(), err error) {
	if given := os.Getenv("IMAGEMIRROR_TEST_KUBECONFIG"); given != "" {
		return given, "API server", func() {}, nil
	}
	s := httptest.NewServer(&configMapServer{objects: map[string][]byte{}})
	kubeconfig = filepath.Join(dir, "kubeconfig")
	text := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "current-context": "x",
"clusters": [{"name": "x", "cluster": {"server": %q}}], "contexts": [{"name": "x", "context": {"cluster": "x"}}]}`, s.URL)
	return kubeconfig, "HTTP store", s.Close, os.WriteFile(kubeconfig, []byte(text), 0o600)
}

// configMapServer creates and gets ConfigMaps.
type configMapServer struct {
	mu      sync.Mutex
	objects map[string][]byte // as they came
}

func (s *configMapServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method == http.MethodGet {
		object := s.objects[r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]]
		if object == nil {
			w.WriteHeader(http.StatusNotFound)
			object = []byte(`{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}`)
		}
		_, _ = w.Write(object)
		return
	}
	body, err := io.ReadAll(r.Body)
	var object struct{ Metadata struct{ Name string } }
	if err = errors.Join(err, json.Unmarshal(body, &object)); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.objects[object.Metadata.Name] = body
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(body)
}
