package command

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// settings has a field of each type that commands read from the environment.
type settings struct {
	Concurrency int           `default:"16" desc:"requests in flight to one registry"`
	Conf        string        `envconfig:"REGISTRIES_CONF" desc:"containers-registries.conf(5) file"`
	Foreign     bool          `desc:"copy foreign layers too"`
	Patience    time.Duration `default:"10s" desc:"time for what is in flight when the run is interrupted"`
	Share       float64       `default:"0.5" desc:"part of the link to use"`
}

func example(env any) (*Command, *string, *int) {
	c := &Command{
		Name:     "move",
		Synopsis: "[-out DIR] [-shards N] [THING...]",
		About:    "Moves things from here to there.\nNothing else is touched.",
		Env:      env,
	}
	out := c.Flags.String("out", "", "write into `DIR`")
	shards := 8
	c.Flags.Var((*Whole)(&shards), "shards", "cut the work into at most `N` parts")
	c.Flags.Bool("check", false, "move nothing")
	return c, out, &shards
}

func TestHelp(t *testing.T) {
	want := `Usage: move [-out DIR] [-shards N] [THING...]

Moves things from here to there.
Nothing else is touched.

Flags:
  -check     move nothing
  -out DIR   write into DIR
  -shards N  cut the work into at most N parts (default 8)
  -version   print the version and exit

Environment:
  MIRROR_CONCURRENCY      requests in flight to one registry (default 16)
  MIRROR_REGISTRIES_CONF  containers-registries.conf(5) file
  MIRROR_FOREIGN          copy foreign layers too
  MIRROR_PATIENCE         time for what is in flight when the run is interrupted (default 10s)
  MIRROR_SHARE            part of the link to use (default 0.5)
  MIRROR_LOG_FORMAT       format of the log on standard error: text or json (default text)
`
	c, _, _ := example(&settings{})
	c.addVersion()
	var got strings.Builder
	if err := c.help(&got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("help (-want +got):\n%s", diff)
	}
}

