package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"imagemirror/internal/registrytest"
)

// TestMain lets the test binary be a launcher.
func TestMain(m *testing.M) {
	if os.Getenv(launching) != "" {
		os.Exit(launch())
	}
	os.Exit(m.Run())
}

// A small workload goes through the real commands. A process learns from one refused request
// to each registry where its tokens are; aside from that run and the pipe reach the bound. In
// the pipe, copy has nothing to ask the second time.
func TestOursReachesTheBound(t *testing.T) {
	for tool, learning := range map[string]map[string]int{"ours": {"cold": 3, "again": 3}, "pipe": {"cold": 2 * 3, "again": 3}} {
		t.Run(tool, func(t *testing.T) { reachesTheBound(t, tool, learning) })
	}
}

func reachesTheBound(t *testing.T, tool string, learning map[string]int) {
	w := benchWorkload{
		name: "tiny", copies: []int{2, 1},
		images: registrytest.Workload{Images: 4, PerRepo: 2, IndexEvery: 2, Bases: 1, BaseSize: 2000, TopSize: 100},
	}
	b, err := newBench(t.Context(), options{workloads: []benchWorkload{w}, tools: []string{tool}, concurrency: 4, dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	meetsTheBound(t, b, w, learning)
	w.link = &farLink{NetworkLink: registrytest.NetworkLink{RoundTrip: time.Millisecond, Rate: 100 * megabyte}}
	meetsTheBound(t, b, w, learning)
}

// meetsTheBound measures a workload. For what learning has, see TestOursReachesTheBound.
func meetsTheBound(t *testing.T, b *bench, w benchWorkload, learning map[string]int) {
	t.Helper()
	c, err := b.compare(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range c.results {
		least := c.bounds[r.phase]
		if got, want := r.requests(), total(least.source)+total(least.destination)+learning[r.phase]; got != want || r.err != nil {
			t.Errorf("%s: %d requests, want %d: %s (%v)", r.phase, got, want, requestKinds(r.source, r.destination), r.err)
		}
		// The refusals are answered with some bytes, too.
		if r.down < least.down || r.down > least.down+1000 || r.up != least.up {
			t.Errorf("%s: %d bytes down and %d up, want %d and %d", r.phase, r.down, r.up, least.down, least.up)
		}
		if r.Wall <= 0 || r.CPU <= 0 || r.Memory < 1<<20 || r.others <= 0 {
			t.Errorf("%s: not measured: %+v", r.phase, r)
		}
	}
	if len(c.results) != 2 {
		t.Errorf("%d results, want one for each phase", len(c.results))
	}
}

func TestLeastTime(t *testing.T) {
	link := &farLink{NetworkLink: registrytest.NetworkLink{RoundTrip: 50 * time.Millisecond, Rate: 10 * megabyte}}
	for _, c := range []struct {
		name     string
		workload benchWorkload
		cost     leastCost
		want     time.Duration
	}{
		{"requests", benchWorkload{delay: 20 * time.Millisecond}, leastCost{busiest: 160}, 200 * time.Millisecond},
		{"requests over a link", benchWorkload{link: link}, leastCost{busiest: 160}, 500 * time.Millisecond},
		{"bytes over all connections", benchWorkload{link: link}, leastCost{busiest: 160, source: map[string]int{"GET blob": 90}, up: 480 * megabyte}, 3 * time.Second},
		{"bytes of few blobs", benchWorkload{link: link}, leastCost{busiest: 160, source: map[string]int{"GET blob": 2}, down: 40 * megabyte}, 2 * time.Second},
	} {
		got := comparison{benchWorkload: c.workload, concurrency: 16, bounds: map[string]leastCost{"cold": c.cost}}.ideal("cold")
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestBoundOfSeveralCopies(t *testing.T) {
	one := map[string]int{"HEAD manifest": 5, "POST upload": 10, "PUT upload": 10, "POST mount": 3, "PUT manifest": 6}
	want := map[string]int{"HEAD manifest": 15, "POST upload": 10, "PUT upload": 10, "POST mount": 29, "PUT manifest": 18}
	if diff := cmp.Diff(want, times(one, 3)); diff != "" {
		t.Errorf("three copies (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(one, times(one, 1)); diff != "" {
		t.Errorf("one copy (-want +got)\n%s", diff)
	}
}

func TestLauncher(t *testing.T) {
	shell, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Skip("there is no /bin/sh")
	}
	for _, test := range []struct {
		name            string
		pipelines       [][][]string
		output, failure string
	}{
		{"pipe", [][][]string{{{shell, "-c", "echo one; echo two >&2"}, {shell, "-c", "read word; echo $word again"}}}, "two\none again\n", ""},
		{"failing", [][][]string{{{shell, "-c", "exit 3"}, {shell, "-c", "echo all the same"}}}, "all the same\n", "exit status 3"},
		{"missing", [][][]string{{{"/no/such/program"}, {shell, "-c", "echo never"}}}, "", "no such file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "output")
			c, err := launchSpec{Pipelines: test.pipelines, AtOnce: 1, Output: out}.start(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(test.output) {
				t.Errorf("the commands said %q, want %q", got, test.output)
			}
			if !strings.Contains(c.Error, test.failure) || (c.Error == "") != (test.failure == "") {
				t.Errorf("error %q, want %q", c.Error, test.failure)
			}
		})
	}
}

// A program's memory does not include that of the process that starts it.
func TestLauncherMeasuresSmallPrograms(t *testing.T) {
	large := make([]byte, 200<<20)
	for i := range large {
		large[i] = 1
	}
	c, err := launchSpec{Pipelines: [][][]string{{{"/bin/sh", "-c", ":"}}}, AtOnce: 1, Output: filepath.Join(t.TempDir(), "output")}.start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if c.Memory == 0 || c.Memory > 100<<20 {
		t.Errorf("a shell took %d bytes, beside %d of this program", c.Memory, len(large))
	}
}

func TestTable(t *testing.T) {
	c := comparison{
		benchWorkload: benchWorkload{name: "small", copies: []int{1}, quiet: true, delay: 20 * time.Millisecond},
		concurrency:   10,
		bounds: map[string]leastCost{"again": {
			source: map[string]int{"HEAD manifest": 50}, destination: map[string]int{"HEAD manifest": 50}, busiest: 50,
		}},
	}
	measured := func(tool string, requests int, wall time.Duration) result {
		return result{
			tool: tool, phase: "again", source: map[string]int{"HEAD manifest": requests - 50, "token": 1}, destination: map[string]int{"HEAD manifest": 50},
			cost: cost{Wall: wall, CPU: time.Second, Memory: 30 << 20},
		}
	}
	failed := measured("crane", 200, time.Second)
	failed.err = errors.New("it fell over")
	c.results = []result{measured("ours", 101, 500*time.Millisecond), measured("regsync", 150, time.Second), failed}
	var all table
	all.add(c)
	for _, want := range [][]string{
		{"small", "again", "least", "100", "", "0.0", "0.0", "", "0.10", "", "", "", "", "", "", "50 head → 50 head"},
		{"small", "again", "ours", "101", "1.01", "0.0", "0.0", "", "0.50", "1.00", "1.00", "30", "0.00"},
		{"small", "again", "regsync", "150", "1.50", "0.0", "0.0", "", "1.00", "2.00", "1.00", "30", "0.00"},
		{"small", "again", "crane (failed)", "200"},
	} {
		found := false
		for _, row := range c.rows() {
			found = found || cmp.Equal(row[:len(want)], want)
		}
		if !found {
			t.Errorf("no row begins with %q in %q", want, c.rows())
		}
	}
	var text, markdown bytes.Buffer
	all.print(&text, false)
	all.print(&markdown, true)
	if !strings.Contains(text.String(), "50 head, 1 token → 50 head") {
		t.Errorf("the kinds are not in\n%s", text.String())
	}
	if got, want := strings.Count(markdown.String(), "\n|"), 6; got != want {
		t.Errorf("%d lines of a table in Markdown, want %d:\n%s", got, want, markdown.String())
	}
	if err := all.failed(); err == nil || !strings.Contains(err.Error(), "small: crane again: it fell over") {
		t.Errorf("failed: %v", err)
	}
}

// The drawing is XML, and nothing lies outside of it.
func TestChart(t *testing.T) {
	c := chart{title: "Seconds & more", x: "round trip in ms", y: "seconds"}
	for i, l := range looks() {
		c.lines = append(c.lines, chartLine{l, []point{{1, 0.2 + float64(i)}, {100, 40}}})
	}
	drawing := xml.NewDecoder(bytes.NewReader(c.svg()))
	texts := 0
	for {
		token, err := drawing.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, c.svg())
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		if start.Name.Local == "text" {
			texts++
		}
		for _, a := range start.Attr {
			limits := map[string]float64{"x": width, "cx": width, "y": height, "cy": height}
			if v, err := strconv.ParseFloat(a.Value, 64); limits[a.Name.Local] > 0 && (err != nil || v < 0 || v > limits[a.Name.Local]) {
				t.Errorf("%s of a %s is %q", a.Name.Local, start.Name.Local, a.Value)
			}
		}
	}
	if texts < 10 {
		t.Errorf("only %d texts", texts)
	}
}

func TestCommandLine(t *testing.T) {
	for _, test := range []struct {
		args    []string
		failure string
	}{
		{[]string{"-workload", "all"}, ""},
		{[]string{"-workload", "small,fan", "-tools", "ours"}, ""},
		{[]string{"-workload", "huge"}, `there is no "huge"`},
		{[]string{"-tools", "oc"}, `there is no "oc"`},
		{[]string{"-concurrency", "0"}, "give a number from 1"},
		{[]string{"cold"}, "unexpected argument"},
	} {
		_, err := parseFlags(test.args)
		if (err == nil) != (test.failure == "") || err != nil && !strings.Contains(err.Error(), test.failure) {
			t.Errorf("%q: %v, want %q", test.args, err, test.failure)
		}
	}
}
