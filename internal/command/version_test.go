package command

import (
	"runtime/debug"
	"testing"
)

func TestVersion(t *testing.T) {
	commit := []debug.BuildSetting{{Key: "GOOS", Value: "linux"}, {Key: "vcs.revision", Value: "0ee96e4f2c8155f0d4b0"}}
	for _, c := range []struct {
		name   string
		linked string
		build  debug.BuildInfo
		want   string
	}{
		{"an image of a release", "v1.2.3", debug.BuildInfo{GoVersion: "go1.26.0"}, "v1.2.3 (go1.26.0)"},
		{"a checkout", "", debug.BuildInfo{GoVersion: "go1.26.0", Main: debug.Module{Version: "v1.2.4-0.20260301120000-0ee96e4f2c81"}, Settings: commit}, "v1.2.4-0.20260301120000-0ee96e4f2c81 (0ee96e4f2c81, go1.26.0)"},
		{"neither", "", debug.BuildInfo{GoVersion: "go1.26.0"}, "(devel) (go1.26.0)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := formatVersion(c.linked, &c.build); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}
