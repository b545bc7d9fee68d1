package registrytest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/lockedfile"
)

// ErrNoDebian is the error of StartDebian and FindDebian on a machine that is not Debian or made
// from it.
var ErrNoDebian = errors.New("it is a package of Debian, and there is no apt-get")

// debianPackage is the name of the package and of its program.
const debianPackage = "docker-registry"

// StartDebian starts the registry that Debian packages, distribution 2.8, as a process. Its
// content is in contentDir, or in memory if that is empty. StartDebian downloads the package
// if this machine does not have it, and installs nothing. Unlike distribution 3 the registry
// accepts Docker schema 1, and checks that all that a manifest refers to is there. The process
// ends with Close, and when this process ends.
func StartDebian(contentDir string) (*Registry, error) {
	path, err := FindDebian(os.Stderr, debianPackage, debianPackage)
	if err != nil {
		return nil, fmt.Errorf("finding %s: %w", debianPackage, err)
	}
	if err := checkDebian(path); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "registrytest-")
	if err != nil {
		return nil, err
	}
	r, err := startDebian(path, dir, contentDir)
	if err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("starting %s: %w", debianPackage, err)
	}
	return r, nil
}

var listening = regexp.MustCompile(`listening on (127\.0\.0\.1:\d+)`)

func startDebian(path, dir, contentDir string) (*Registry, error) {
	config := filepath.Join(dir, "config.yml")
	c := baseConfig(contentDir)
	c["http"] = settings{"addr": "127.0.0.1:0", "secret": secret}
	c["log"] = settings{"formatter": "json", "accesslog": settings{"disabled": true}}
	c["compatibility"] = settings{"schema1": settings{"enabled": true}}
	if err := os.WriteFile(config, encode(c), 0o600); err != nil {
		return nil, err
	}
	// The program does not look at its standard input, so something else ends it with its input.
	const script = `exec 3<&0; (read _ <&3; kill $$) >/dev/null 2>&1 & exec "$0" serve "$1" 2>&1`
	return startProcess(exec.Command("sh", "-c", script, path, config), dir, func(line string) string {
		m := listening.FindStringSubmatch(line)
		if m == nil {
			return ""
		}
		return m[1]
	})
}

// FindDebian returns the path of a program of a Debian package: an installed one, or one in the
// user's cache directory, into which it unpacks the package if it is not there. If several
// processes want it, one does that and the others wait.
func FindDebian(progress io.Writer, pkg, program string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return "", ErrNoDebian
	}
	dir, err := cacheDirectory()
	if err != nil {
		return "", err
	}
	unpacked := filepath.Join(dir, pkg)
	path := filepath.Join(unpacked, "usr", "bin", program)
	unlock, err := lockedfile.MutexAt(unpacked + ".lock").Lock()
	if err != nil {
		return "", err
	}
	defer unlock()
	if !fileExists(path) {
		fmt.Fprintf(progress, "downloading the Debian package %s into %s\n", pkg, unpacked)
		if err := downloadDebian(unpacked, pkg); err != nil {
			return "", err
		}
	}
	return path, nil
}

// downloadDebian unpacks the package into dir. On a machine without lists of packages it gets
// them for itself, since that needs no root. It removes what was left when a process was killed.
func downloadDebian(dir, pkg string) error {
	temporary := dir + ".new"
	if err := errors.Join(os.RemoveAll(dir), os.RemoveAll(temporary)); err != nil {
		return err
	}
	for _, sub := range []string{"lists/partial", "archives/partial", "root"} {
		if err := os.MkdirAll(filepath.Join(temporary, sub), 0o755); err != nil {
			return err
		}
	}
	defer os.RemoveAll(temporary)
	own := []string{"-qq", "-o", "Acquire::Retries=3", "-o", "Dir::State::Lists=" + temporary + "/lists", "-o", "Dir::Cache=" + temporary}
	get := []string{"download", pkg}
	if run(temporary, "apt-get", append([]string{"-qq"}, get...)...) != nil {
		if err := run(temporary, "apt-get", append(own, "update")...); err != nil {
			return err
		}
		if err := run(temporary, "apt-get", append(own, get...)...); err != nil {
			return err
		}
	}
	packages, err := filepath.Glob(filepath.Join(temporary, pkg+"_*.deb"))
	if err != nil || len(packages) != 1 {
		return fmt.Errorf("apt-get downloaded the packages %q, %v", packages, err)
	}
	root := filepath.Join(temporary, "root")
	if err := run(temporary, "dpkg", "-x", packages[0], root); err != nil {
		return err
	}
	return os.Rename(root, dir)
}

// checkDebian returns an error unless the program is distribution 2.8.
func checkDebian(path string) error {
	out, err := exec.CommandContext(context.Background(), path, "--version").Output()
	if err != nil {
		return fmt.Errorf("%s --version: %w", path, err)
	}
	if !strings.Contains(string(out), " 2.8.") {
		return fmt.Errorf("%s is %q, and distribution 2.8 is wanted", path, strings.TrimSpace(string(out)))
	}
	return nil
}

func run(dir, name string, args ...string) error {
	cmd := exec.CommandContext(context.Background(), name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return nil
}
