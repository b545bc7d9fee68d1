package command

import (
	"fmt"
	"runtime/debug"
	"strings"
)

// version is set by the linker in the images of a release: see .ko.yaml. Without it, the build
// information has the version that Go derives from git.
var version string

// formatVersion returns the version of the program, the commit that it was built from and its
// Go, as far as they are known: "v1.2.3 (0ee96e4f2c81, go1.26.0)".
func formatVersion(version string, build *debug.BuildInfo) string {
	if version == "" {
		version = build.Main.Version
	}
	if version == "" {
		version = "(devel)"
	}
	from := []string{build.GoVersion}
	for _, s := range build.Settings {
		if s.Key == "vcs.revision" {
			from = []string{fmt.Sprintf("%.12s", s.Value), build.GoVersion}
		}
	}
	return fmt.Sprintf("%s (%s)", version, strings.Join(from, ", "))
}

// Version returns the version of the program, with the commit and the Go that it was built from.
func Version() string {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		build = &debug.BuildInfo{}
	}
	return formatVersion(version, build)
}

// versionLine returns what -version prints.
func (c *Command) versionLine() string { return c.Name + " " + Version() }
