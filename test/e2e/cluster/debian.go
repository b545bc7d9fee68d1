package cluster

import (
	"context"
	"os"
	"path/filepath"
	"strings"
)

const debianRelease = "bookworm"

// debianPackages is what a node has besides Debian's smallest system: what kind's base image installs, with the container runtime
// that kind builds from source, and crun to start containers; and a shell in one file, for the image that makes volumes.
var debianPackages = []string{
	"systemd", "systemd-sysv", "dbus", "conntrack", "iptables", "nftables", "iproute2", "ethtool", "socat", "util-linux", "mount",
	"kmod", "libseccomp2", "ca-certificates", "curl", "jq", "procps", "hostname",
	"containerd", "crun", "containernetworking-plugins",
	"busybox-static",
}

// debian returns the root folder of a Debian system.
func (m *machine) debian(ctx context.Context) (string, error) {
	if err := m.install(ctx, map[string]string{"debootstrap": "debootstrap"}); err != nil {
		return "", err
	}
	if os.Geteuid() != 0 {
		return "", &Unavailable{"the nodes' image cannot be pulled, and can be built by root only"}
	}
	dir, err := m.part("debian", keyOf(recipe("debian.go")), func(dir string) error {
		m.say("installing Debian for the nodes (a minute)")
		return m.bootstrap(ctx, filepath.Join(dir, "root"))
	})
	return filepath.Join(dir, "root"), err
}

func (m *machine) bootstrap(ctx context.Context, root string) error {
	if err := os.RemoveAll(root); err != nil {
		return err
	}
	// What debootstrap mounts goes with it, also when it is killed.
	err := run(m.command(ctx, "unshare", "--mount", "debootstrap", "--variant=minbase",
		"--include="+strings.Join(debianPackages, ","), debianRelease, root))
	if err != nil {
		return err
	}
	// Packages' archives and the lists of them are of no more use.
	for _, rest := range []string{"var/cache/apt", "var/lib/apt/lists"} {
		if err := os.RemoveAll(filepath.Join(root, rest)); err != nil {
			return err
		}
	}
	return nil
}
