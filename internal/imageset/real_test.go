package imageset

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestRealFilesAlone(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(realFiles(t, "mappings"), "*", "*"))
	if err != nil || len(files) != 157 {
		t.Fatalf("got %d files, want 157, error %v", len(files), err)
	}
	for _, file := range files {
		in, err := Load([]string{file}, nil)
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		for _, w := range in.Warnings() {
			if !strings.Contains(w, "no OWNERS file") && !strings.Contains(w, "no mapping") && !strings.Contains(w, "latest is taken") {
				t.Errorf("%s: warning %s", file, w)
			}
		}
	}
}

// The real files are those of several years. 51 destinations, as written, are claimed more
// than once: 22 by different sources (an error) and 29 by the same source (a warning). A 52nd
// shows once a destination without a tag has taken its source's. Each message has both
// places.
func TestRealFilesTogether(t *testing.T) {
	dirs, err := filepath.Glob(filepath.Join(realFiles(t, "mappings"), "*"))
	if err != nil {
		t.Fatal(err)
	}
	in, err := Load(dirs, nil)
	if err == nil {
		t.Fatal("got no error")
	}
	claimRE := regexp.MustCompile(`^\.\./\S+:\d+: destination (\S+) has .* at \.\./\S+:\d+`)
	conflicts := matches(claimRE, strings.Split(err.Error(), "\n"))
	if byTag := "quay.io/ovirt/cluster-api-provider-ovirt:latest"; !conflicts[byTag] {
		t.Errorf("%s is not found", byTag)
	}
	if got, want := len(conflicts), 22+1; got != want {
		t.Errorf("got %d destinations with different sources, want %d", got, want)
	}
	repeated := matches(claimRE, in.Warnings())
	for dst := range conflicts {
		delete(repeated, dst)
	}
	if got, want := len(repeated), 29; got != want {
		t.Errorf("got %d destinations with a repeated source, want %d", got, want)
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if !claimRE.MatchString(line) {
			t.Errorf("unexpected error %s", line)
		}
	}
}

// matches returns the distinct first groups of re in lines.
func matches(re *regexp.Regexp, lines []string) map[string]bool {
	found := map[string]bool{}
	for _, line := range lines {
		if m := re.FindStringSubmatch(line); m != nil {
			found[m[1]] = true
		}
	}
	return found
}
