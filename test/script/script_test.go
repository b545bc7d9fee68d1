// Package script tests what users see: each file in testdata is a session at a shell, with the
// real commands and real registries. README.md lists the commands that scripts have besides
// testscript's own.
package script

import (
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"imagemirror/internal/notify/notifytest"
	"imagemirror/internal/report"
	"imagemirror/internal/report/reporttest"
	"imagemirror/internal/verify/signtest"
)

var update = flag.Bool("update", false, "write what the commands print into the scripts")

// TestMain runs more scripts at once than there are processors, unless -parallel is given: some
// wait for seconds, for a transfer that stalls or for the grace period of copy after Ctrl-C.
func TestMain(m *testing.M) {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		if err := flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// checkReports compares each report.json that a script left with the published schema.
func checkReports(t *testing.T, schemas map[string]reporttest.Schema, dir string) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		schema, known := schemas[d.Name()]
		if !known {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			return nil
		}
		schema.Validate(t, content)
		return nil
	})
}

func TestScripts(t *testing.T) {
	watchSources(t)
	bin := t.TempDir()
	// Without debugging information they link in half the time.
	args := []string{"build", "-ldflags=-w", "-o", bin + string(filepath.Separator)}
	if withRace {
		args = append(args, "-race")
	}
	build := exec.CommandContext(t.Context(), "go", append(args, "imagemirror/cmd/...")...)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the commands: %v\n%s", err, out)
	}
	schemas := map[string]reporttest.Schema{
		"report.json":   reporttest.Load(t, "../../docs/reference/report.schema.json"),
		report.LockFile: reporttest.Load(t, "../../docs/reference/images-lock.schema.json"),
	}
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		UpdateScripts: *update,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"registry": startRegistry, "proxy": startProxy, "push": push, "sign": sign, "signer": signer, "sign-as": signAs, "cosign": cosign, "same": same, "public": makePublic, "requests": requests, "reset": reset,
			"fault": fault, "pipe": pipe, "status": status, "login": login, "compress": compress, "cut": cut,
			"heal": heal, "digest": digest, "expand": expand, "append": addLine,
			"receiver": startReceiver, "notified": notified, "age": age,
		},
		Setup: func(env *testscript.Env) error {
			env.Defer(func() { checkReports(t, schemas, env.WorkDir) })
			env.Setenv("PATH", bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("DOCKER_CONFIG", filepath.Join(env.WorkDir, "docker"))
			env.Setenv("MIRROR_RETRIES", "2")
			// A program with the race detector would sleep for a second before it exits. A race
			// still makes it exit with 66.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			w := &world{registries: map[string]*remoteRegistry{}, signers: map[string]signtest.Signer{}}
			env.Values[worldKey{}] = w
			env.Defer(w.close)
			return nil
		},
	})
}

// watchSources makes the sources of the commands an input of this test. Otherwise go test would
// take its result from the cache after they changed: it sees the files that the test opens, but
// not those that go build opens.
func watchSources(t *testing.T) {
	t.Helper()
	for _, dir := range []string{"cmd", "internal"} {
		err := filepath.WalkDir(filepath.Join("..", "..", dir), func(_ string, _ fs.DirEntry, err error) error { return err })
		if err != nil {
			t.Fatal(err)
		}
	}
}

type worldKey struct{}

// A world is what one script has started.
type world struct {
	registries map[string]*remoteRegistry
	statuses   string // of the last pipe
	receiver   *notifytest.Receiver
	signers    map[string]signtest.Signer
}

func (w *world) close() {
	if w.receiver != nil {
		w.receiver.Close()
	}
	for _, r := range w.registries {
		r.Proxy.Close()
		r.backend.Close()
	}
}

func worldOf(ts *testscript.TestScript) *world { return ts.Value(worldKey{}).(*world) }

func (w *world) registry(ts *testscript.TestScript, name string) *remoteRegistry {
	r := w.registries[name]
	if r == nil {
		ts.Fatalf("no registry %s was started", name)
	}
	return r
}

func usage(ts *testscript.TestScript, neg, ok bool, form string) {
	if neg || !ok {
		ts.Fatalf("usage: %s", form)
	}
}

func check(ts *testscript.TestScript, err error) {
	if err != nil {
		ts.Fatalf("%v", err)
	}
}
