package command

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A line is a log line without its time.
type line struct {
	Level, Msg, Command string
}

func TestJSONLines(t *testing.T) {
	t.Setenv("MIRROR_LOG_FORMAT", "json")
	cmd, _, _ := example(nil)
	var out strings.Builder
	cmd.stderr = &out
	cmd.printError(errors.Join(errors.New("a:1: no tag"), Refuse(errors.New("b:2: \x1b[31mred \"x\"\u202e"))))
	cmd.Warn("c:3: twice")
	var got []line
	in := json.NewDecoder(strings.NewReader(out.String()))
	for {
		var l line
		err := in.Decode(&l)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, out.String())
		}
		got = append(got, l)
	}
	want := []line{
		{"ERROR", "a:1: no tag", "move"},
		{"ERROR", `b:2: \x1b[31mred "x"\u202e`, "move"},
		{"WARN", "c:3: twice", "move"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestTextLines(t *testing.T) {
	for _, format := range []string{"", "text", "xml"} {
		t.Setenv("MIRROR_LOG_FORMAT", format)
		cmd, _, _ := example(nil)
		var out strings.Builder
		cmd.stderr = &out
		cmd.Warn("c:3: twice\n")
		if want := "move: warning: c:3: twice\\n\n"; out.String() != want {
			t.Errorf("in the format %q: got %q, want %q", format, out.String(), want)
		}
	}
}

// A CI system that reads a log must not take a name in it for a command.
func TestLinesHaveNoCommandsOfCISystems(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		t.Setenv("MIRROR_LOG_FORMAT", format)
		cmd, _, _ := example(nil)
		var out strings.Builder
		cmd.stderr, cmd.log.LogFormat = &out, format
		if err := cmd.setLogger(); err != nil {
			t.Fatal(err)
		}
		cmd.printError(errors.New("a::error title=x::y ##[stop-commands]z"))
		slog.Warn("x", "file", "##vso[task.complete]")
		for _, command := range []string{"::error", "##["} {
			if strings.Contains(out.String(), command) {
				t.Errorf("%s has %s", out.String(), command)
			}
		}
	}
}

func TestLogger(t *testing.T) {
	for _, c := range []struct{ format, want string }{
		{"text", "level=INFO msg=done images=3\n"},
		{"json", `"level":"INFO","msg":"done","images":3}` + "\n"},
	} {
		var out strings.Builder
		log, err := logging{LogFormat: c.format}.logger(&out)
		if err != nil {
			t.Fatal(err)
		}
		log.Info("done", "images", 3)
		if !strings.HasSuffix(out.String(), c.want) {
			t.Errorf("%s: got %q, want %q at the end", c.format, out.String(), c.want)
		}
	}
	_, err := logging{LogFormat: "xml"}.logger(io.Discard)
	if want := `MIRROR_LOG_FORMAT is "xml": give text or json`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
