package registrytest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/rogpeppe/go-internal/lockedfile"
)

// A testProgram is a program of a module below tools.
type testProgram struct {
	name    string
	module  string // the module's directory, below tools
	program string // the program's directory, below the module
	is      string // its name in messages
}

var (
	registryTool = testProgram{"registry", ".", "registry", "the registry that tests run against"}
	cosignTool   = testProgram{"cosign", "cosign", ".", "cosign"}
)

// Build returns the path of the registry's program, and builds it into the user's cache directory
// if it is not there. The program's name has a hash of its source and the Go release. If several
// processes want it, one builds and the others wait.
func Build(progress io.Writer) (string, error) { return registryTool.build(progress) }

// BuildCosign returns the path of a program that verifies signatures with cosign's library, as
// "cosign verify -key FILE IMAGE". It is built as the registry is.
func BuildCosign(progress io.Writer) (string, error) { return cosignTool.build(progress) }

func (t testProgram) build(progress io.Writer) (string, error) {
	tools, err := findTools()
	if err != nil {
		return "", err
	}
	module := filepath.Join(tools, t.module)
	key, err := t.sourceKey(module)
	if err != nil {
		return "", err
	}
	dir, err := cacheDirectory()
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, t.name+"-"+key)
	if fileExists(program) {
		return program, nil
	}
	unlock, err := lockedfile.MutexAt(filepath.Join(dir, t.name+".lock")).Lock()
	if err != nil {
		return "", err
	}
	defer unlock()
	if fileExists(program) {
		return program, nil
	}
	fmt.Fprintf(progress, "building %s into %s (a few minutes if nothing is cached)\n", t.is, program)
	return program, t.compile(module, program)
}

// cacheDirectory returns this project's directory in the user's cache, and makes it if needed.
func cacheDirectory() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "imagemirror")
	return dir, os.MkdirAll(dir, 0o755)
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// compile builds next to program and renames, so that a program that exists is complete.
func (t testProgram) compile(module, program string) error {
	temporary := program + ".new"
	defer os.Remove(temporary)
	// Without -s -w the program is twice as large. Asking git for a commit that nobody reads can
	// fail. The rest is as in the Makefile, which compiles the program, too.
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", temporary, "./"+t.program)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s in %s: %w\n%s", cmd, module, err, out)
	}
	return os.Rename(temporary, program)
}

// sourceKey returns a hash of everything that the program is built from.
func (t testProgram) sourceKey(module string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	for _, name := range []string{"go.mod", "go.sum", filepath.Join(t.program, "main.go")} {
		b, err := os.ReadFile(filepath.Join(module, name))
		if err != nil {
			return "", err
		}
		h.Write(b)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8]), nil
}

// findTools returns the directory of the tools' module, which is at the repository's root.
// Tests run below the root.
func findTools() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		tools := filepath.Join(dir, "tools")
		if fileExists(filepath.Join(tools, "registry", "main.go")) {
			return tools, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no tools/registry in the working directory or above it: run within the repository")
		}
		dir = parent
	}
}
