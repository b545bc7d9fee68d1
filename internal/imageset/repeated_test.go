package imageset

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMappingsThatAWildcardCoversAreWarnedOf(t *testing.T) {
	const digest = "sha256:0561bce5bdc5fd79af0e51c4f161ed7ab76aca4674e5f906555ff4c676b83e60"
	for _, c := range []struct {
		name  string
		lines []string
		want  []string
	}{
		{"the wildcard is first", []string{"q.io/s/a:v* q.io/d/a", "q.io/s/a:v1 q.io/d/a:v1"},
			[]string{"stdin:2: destination q.io/d/a:v1 has the same source at stdin:1 already: it is mirrored once"}},
		{"the line is first", []string{"q.io/s/a:v1 q.io/d/a", "q.io/s/a:v* q.io/d/a"},
			[]string{"stdin:2: destination q.io/d/a:v1 has the same source at stdin:1 already: it is mirrored once"}},
		{"both on one line of several destinations", []string{"q.io/s/a:v1 q.io/d/b:v1 q.io/d/a:v1", "q.io/s/a:* q.io/d/a q.io/d/b"},
			[]string{
				"stdin:2: destination q.io/d/b:v1 has the same source at stdin:1 already: it is mirrored once",
				"stdin:2: destination q.io/d/a:v1 has the same source at stdin:1 already: it is mirrored once",
			}},
		{"two wildcards, one warning", []string{"q.io/s/a:v* q.io/d/a", "q.io/s/a:*1 q.io/d/a", "q.io/s/a:v1 q.io/d/a"},
			[]string{"stdin:3: destination q.io/d/a:v1 has the same source at stdin:1 already: it is mirrored once"}},
		{"another tag", []string{"q.io/s/a:v* q.io/d/a", "q.io/s/a:w1 q.io/d/a"}, nil},
		{"under another name", []string{"q.io/s/a:v* q.io/d/a", "q.io/s/a:v1 q.io/d/a:latest"}, nil},
		{"another source", []string{"q.io/s/a:v* q.io/d/a", "q.io/s/b:v1 q.io/d/a:v1"}, nil},
		{"another destination", []string{"q.io/s/a:v* q.io/d/a", "q.io/s/a:v1 q.io/d/b:v1"}, nil},
		{"a digest, which may be another image", []string{"q.io/s/a:v* q.io/d/a", "q.io/s/a:v1@" + digest + " q.io/d/a:v1"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, err := Load([]string{Stdin}, strings.NewReader(strings.Join(c.lines, "\n")))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, in.Warnings()); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

// Both places are named, even in different files.
func TestMappingsThatAWildcardOfAnotherFileCoversAreWarnedOf(t *testing.T) {
	write(t, map[string]string{
		"one/OWNERS": owners, "one/mapping_a": "q.io/s/a:* q.io/d/a\n",
		"two/OWNERS": owners, "two/mapping_b": "\nq.io/s/a:v1 q.io/d/a\n",
	})
	in, err := Load([]string{"one", "two"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"two/mapping_b:2: destination q.io/d/a:v1 has the same source at one/mapping_a:1 already: it is mirrored once"}
	if diff := cmp.Diff(want, in.Warnings()); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}
