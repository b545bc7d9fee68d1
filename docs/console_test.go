package docs

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/registrytest"
)

var consoleBlock = regexp.MustCompile("(?s)```console\n(.*?)```")

// step is a command of a document, with what it writes to standard output.
type step struct{ command, output string }

// steps returns the commands of a document's console blocks.
func steps(t *testing.T, document string) []step {
	t.Helper()
	var all []step
	for _, block := range consoleBlock.FindAllStringSubmatch(read(t, document), -1) {
		for line := range strings.Lines(block[1]) {
			if command, found := strings.CutPrefix(line, "$ "); found {
				all = append(all, step{command: strings.TrimSpace(command)})
			} else {
				all[len(all)-1].output += line
			}
		}
	}
	return all
}

// listedCommands are those in the help of imagemirror.
var listedCommands = regexp.MustCompile(`(?m)^  ([a-z][a-z-]*) +[a-z]+s\b`)

var update = flag.Bool("update", false, "write the commands' help into reference/commands.md")

// The page has the help of each command, without the variables of the environment.
func TestCommandsAreDocumented(t *testing.T) {
	const document = "reference/commands.md"
	text := read(t, document)
	for _, s := range steps(t, document) {
		args := strings.Fields(s.command)
		out, err := exec.CommandContext(t.Context(), filepath.Join(bin, args[0]), args[1:]...).Output()
		if err != nil {
			t.Fatalf("%s: %v", s.command, err)
		}
		help, _, _ := strings.Cut(string(out), "\nEnvironment:\n")
		help = strings.TrimSuffix(help, "\n") + "\n"
		if *update {
			text = strings.Replace(text, "$ "+s.command+"\n"+s.output+"```", "$ "+s.command+"\n"+help+"```", 1)
		} else if diff := cmp.Diff(help, s.output); diff != "" {
			t.Errorf("$ %s (-written +%s); go test ./docs -update writes it:\n%s", s.command, document, diff)
		}
	}
	for _, command := range listedCommands.FindAllStringSubmatch(text, -1) {
		if !strings.Contains(text, "\n$ imagemirror "+command[1]+" -h\n") {
			t.Errorf("%s has no help of imagemirror %s", document, command[1])
		}
	}
	if *update {
		if err := os.WriteFile(document, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// The tutorial's commands run as they stand, and write what it shows. Digests, sizes and times
// differ, and so do the ports, which may be taken.
func TestTutorial(t *testing.T) {
	buildOthers(t)
	var replace, restore []string
	for _, written := range []string{"5001", "5002", "5003", "5004"} {
		free := registrytest.UnusedPort(t)
		replace, restore = append(replace, written, free), append(restore, free, written)
	}
	all := steps(t, filepath.Join("tutorial", "first-mirror.md"))
	const mark = "== next command"
	script := "trap 'kill $(jobs -p) 2> /dev/null' EXIT\n" + // whoever has the output keeps Output waiting
		"wait_for() { until (: < /dev/tcp/localhost/$1) 2> /dev/null; do kill -0 $! || exit; done; }\n"
	for _, s := range all {
		script += fmt.Sprintf("echo '%s'\n%s\n", mark, s.command)
		if port := regexp.MustCompile(`--?(?:address|listen) localhost:(\d+).*&$`).FindStringSubmatch(s.command); port != nil {
			script += "wait_for " + port[1] + "\n"
		}
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-c", strings.NewReplacer(replace...).Replace(script))
	cmd.Dir = filepath.Join(t.TempDir(), "tutorial")
	if err := exec.Command("mkdir", cmd.Dir).Run(); err != nil {
		t.Fatal(err)
	}
	var progress strings.Builder
	cmd.Env, cmd.Stderr = append(cmd.Environ(), "PATH="+bin+":/usr/local/bin:/usr/bin:/bin"), &progress
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s%s", err, out, progress.String())
	}
	outputs := strings.Split(strings.NewReplacer(restore...).Replace(string(out)), mark+"\n")[1:]
	if len(outputs) != len(all) {
		t.Fatalf("%d commands wrote something, want %d: %s%s", len(outputs), len(all), out, progress.String())
	}
	for i, s := range all {
		if diff := cmp.Diff(plain(s.output), plain(outputs[i])); diff != "" {
			t.Errorf("$ %s (-tutorial +written):\n%s%s", s.command, diff, progress.String())
		}
	}
}

// buildOthers builds what the tutorial uses besides the commands.
func buildOthers(t *testing.T) {
	t.Helper()
	for _, program := range [][]string{
		{"-modfile", filepath.Join(root, "tools", "go.mod"), "-o", bin, "github.com/google/go-containerregistry/cmd/crane"},
		{"-o", bin, "imagemirror/docs/tutorial/receiver"},
	} {
		if err := goCommand(append([]string{"build"}, program...)...).Run(); err != nil {
			t.Fatal(err)
		}
	}
}

// plain replaces what differs from run to run.
func plain(text string) string {
	for _, r := range []struct{ pattern, by string }{
		{`sha256:[0-9a-f]{64}`, "sha256:DIGEST"},
		{`\b[0-9a-f]{12}\b`, "DIGEST"},
		{` +[1-9][0-9.]* ([KM]i)?B`, " SIZE"},
		{`in [0-9.]+m?s\b`, "in TIME"},
		{`at [0-9:]+ UTC\b`, "at TIME"},
	} {
		text = regexp.MustCompile(r.pattern).ReplaceAllString(text, r.by)
	}
	return text
}
