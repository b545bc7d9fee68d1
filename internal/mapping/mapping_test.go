package mapping

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/finding"
)

const digest = "sha256:0561bce5bdc5fd79af0e51c4f161ed7ab76aca4674e5f906555ff4c676b83e60"

// pairs returns mappings as "line: source destination".
func pairs(ms []Mapping) []string {
	var out []string
	for _, m := range ms {
		out = append(out, fmt.Sprintf("%d: %s %s", m.Line, m.Source, m.Destination))
	}
	return out
}

func TestLinesAreRead(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"nothing", "", nil},
		{"blank lines and comments", "\n  \t\n# x\n  #y=z\n", nil},
		{"one destination", "q.io/a:1 q.io/b:2\n", []string{"1: q.io/a:1 q.io/b:2"}},
		{"several destinations", "q.io/a:1 q.io/b:2 q.io/c:3", []string{"1: q.io/a:1 q.io/b:2", "1: q.io/a:1 q.io/c:3"}},
		{"any white space", "\tq.io/a:1 \t\u00a0 q.io/b:2\v \n", []string{"1: q.io/a:1 q.io/b:2"}},
		{"a comment behind a mapping", "q.io/a:1 q.io/b:2#x\nq.io/a:1 q.io/b:3 # y = q.io/z:1", []string{"1: q.io/a:1 q.io/b:2", "2: q.io/a:1 q.io/b:3"}},
		{"CRLF", "q.io/a:1 q.io/b:2\r\n\r\nq.io/c:1 q.io/d:1\r\n", []string{"1: q.io/a:1 q.io/b:2", "3: q.io/c:1 q.io/d:1"}},
		{"a byte order mark", "\ufeffq.io/a:1 q.io/b:2", []string{"1: q.io/a:1 q.io/b:2"}},
		{"an equals sign", "q.io/a:1=q.io/b:2  # x", []string{"1: q.io/a:1 q.io/b:2"}},
		{"the source's tag", "q.io/a:1 q.io/b", []string{"1: q.io/a:1 q.io/b:1"}},
		{"a digest and a tag", "q.io/a@" + digest + "=q.io/b:2", []string{"1: q.io/a@" + digest + " q.io/b:2"}},
		{"a push by digest alone", "q.io/a@" + digest + " q.io/b", []string{"1: q.io/a@" + digest + " q.io/b"}},
		{"a tag and a digest", "q.io/a:1@" + digest + " q.io/b", []string{"1: q.io/a:1@" + digest + " q.io/b:1"}},
		{"a wildcard", "q.io/a:v*-rc* q.io/b", []string{"1: q.io/a:v*-rc* q.io/b"}},
		{"a digest that gets a tag where it is", "q.io/a@" + digest + " q.io/a:1", []string{"1: q.io/a@" + digest + " q.io/a:1"}},
		{"another tag of the source", "q.io/a:1 q.io/a:2", []string{"1: q.io/a:1 q.io/a:2"}},
		{"a destination twice on a line", "q.io/a:1 q.io/b q.io/b:1", []string{"1: q.io/a:1 q.io/b:1", "1: q.io/a:1 q.io/b:1"}},
		{"Docker Hub", "busybox:1 docker.io/org/b", []string{"1: docker.io/library/busybox:1 docker.io/org/b:1"}},
		{"a port", "localhost:5000/a:1 localhost:5001/b", []string{"1: localhost:5000/a:1 localhost:5001/b:1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, found := Parse(strings.NewReader(c.text), "m")
			if err := found.Err(); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(c.want, pairs(got)); diff != "" {
				t.Errorf("mappings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMistakesAreRefused(t *testing.T) {
	equals := errEquals.Error()
	for _, c := range []struct{ name, text, want string }{
		{"no destination", "q.io/a:1", `source "q.io/a:1" has no destination: write SRC DST`},
		{"no tag", "q.io/a q.io/b:1", `source "q.io/a" has no tag and no digest: write q.io/a:TAG, or q.io/a:* for all tags`},
		{"no tag, and latest not all that is meant", "q.io/a q.io/b:latest q.io/b:1", `source "q.io/a" has no tag and no digest: write q.io/a:TAG, or q.io/a:* for all tags`},
		{"no tag at all", "q.io/a q.io/b", `source "q.io/a" has no tag and no digest: write q.io/a:TAG, or q.io/a:* for all tags`},
		{"an empty tag", "q.io/a: q.io/b:1", `source "q.io/a:" ends in a colon: add a tag, or remove the colon`},
		{"two colons", "q.io/a:1 q.io/b::1", `destination "q.io/b::1" is not an image name: write HOST/REPOSITORY:TAG in lower case, such as quay.io/org/image:v1`},
		{"two tags", "q.io/a:1 q.io/b:1:2", `destination "q.io/b:1:2" is not an image name: write HOST/REPOSITORY:TAG in lower case, such as quay.io/org/image:v1`},
		{"a short digest", "q.io/a@sha256:12 q.io/b", `source "q.io/a@sha256:12" has the invalid digest "sha256:12": write sha256: and 64 hexadecimal digits`},
		{"a destination that is only a host", "q.io/a:1 quay.io", `destination "quay.io" is only a host: write HOST/REPOSITORY, or HOST/REPOSITORY:TAG`},
		{"a host with a port", "q.io/a:1 registry.example.com:5000", `destination "registry.example.com:5000" is only a host: write HOST/REPOSITORY, or HOST/REPOSITORY:TAG`},
		{"localhost", "q.io/a:1 localhost:5000", `destination "localhost:5000" is only a host: write HOST/REPOSITORY, or HOST/REPOSITORY:TAG`},
		{"a source that is only a host", "quay.io:v1 q.io/b", `source "quay.io:v1" is only a host: write HOST/REPOSITORY:TAG`},
		{"a digest at the destination", "q.io/a:1 q.io/b@" + digest, `destination "q.io/b@` + digest + `" has a digest: write a tag instead, or nothing (a destination has the digest of its source)`},
		{"a wildcard to a tag", "q.io/a:* q.io/b:1", `destination "q.io/b:1" has a tag, but its source "q.io/a:*" has a * wildcard: write q.io/b without a tag, since each matching tag keeps its name`},
		{"a wildcard and a digest", "q.io/a:*@" + digest + " q.io/b", `source "q.io/a:*@` + digest + `" has a * wildcard and a digest: remove one of them`},
		{"a wildcard in a repository", "q.io/*:1 q.io/b", `source "q.io/*:1" has a * wildcard outside of a tag`},
		{"a wildcard at the destination", "q.io/a:1 q.io/b:*", `destination "q.io/b:*" has a * wildcard in its tag: only a source may`},
		{"source and destination the same", "q.io/a:1 q.io/a:1", `destination "q.io/a:1" is its own source: write another destination, or remove the line`},
		{"the same by the tag that is taken", "busybox:1 docker.io/library/busybox", `destination "docker.io/library/busybox:1" is its own source: write another destination, or remove the line`},
		{"the same by digest", "q.io/a@" + digest + " q.io/a", `destination "q.io/a" is its own source: write another destination, or remove the line`},
		{"the same by wildcard", "q.io/a:* q.io/a", `destination "q.io/a" is its own source: write another destination, or remove the line`},
		{"a port that is too large", "q.io/a:1 q.io:99999/b:1", `destination "q.io:99999/b:1" has an invalid port: write a number from 1 to 65535, or remove the colon`},
		{"port 0", "q.io:0/a:* q.io/b", `source "q.io:0/a:*" has an invalid port: write a number from 1 to 65535, or remove the colon`},
		{"no port", "q.io:/a=q.io/b:1", `source "q.io:/a" has an invalid port: write a number from 1 to 65535, or remove the colon`},
		{"an equals sign beside a destination", "q.io/a:1 q.io/b:1=q.io/c:1", equals},
		{"a destination behind a pair", "q.io/a:1=q.io/b:1 q.io/c:1", equals},
		{"an equals sign between blanks", "q.io/a:1 = q.io/b:1", equals},
		{"two equals signs", "q.io/a:1=q.io/b:1=q.io/c:1", equals},
		{"an equals sign and no source", "=q.io/b:1", equals},
		{"an equals sign and no destination", "q.io/a:1=", equals},
		{"a carriage return within a line", "q.io/a:1 q.io/b:1\rq.io/c:1 q.io/d:1", "the line contains another line end: end lines with LF or CRLF"},
		{"a long line", "q.io/a:1" + strings.Repeat(" q.io/b:1", 8000), "the line has 72008 bytes, more than 65536: move some of its destinations to a line of their own"},
		{"a long name", "q.io/a:1 q.io/" + strings.Repeat("b", 2000), `destination "q.io/` + strings.Repeat("b", 95) + `…" is too long for an image name`},
		{"a zero byte", "q.io/a:1 q.io/b:1\x00", "the file is not text: write it as UTF-8, plain or gzip'd"},
		{"bytes that are not UTF-8", "# caf\xe9", "the file is not text: write it as UTF-8, plain or gzip'd"},
		{"an escape sequence", "q.io/a:1 \x1b[31m", `destination "\x1b[31m" is not an image name: write HOST/REPOSITORY:TAG in lower case, such as quay.io/org/image:v1`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, found := Parse(strings.NewReader("# x\n"+c.text+"\n"), "d/m")
			err := found.Err()
			if err == nil {
				t.Fatalf("got %q and no error", pairs(got))
			}
			if diff := cmp.Diff("d/m:2: "+c.want, err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

// All mistakes are found at once, and the lines that are right are read.
func TestParseGoesOnAfterAMistake(t *testing.T) {
	got, found := Parse(strings.NewReader("q.io/a q.io/A:1\nq.io/b:1 q.io/c:1 q.io/d::1\n\nx=\nq.io/e:1"), "m")
	want := []string{"m:1: source", "m:1: destination", "m:2: destination", `m:4: "="`, "m:5: source"}
	lines := strings.Split(fmt.Sprint(found.Err()), "\n")
	for i, line := range lines {
		if i >= len(want) || !strings.HasPrefix(line, want[i]) {
			t.Errorf("line %d is %q, want one of %q", i, line, want)
		}
	}
	if len(lines) != len(want) {
		t.Errorf("got %d lines, want %d", len(lines), len(want))
	}
	if diff := cmp.Diff([]string{"2: q.io/b:1 q.io/c:1"}, pairs(got)); diff != "" {
		t.Errorf("mappings (-want +got):\n%s", diff)
	}
}

func TestLatestIsTakenForLatest(t *testing.T) {
	got, found := Parse(strings.NewReader("q.io/a q.io/b:latest q.io/c:latest"), "m")
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"1: q.io/a:latest q.io/b:latest", "1: q.io/a:latest q.io/c:latest"}, pairs(got)); diff != "" {
		t.Errorf("mappings (-want +got):\n%s", diff)
	}
	want := `m:1: source "q.io/a" has no tag: latest is taken, as for its destinations; write q.io/a:latest`
	if w := found.Warnings(); len(w) != 1 || w[0].Error() != want {
		t.Errorf("got the warnings %v, want %s", w, want)
	}
}

func TestMistakesOfAFileAreBounded(t *testing.T) {
	_, found := Parse(strings.NewReader(strings.Repeat("nonsense here\n", 3000)), "m")
	lines := strings.Split(fmt.Sprint(found.Err()), "\n")
	if got, want := len(lines), finding.MaxKept+1; got != want {
		t.Fatalf("got %d lines, want %d", got, want)
	}
	if got, want := lines[finding.MaxKept], `m:1001: there are 2000 more findings of the rule "input"`; !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want it to begin with %q", got, want)
	}
}

func compress(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestGzippedFilesAreRead(t *testing.T) {
	whole := compress(t, "\ufeffq.io/a:1 q.io/b:2\n")
	for _, c := range []struct {
		name, file, data, want string // want is the error, or nothing
	}{
		{"by its name", "m.gz", whole, ""},
		{"by its content", "m", whole, ""},
		{"cut", "m.gz", whole[:len(whole)-6], "m.gz:1: the gzip data ends early: compress the file again"},
		{"not gzip'd", "m.gz", "q.io/a:1 q.io/b:2", "m.gz:1: decompressing the file: gzip: invalid header: compress it again with gzip, or write it plain without .gz"},
		{"an empty .gz", "m.gz", "", "m.gz:1: the gzip data ends early: compress the file again"},
		{"gzip'd twice", "m.gz", compress(t, whole), "m.gz:1: the file is not text: write it as UTF-8, plain or gzip'd"},
		{"large once decompressed", "m.gz", compress(t, strings.Repeat("\n", MaxFile+1)), "m.gz:1: the file has more than 16 MiB: split it into several"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, found := Parse(strings.NewReader(c.data), c.file)
			err := found.Err()
			if c.want != "" {
				if err == nil || err.Error() != c.want {
					t.Errorf("got error %v, want %s", err, c.want)
				}
				return
			}
			if err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff([]string{"1: q.io/a:1 q.io/b:2"}, pairs(got)); diff != "" {
				t.Errorf("mappings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLargeFilesAreRefused(t *testing.T) {
	line := "#" + strings.Repeat("x", 1022) + "\n"
	if _, found := Parse(strings.NewReader(strings.Repeat(line, MaxFile/len(line))), "m"); found.Err() != nil {
		t.Errorf("a file of the largest size: %v", found.Err())
	}
	want := "m:1: the file has more than 16 MiB: split it into several"
	_, found := Parse(strings.NewReader(strings.Repeat(line, MaxFile/len(line))+"\n"), "m")
	if err := found.Err(); err == nil || err.Error() != want {
		t.Errorf("got error %v, want %s", err, want)
	}
}

func TestReadErrorsAreKept(t *testing.T) {
	broken := errors.New("the disk is gone")
	_, found := Parse(io.MultiReader(strings.NewReader("q.io/a:1 q.io/b:1\n"), iotest.ErrReader(broken)), "m")
	if err := found.Err(); !errors.Is(err, broken) || err.Error() != "m:1: reading the file: the disk is gone" {
		t.Errorf("got error %v", err)
	}
}

// All mappings are kept for a whole run. The plan has a budget of 2 KB for each.
func TestMappingsTakeLittleMemory(t *testing.T) {
	var text strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&text, "registry.ci.openshift.org/origin/4.%d:component-%d quay.io/openshift/origin-component-%d:4.%d # a comment that need not be kept\n", i%7, i/7, i/7, i%7)
	}
	file := text.String()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	parsed, found := Parse(strings.NewReader(file), "m")
	runtime.GC()
	runtime.ReadMemStats(&after)
	if err := found.Err(); err != nil || len(parsed) != 5000 {
		t.Fatalf("got %d mappings, error %v", len(parsed), err)
	}
	if got := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / 5000; got > 400 {
		t.Errorf("a mapping takes %d bytes, want at most 400", got)
	}
	runtime.KeepAlive(file)
	runtime.KeepAlive(parsed)
}

// Mappings that are written out again are read as the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"q.io/a:1 q.io/b q.io/c:2 # x\r\n", "q.io/a@" + digest + "=q.io/b", "\ufeffa:1\tb", "q.io/a:v* q.io/b",
		"q.io/a:1@" + digest + " q.io/a:2", "a=b=c", "\x1f\x8b", "[::1]:5/a:1 localhost:5000/b\n\n\nQ.io/a:1 q.io/b",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		ms, _ := Parse(bytes.NewReader(data), "m")
		var text strings.Builder
		for _, m := range ms {
			fmt.Fprintf(&text, "%s %s\n", m.Source, m.Destination)
		}
		again, found := Parse(strings.NewReader(text.String()), "m")
		if err := found.Err(); err != nil {
			t.Fatalf("%q is read as %q, and that is refused: %v", data, text.String(), err)
		}
		for i := range ms {
			ms[i].Line = i + 1
		}
		if diff := cmp.Diff(ms, again); diff != "" {
			t.Errorf("read again (-first +second):\n%s", diff)
		}
	})
}
