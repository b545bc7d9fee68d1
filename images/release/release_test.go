package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"knative.dev/pkg/apis"
	"sigs.k8s.io/yaml"

	"imagemirror/internal/registrytest"
)

const version = "v0.2.0-test"

// Compiling the commands for another architecture than this machine's takes minutes.
var platforms = flag.String("platforms", "linux/"+runtime.GOARCH,
	"platforms to release for (make release: linux/amd64,linux/arm64)")

func TestRelease(t *testing.T) {
	registry := registrytest.InProcess(t)
	r := release{root: "../..", registry: registry.Host + "/team/imagemirror", version: version, platforms: *platforms, out: t.TempDir()}
	if err := r.write(t.Context()); err != nil {
		t.Fatal(err)
	}
	content := read(t, filepath.Join(r.out, "release.yaml"))
	images := checkObjects(t, content)
	pinned := checkComponent(t, r)
	for command, image := range images {
		if pinned[command] != image {
			t.Errorf("in kustomization.yaml the image of %s is %s, want %s", command, pinned[command], image)
		}
	}
	list := read(t, filepath.Join(r.out, "images.txt"))
	if n := strings.Count(list, "\n"); n != len(pinned) {
		t.Errorf("images.txt has %d lines for %d images", n, len(pinned))
	}
	for command, image := range pinned {
		if !strings.Contains("\n"+list, "\n"+image.String()+"\n") {
			t.Errorf("images.txt lacks %s", image)
		}
		// The release workflow attests these.
		if sboms, _ := filepath.Glob(filepath.Join(r.out, "sbom", command+"-*.spdx.json")); len(sboms) == 0 {
			t.Errorf("no SBOM is named for %s", command)
		}
		checkRepository(t, r, command, image)
		for platform, img := range byPlatform(t, image) {
			checkImage(t, r, command, platform, img)
		}
	}
	t.Run("again, of a copy of the tree without git", func(t *testing.T) {
		again := r
		again.root, again.out = copyTree(t), t.TempDir()
		if err := again.write(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{"release.yaml", "kustomization.yaml", "images.txt"} {
			if diff := cmp.Diff(read(t, filepath.Join(r.out, file)), read(t, filepath.Join(again.out, file))); diff != "" {
				t.Errorf("%s (-first +again):\n%s", file, diff)
			}
		}
		if diff := cmp.Diff(folder(t, filepath.Join(r.out, "sbom")), folder(t, filepath.Join(again.out, "sbom"))); diff != "" {
			t.Errorf("the SBOMs (-first +again):\n%s", diff)
		}
	})
}

var imageLine = regexp.MustCompile(`(?m)^ +(?:- )?image: (.*)$`)

// checkObjects checks that Tekton accepts release.yaml, and returns its images by command.
func checkObjects(t *testing.T, content string) map[string]name.Digest {
	t.Helper()
	kinds := map[string]int{}
	for _, document := range strings.Split(content, "\n---\n") {
		var meta struct {
			Kind     string
			Metadata struct {
				Name   string
				Labels map[string]string
			}
		}
		if err := yaml.Unmarshal([]byte(document), &meta); err != nil {
			t.Fatal(err)
		}
		kinds[meta.Kind]++
		var object interface {
			apis.Defaultable
			apis.Validatable
		} = &pipelinev1.Task{}
		if meta.Kind == "Pipeline" {
			object = &pipelinev1.Pipeline{}
		}
		if err := yaml.UnmarshalStrict([]byte(document), object); err != nil {
			t.Fatalf("%s %s: %v", meta.Kind, meta.Metadata.Name, err)
		}
		object.SetDefaults(context.Background())
		if err := object.Validate(context.Background()); err != nil {
			t.Errorf("%s %s: %v", meta.Kind, meta.Metadata.Name, err)
		}
		if got := meta.Metadata.Labels["app.kubernetes.io/version"]; got != version {
			t.Errorf("%s %s is labeled as version %q, want %s", meta.Kind, meta.Metadata.Name, got, version)
		}
	}
	if kinds["Task"] < 3 || kinds["Pipeline"] < 1 || len(kinds) != 2 {
		t.Errorf("there are %v, want at least three Tasks and a Pipeline", kinds)
	}
	if strings.Contains(content, "script:") || strings.Contains(content, "ko://") {
		t.Error("there is a script, or an image without a digest")
	}
	images := map[string]name.Digest{}
	for _, m := range imageLine.FindAllStringSubmatch(content, -1) {
		image, err := name.NewDigest(m[1])
		if err != nil {
			t.Fatal(err)
		}
		images[filepath.Base(image.Context().RepositoryStr())] = image
	}
	return images
}

// checkComponent checks that kustomization.yaml has all commands, and returns its images by
// command.
func checkComponent(t *testing.T, r release) map[string]name.Digest {
	t.Helper()
	var component struct {
		Kind   string `json:"kind"`
		Images []struct {
			Name    string `json:"name"`
			NewName string `json:"newName"`
			Digest  string `json:"digest"`
		} `json:"images"`
	}
	if err := yaml.Unmarshal([]byte(read(t, filepath.Join(r.out, "kustomization.yaml"))), &component); err != nil {
		t.Fatal(err)
	}
	images := map[string]name.Digest{}
	for _, image := range component.Images {
		command, found := strings.CutPrefix(image.Name, "ko://imagemirror/cmd/")
		digest, err := name.NewDigest(image.NewName + "@" + image.Digest)
		if err != nil || !found {
			t.Fatalf("the image %s is %s@%s (%v)", image.Name, image.NewName, image.Digest, err)
		}
		images[command] = digest
	}
	commands, err := filepath.Glob(filepath.Join(r.root, "cmd", "*"))
	if err != nil || len(commands) != len(images) || component.Kind != "Component" {
		t.Errorf("the %s has the images %v, and the commands are %v (%v)", component.Kind, images, commands, err)
	}
	return images
}

// checkRepository checks that the registry has the image under its version, too.
func checkRepository(t *testing.T, r release, command string, image name.Digest) {
	t.Helper()
	if want := r.registry + "/" + command; image.Context().String() != want {
		t.Errorf("%s is in %s, want %s", command, image.Context(), want)
	}
	tagged, err := remote.Head(image.Context().Tag(version))
	if err != nil || tagged.Digest.String() != image.DigestStr() {
		t.Errorf("%s:%s is %v (%v), want %s", command, version, tagged, err, image.DigestStr())
	}
}

// byPlatform pulls the images of an index, or the only image of a release for one platform.
func byPlatform(t *testing.T, image name.Digest) map[string]v1.Image {
	t.Helper()
	all := map[string]v1.Image{}
	for _, want := range strings.Split(*platforms, ",") {
		platform, err := v1.ParsePlatform(want)
		if err != nil {
			t.Fatal(err)
		}
		all[want], err = remote.Image(image, remote.WithPlatform(*platform))
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// copyTree copies the files that git tracks, or would track, into a directory of their own.
func copyTree(t *testing.T) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", "ls-files", "--cached", "--others", "--exclude-standard")
	cmd.Dir = "../.."
	files, err := cmd.Output()
	if err != nil {
		t.Skip("this is no git checkout:", err)
	}
	root := t.TempDir()
	for _, file := range strings.Fields(string(files)) {
		content, err := os.ReadFile(filepath.Join("../..", file))
		if errors.Is(err, os.ErrNotExist) {
			continue // removed, but not yet committed
		}
		to := filepath.Join(root, file)
		if err := errors.Join(err, os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, content, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func folder(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s has the files %v (%v)", dir, files, err)
	}
	all := map[string]string{}
	for _, file := range files {
		all[filepath.Base(file)] = read(t, file)
	}
	return all
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestUnusableOptionsAreRefused(t *testing.T) {
	cases := []struct {
		name string
		r    release
		says string
	}{
		{"no registry", release{root: "../..", version: "v1"}, "no registry to push to"},
		{"no version", release{root: "../..", registry: "localhost/x"},
			`version "" cannot be a tag and a label`},
		{"a version that cannot be a label",
			release{root: "../..", registry: "localhost/x", version: "v1-"}, `version "v1-" cannot be`},
		{"another directory", release{root: ".", registry: "localhost/x", version: "v1"},
			"run this in the root of the repository"},
		{"a name that no registry has",
			release{root: "../..", registry: "Nobody/UPPER", version: "v1"},
			"pushing the base of the images: "},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.r.out = t.TempDir()
			if err := c.r.write(t.Context()); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got error %v, want one with %q", err, c.says)
			}
		})
	}
}