func TestHelpWithoutFlagsOrEnvironment(t *testing.T) {
	c := &Command{Name: "rest", About: "Does nothing."}
	c.addVersion()
	var got strings.Builder
	if err := c.help(&got); err != nil {
		t.Fatal(err)
	}
	want := `Usage: rest

Does nothing.

Flags:
  -version  print the version and exit

Environment:
  MIRROR_LOG_FORMAT  format of the log on standard error: text or json (default text)
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("help (-want +got):\n%s", diff)
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name   string
		args   []string
		out    string
		shards int
		rest   []string
	}{
		{"nothing", nil, "", 8, nil},
		{"flags", []string{"-out", "dir", "-shards=3"}, "dir", 3, nil},
		{"arguments", []string{"-out", "dir", "a", "b"}, "dir", 8, []string{"a", "b"}},
		{"standard input", []string{"a", "-"}, "", 8, []string{"a", "-"}},
		{"a file like a flag", []string{"--", "a", "-out"}, "", 8, []string{"a", "-out"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd, out, shards := example(nil)
			if err := cmd.parse(c.args); err != nil {
				t.Fatal(err)
			}
			if *out != c.out || *shards != c.shards {
				t.Errorf("-out %q -shards %d, want %q and %d", *out, *shards, c.out, c.shards)
			}
			if diff := cmp.Diff(c.rest, cmd.Flags.Args(), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFlagsMayBeAnywhere(t *testing.T) {
	for _, c := range []struct {
		name   string
		args   []string
		out    string
		shards int
		rest   []string
	}{
		{"nothing", nil, "", 8, nil},
		{"before", []string{"-out", "dir", "a", "b"}, "dir", 8, []string{"a", "b"}},
		{"behind", []string{"a", "b", "-shards", "3", "-out=dir"}, "dir", 3, []string{"a", "b"}},
		{"between", []string{"a", "-out", "dir", "b"}, "dir", 8, []string{"a", "b"}},
		{"arguments like flags", []string{"a", "-shards", "3", "--", "-out", "--", "b"}, "", 3, []string{"a", "-out", "--", "b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd, out, shards := example(nil)
			cmd.Anywhere = true
			if err := cmd.parse(c.args); err != nil {
				t.Fatal(err)
			}
			if *out != c.out || *shards != c.shards {
				t.Errorf("-out %q -shards %d, want %q and %d", *out, *shards, c.out, c.shards)
			}
			if diff := cmp.Diff(c.rest, cmd.Flags.Args(), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
		})
	}
	cmd, _, _ := example(nil)
	cmd.Anywhere = true
	if err := cmd.parse([]string{"a", "-fast"}); ExitStatus(err) != 2 {
		t.Errorf("an unknown flag behind an argument: %v", err)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		env  [2]string
		want string
	}{
		{"unknown flag", []string{"-fast"}, [2]string{}, "move: flag provided but not defined: -fast: see move -h\n"},
		{"no value", []string{"-out"}, [2]string{}, "move: flag needs an argument: -out: see move -h\n"},
		{"no number", []string{"-shards", "many"}, [2]string{}, "move: invalid value \"many\" for flag -shards: not a plain decimal number: give a whole number, such as 16: see move -h\n"},
		{"flag after an argument", []string{"a", "-out", "dir"}, [2]string{}, "move: flag -out must come before \"a\"\n"},
		{"variable is no number", nil, [2]string{"MIRROR_CONCURRENCY", "lots"}, "move: MIRROR_CONCURRENCY is \"lots\": not a plain decimal number: give a whole number, such as 16\n"},
		{"variable is too large", nil, [2]string{"MIRROR_CONCURRENCY", "99999999999999999999"}, "move: MIRROR_CONCURRENCY is \"99999999999999999999\": value out of range: give a smaller whole number\n"},
		{"variable is no share", nil, [2]string{"MIRROR_SHARE", "half"}, "move: MIRROR_SHARE is \"half\": not a plain decimal number: give a number, such as 0.5\n"},
		{"variable is no boolean", nil, [2]string{"MIRROR_FOREIGN", "maybe"}, "move: MIRROR_FOREIGN is \"maybe\": invalid syntax: give true or false\n"},
		{"variable is no duration", nil, [2]string{"MIRROR_PATIENCE", "10"}, "move: MIRROR_PATIENCE is \"10\": time: missing unit in duration \"10\": give a duration, such as 90s\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.env[0] != "" {
				t.Setenv(c.env[0], c.env[1])
			}
			cmd, _, _ := example(&settings{})
			err := cmd.parse(c.args)
			if err == nil {
				t.Fatal("Parse accepts it")
			}
			var got strings.Builder
			cmd.stderr = &got
			cmd.printError(err)
			if got.String() != c.want {
				t.Errorf("got  %swant %s", got.String(), c.want)
			}
			if status := ExitStatus(err); status != 2 {
				t.Errorf("exit status %d, want 2", status)
			}
		})
	}
}

func TestExitStatus(t *testing.T) {
	broken := errors.New("the disk is full")
	for _, c := range []struct {
		name string
		err  error
		want int
	}{
		{"all well", nil, 0},
		{"not finished", broken, 1},
		{"refused", Refuse(broken), 2},
		{"refused, wrapped", fmt.Errorf("starting: %w", Refuse(broken)), 2},
		{"refused among others", errors.Join(broken, Refuse(broken)), 2},
		{"nothing refused", Refuse(nil), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := ExitStatus(c.err); got != c.want {
				t.Errorf("exit status %d, want %d", got, c.want)
			}
		})
	}
	if !errors.Is(Refuse(broken), broken) {
		t.Error("a refusal hides the error that it wraps")
	}
}

func TestErrorsAreOneLineEach(t *testing.T) {
	cmd, _, _ := example(nil)
	var got strings.Builder
	cmd.stderr = &got
	cmd.printError(errors.Join(errors.New("a:1: no tag"), errors.New("b:2: \x1b[31mred\r")))
	want := "move: a:1: no tag\nmove: b:2: \\x1b[31mred\\r\n"
	if got.String() != want {
		t.Errorf("got  %q\nwant %q", got.String(), want)
	}
	got.Reset()
	cmd.WarnAbout(nil)
	cmd.WarnAbout(fmt.Errorf("not updated: %w", errors.Join(errors.New("c"), errors.New("d: \x1b"))))
	if want := "move: warning: not updated: c\nmove: warning: d: \\x1b\n"; got.String() != want {
		t.Errorf("got  %q\nwant %q", got.String(), want)
	}
}
