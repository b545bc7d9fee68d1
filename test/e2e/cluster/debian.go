package cluster

import (
	"context"
	"os"
	"path/filepath"
	"strings"
)

const debianRelease = "bookworm"

// debianPackages is what a node has in addition to Debian's smallest system: the packages of kind's
// base image; the container runtime, which kind builds from source; crun, which starts containers;
// and a shell in one file, for the image that makes volumes.
var debianPackages = []string{
	"systemd", "systemd-sysv", "dbus", "conntrack", "iptables", "nftables", "iproute2", "ethtool",
	"socat", "util-linux", "mount", "kmod", "libseccomp2", "ca-certificates", "curl", "jq",
	"procps", "hostname",
	"containerd", "crun", "containernetworking-plugins",
	"busybox-static",
}

// debian returns the root directory of a Debian system.
func (m *machine) debian(ctx context.Context) (string, error) {
	if err := m.install(ctx, map[string]string{"debootstrap": "debootstrap"}); err != nil {
		return "", err
	}
	if os.Geteuid() != 0 {
		return "", &Unavailable{publishedNode + " cannot be pulled, and only root can build nodes"}
	}
	dir, err := m.part("debian", keyOf(recipe("debian.go")), func(dir string) error {
		m.logf("installing Debian for the nodes (a minute)")
		return m.bootstrap(ctx, filepath.Join(dir, "root"))
	})
	return filepath.Join(dir, "root"), err
}

func (m *machine) bootstrap(ctx context.Context, root string) error {
	if err := os.RemoveAll(root); err != nil {
		return err
	}
	// In a mount namespace of its own, debootstrap leaves no mounts behind, even if it is killed.
	err := run(m.command(ctx, "unshare", "--mount", "debootstrap", "--variant=minbase",
		"--include="+strings.Join(debianPackages, ","), debianRelease, root))
	if err != nil {
		return err
	}
	// The nodes install nothing: remove the packages' archives and lists.
	for _, rest := range []string{"var/cache/apt", "var/lib/apt/lists"} {
		if err := os.RemoveAll(filepath.Join(root, rest)); err != nil {
			return err
		}
	}
	return nil
}
