package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A tool is a program that mirrors images.
type tool struct {
	name string
	job  func(b *bench, s *testbed) (launchSpec, error)
}

func allTools() []tool {
	return []tool{{"ours", ours}, {"pipe", pipeTool}, {"regsync", regsync}, {"crane", crane}}
}

func toolNames() []string {
	var names []string
	for _, t := range allTools() {
		names = append(names, t.name)
	}
	return names
}

// uses reports whether a workload is for a tool that was asked for.
func (b *bench) uses(t tool, w benchWorkload) bool {
	return slices.Contains(b.tools, t.name) && (w.tools == nil || slices.Contains(w.tools, t.name))
}

// ours runs imagemirror run.
func ours(b *bench, s *testbed) (launchSpec, error) {
	return b.ourJob(s, func(mapping string) [][]string {
		return [][]string{{b.program("imagemirror"), "run", mapping}}
	})
}

// pipeTool runs the steps that a cluster runs.
func pipeTool(b *bench, s *testbed) (launchSpec, error) {
	return b.ourJob(s, func(mapping string) [][]string {
		return [][]string{{b.program("split"), mapping}, {b.program("copy")}, {b.program("report")}}
	})
}

// ourJob returns the job of a pipeline that is made for a mapping file.
func (b *bench) ourJob(s *testbed, pipeline func(mapping string) [][]string) (launchSpec, error) {
	mapping, err := b.mappingFile(s)
	if err != nil {
		return launchSpec{}, err
	}
	j := b.job(pipeline(mapping))
	if !s.tls {
		return j, nil
	}
	var conf strings.Builder
	for _, host := range s.hosts() {
		fmt.Fprintf(&conf, "[[registry]]\nlocation = %q\ninsecure = true\n", host)
	}
	file := filepath.Join(b.dir, "registries.conf")
	j.Env = append(j.Env, "MIRROR_REGISTRIES_CONF="+file)
	return j, os.WriteFile(file, []byte(conf.String()), 0o600)
}

// mappingFile writes the stage's pairs as a mapping file, or as a set with settings if it needs
// some.
func (b *bench) mappingFile(s *testbed) (path string, err error) {
	if s.choose {
		return b.selectedSet(s)
	}
	var lines strings.Builder
	for _, p := range s.pairs {
		fmt.Fprintln(&lines, p.source, p.destination)
	}
	if s.always {
		return b.setWith("referrers: {copy: always}", lines.String())
	}
	path = filepath.Join(b.dir, "mapping_bench")
	return path, os.WriteFile(path, []byte(lines.String()), 0o600)
}

// selectedSet writes an image set whose settings select the stage's pairs.
func (b *bench) selectedSet(s *testbed) (path string, err error) {
	var lines strings.Builder
	for _, p := range s.repositories() {
		fmt.Fprintf(&lines, "%s:* %s\n", p.source, p.destination)
	}
	return b.setWith(fmt.Sprintf("select: [{source: \"*\", exclude: '%s'}]", others), lines.String())
}

// others matches the tags that are not selected: see tag.
const others = `.*-[0-9]+`

// repositories returns the pairs without their tags, each once.
func (s *testbed) repositories() (list []imagePair) {
	for _, p := range s.pairs {
		source, destination := p.source[:strings.LastIndex(p.source, ":")], p.destination[:strings.LastIndex(p.destination, ":")]
		if one := (imagePair{source: source, destination: destination}); !slices.Contains(list, one) {
			list = append(list, one)
		}
	}
	return list
}

// regsync runs one process with a configuration file.
func regsync(b *bench, s *testbed) (launchSpec, error) {
	var c strings.Builder
	fmt.Fprintf(&c, "version: 1\ndefaults: {parallel: %d}\ncreds:\n", b.concurrency)
	tls := "disabled"
	if s.tls {
		tls = "insecure"
	}
	for _, host := range s.hosts() {
		fmt.Fprintf(&c, "  - {registry: %q, tls: %s, reqConcurrent: %d}\n", host, tls, b.concurrency)
	}
	fmt.Fprintln(&c, "sync:")
	if s.choose {
		for _, p := range s.repositories() {
			fmt.Fprintf(&c, "  - {source: %q, target: %q, type: repository, tags: {deny: ['%s']}}\n", p.source, p.destination, others)
		}
	} else {
		for _, p := range s.pairs {
			fmt.Fprintf(&c, "  - {source: %q, target: %q, type: image, referrers: %t}\n", p.source, p.destination, s.always)
		}
	}
	config := filepath.Join(b.dir, "regsync.yaml")
	return b.job([][]string{{b.program("regsync"), "once", "-c", config}}), os.WriteFile(config, []byte(c.String()), 0o600)
}

// crane runs a process for each image, as many at a time as requests may be in flight. It has
// no other way to limit them.
func crane(b *bench, s *testbed) (launchSpec, error) {
	j := b.job()
	j.AtOnce = b.concurrency
	for _, p := range s.pairs {
		j.Pipelines = append(j.Pipelines, [][]string{{b.program("crane"), "copy", "--insecure", p.source, p.destination}})
	}
	return j, nil
}

// job runs pipelines without the settings and the credentials of whoever runs the benchmark.
func (b *bench) job(pipelines ...[][]string) launchSpec {
	return launchSpec{
		Pipelines: pipelines, AtOnce: 1, Output: filepath.Join(b.dir, "output"),
		Env: []string{"HOME=" + b.dir, "PATH=" + os.Getenv("PATH"), fmt.Sprintf("MIRROR_CONCURRENCY=%d", b.concurrency)},
	}
}

func (b *bench) program(name string) string { return filepath.Join(b.dir, "bin", name) }

// build builds the tools that will be used.
func (b *bench) build(ctx context.Context) error {
	root, err := goCommand(ctx, "list", "-m", "-f", "{{.Dir}}", "imagemirror")
	if err != nil {
		return err
	}
	peers := map[string]string{
		"crane":   "github.com/google/go-containerregistry/cmd/crane",
		"regsync": "github.com/regclient/regclient/cmd/regsync",
	}
	for _, t := range allTools() {
		if !b.needs(t) {
			continue
		}
		args := []string{"build", "-o", b.program("") + "/", "imagemirror/cmd/..."}
		if peer := peers[t.name]; peer != "" {
			args = []string{"-C", filepath.Join(root, "tools"), "build", "-o", b.program(t.name), peer}
		}
		b.say("building %s (takes minutes the first time)", t.name)
		if _, err := goCommand(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// needs reports whether any workload is for a tool.
func (b *bench) needs(t tool) bool {
	return slices.ContainsFunc(b.workloads, func(w benchWorkload) bool { return b.uses(t, w) })
}

// goCommand returns what the Go command prints. It compiles without cgo, as images are compiled.
func goCommand(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, exit.Stderr)
	}
	return strings.TrimSpace(string(out)), err
}
