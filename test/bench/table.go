package main

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"
	"unicode/utf8"
)

// A table is what is printed.
type table struct {
	comparisons []comparison
}

func (t *table) add(c comparison) { t.comparisons = append(t.comparisons, c) }

// failed returns what went wrong with any tool.
func (t *table) failed() error {
	var errs []error
	for _, c := range t.comparisons {
		for _, r := range c.results {
			if r.err != nil {
				errs = append(errs, fmt.Errorf("%s: %s %s: %w", c.name, r.tool, r.phase, r.err))
			}
		}
	}
	return errors.Join(errs...)
}

// A tableColumn is a column of the table. Numbers are set to the right.
type tableColumn struct {
	title string
	text  bool
}

func tableColumns() []tableColumn {
	return []tableColumn{
		{"workload", true}, {"phase", true}, {"tool", true}, {"requests", false}, {"/ bound", false},
		{"MB down", false}, {"MB up", false}, {"/ bound", false}, {"s", false}, {"/ ours", false},
		{"CPU s", false}, {"peak MB", false}, {"others' CPU s", false}, {"busy", false}, {"elsewhere", false}, {"requests by kind", true},
	}
}

func (c comparison) rows() [][]string {
	var rows [][]string
	for _, phase := range c.phases() {
		rows = append(rows, c.boundRow(phase))
		for _, r := range c.results {
			if r.phase == phase {
				rows = append(rows, c.row(r))
			}
		}
	}
	return rows
}

// boundRow gives the time that the requests to the busier registry take if all slots are always in
// use.
func (c comparison) boundRow(phase string) []string {
	b := c.bounds[phase]
	return []string{
		c.name, phase, "least", fmt.Sprint(total(b.source) + total(b.destination)), "", megabytes(b.down), megabytes(b.up), "",
		seconds(c.ideal(phase)), "", "", "", "", "", "", requestKinds(b.source, b.destination),
	}
}

// ideal returns the time of the requests to the busier registry, or over a link with a rate,
// that of the bytes, if it is longer: each connection carries one blob.
func (c comparison) ideal(phase string) time.Duration {
	b := c.bounds[phase]
	if c.link == nil {
		return c.delay * time.Duration(b.busiest) / time.Duration(c.concurrency)
	}
	requests := c.link.RoundTrip * time.Duration(b.busiest) / time.Duration(c.concurrency)
	connections := int64(max(1, min(c.concurrency, b.source["GET blob"])))
	return max(requests, time.Duration(max(b.down, b.up)/connections)*time.Second/time.Duration(c.link.Rate))
}

func (c comparison) row(r result) []string {
	b := c.bounds[r.phase]
	tool := r.tool
	if r.err != nil {
		tool += " (failed)"
	}
	return []string{
		c.name, r.phase, tool, fmt.Sprint(r.requests()), ratio(float64(r.requests()), float64(total(b.source)+total(b.destination))),
		megabytes(r.down), megabytes(r.up), ratio(float64(r.down+r.up), float64(b.down+b.up)),
		seconds(r.Wall), ratio(float64(r.Wall), float64(c.ours(r.phase))), seconds(r.CPU), fmt.Sprintf("%.0f", float64(r.Memory)/(1<<20)),
		seconds(r.others), cpuShare(r.CPU+r.others, r.Wall), cpuShare(r.elsewhere, r.Wall), requestKinds(r.source, r.destination),
	}
}

// ours returns how long ours took for a phase, or 0 if it was not measured.
func (c comparison) ours(phase string) time.Duration {
	for _, r := range c.results {
		if r.tool == "ours" && r.phase == phase {
			return r.Wall
		}
	}
	return 0
}

// cpuShare returns CPU time as a part of all that the machine had.
func cpuShare(cpu, wall time.Duration) string {
	return fmt.Sprintf("%.0f%%", 100*float64(cpu)/float64(wall)/float64(runtime.NumCPU()))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()) }

func megabytes(n int64) string { return fmt.Sprintf("%.1f", float64(n)/megabyte) }

func ratio(a, b float64) string {
	if b == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", a/b)
}

// requestKinds returns requests in short: those to the source, and those to the destinations.
func requestKinds(source, destination map[string]int) string {
	return shortly(source) + " → " + shortly(destination)
}

func shortly(requests map[string]int) string {
	names := [][2]string{
		{"HEAD manifest", "head"}, {"GET manifest", "get"}, {"GET blob", "blob"}, {"HEAD blob", "check"}, {"POST upload", "post"},
		{"POST mount", "mount"}, {"PATCH upload", "patch"}, {"PUT upload", "put"}, {"PUT manifest", "push"}, {"ping", "ping"}, {"token", "token"},
	}
	var parts []string
	others := total(requests)
	for _, n := range names {
		if k := requests[n[0]]; k > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", k, n[1]))
			others -= k
		}
	}
	if others > 0 {
		parts = append(parts, fmt.Sprintf("%d other", others))
	}
	return strings.Join(parts, ", ")
}

// legend explains the words of the table.
func legend() []string {
	return []string{
		"least: what the protocol allows; its seconds are (requests to the busier registry) × (delay of a request) ÷ (requests in flight); " +
			"over a link with a rate, or bytes ÷ (connections × rate), if that is more",
		"requests: without those for tokens; by kind, source → destinations: head, get and push are HEAD, GET and PUT of a manifest; " +
			"check and blob HEAD and GET of a blob; post, patch and put uploads; mount a POST that asks for a mount, and opens an upload where there is none",
		"CPU s: of all the tool's processes; peak MB: resident memory of its largest",
		"others' CPU s: of the registries and the proxies, on the same cores; busy: how much of all cores' time that and the tool's was together: " +
			"near 100% the machine was the limit, and not the tool",
		"elsewhere: what other programs took of the cores meanwhile; where that is much, the seconds say little",
	}
}

func (t *table) print(w io.Writer, markdown bool) {
	bullet := ""
	if markdown {
		bullet = "- "
	}
	var rows [][]string
	for _, c := range t.comparisons {
		fmt.Fprintf(w, "%s%s: %s\n", bullet, c.name, c.about())
		rows = append(rows, c.rows()...)
	}
	fmt.Fprintln(w)
	printTable(w, tableColumns(), rows, markdown)
	fmt.Fprintln(w)
	for _, line := range legend() {
		fmt.Fprintf(w, "%s%s\n", bullet, line)
	}
}

// printTable sets a table in columns of equal width.
func printTable(w io.Writer, columns []tableColumn, rows [][]string, markdown bool) {
	titles := make([]string, len(columns))
	rule := make([]string, len(columns))
	for i, c := range columns {
		titles[i], rule[i] = c.title, "--:"
		if c.text {
			rule[i] = "---"
		}
	}
	lines := [][]string{titles}
	if markdown {
		lines = append(lines, rule)
	}
	lines = append(lines, rows...)
	widths := make([]int, len(columns))
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, line := range lines {
		cells := make([]string, len(line))
		for i, cell := range line {
			cells[i] = pad(cell, widths[i], columns[i].text)
		}
		if markdown {
			fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | "))
		} else {
			fmt.Fprintln(w, strings.TrimRight(strings.Join(cells, "  "), " "))
		}
	}
}

func pad(s string, width int, left bool) string {
	space := strings.Repeat(" ", width-utf8.RuneCountInString(s))
	if left {
		return s + space
	}
	return space + s
}
