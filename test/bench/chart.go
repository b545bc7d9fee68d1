package main

import (
	"bytes"
	"fmt"
	"html"
	"io"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// A chart has lines over two logarithmic axes.
type chart struct {
	title, x, y string
	lines       []chartLine
}

type chartLine struct {
	seriesStyle
	points []point // with one x for each setting, rising; all values are above 0
}

type point struct{ x, y float64 }

// A seriesStyle says how a line is drawn.
type seriesStyle struct{ name, label, color, dash string }

// looks returns the looks of all lines. Their colors are told apart in all common forms of color
// blindness.
func looks() []seriesStyle {
	return []seriesStyle{
		{"ours", "imagemirror run", "#0072b2", "none"},
		{"regsync", "regsync", "#d55e00", "none"},
		{"crane", "crane", "#009e73", "none"},
		{"least", "limit: requests and bytes over the link", "#777777", "6 4"},
		{"cores", "limit: CPU of ours and the registries ÷ cores", "#777777", "2 4"},
	}
}

// Sizes of a drawing, in pixels.
const (
	width, height            = 720, 440
	left, right, top, bottom = 58, 20, 104, 52
)

// axis places values between two ends of a drawing.
type axis struct{ low, high, from, to float64 }

func (a axis) at(v float64) float64 {
	return a.from + (a.to-a.from)*math.Log(v/a.low)/math.Log(a.high/a.low)
}

func (c chart) axes() (x, y axis) {
	x = axis{math.Inf(1), 0, left + 14, width - right - 14}
	y = axis{math.Inf(1), 0, height - bottom, top}
	for _, l := range c.lines {
		for _, p := range l.points {
			x.low, x.high = min(x.low, p.x), max(x.high, p.x)
			y.low, y.high = min(y.low, p.y), max(y.high, p.y)
		}
	}
	y.low, y.high = y.low/1.15, y.high*1.15
	return x, y
}

// svg draws the chart.
func (c chart) svg() []byte {
	var b bytes.Buffer
	x, y := c.axes()
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif" font-size="12" fill="#333333">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", width, height)
	svgText(&b, left, 24, "start", c.title, `font-size="15" font-weight="bold"`)
	c.legend(&b)
	for _, v := range ticks(y) {
		at := y.at(v)
		fmt.Fprintf(&b, `<path d="M%d %.1fH%d" stroke="#e2e2e2"/>`+"\n", left, at, width-right)
		svgText(&b, left-8, at+4, "end", short(v), "")
	}
	for _, v := range c.xs() {
		svgText(&b, x.at(v), height-bottom+18, "middle", short(v), "")
	}
	svgText(&b, (left+width-right)/2, height-14, "middle", c.x, "")
	svgText(&b, left, top-10, "start", c.y, "")
	fmt.Fprintf(&b, `<path d="M%d %dV%dH%d" fill="none" stroke="#999999"/>`+"\n", left, top, height-bottom, width-right)
	// The first line goes on top of the others.
	for _, l := range slices.Backward(c.lines) {
		l.draw(&b, x, y)
	}
	fmt.Fprintln(&b, "</svg>")
	return b.Bytes()
}

// legend writes a row for the tools and one for the limits.
func (c chart) legend(b *bytes.Buffer) {
	ends := map[string]float64{}
	for _, l := range c.lines {
		row := "46"
		if l.dash != "none" {
			row = "68"
		}
		at := left + ends[row]
		fmt.Fprintf(b, `<path d="M%.0f %sh24" stroke="%s" stroke-width="2.5" stroke-dasharray="%s"/>`+"\n", at, row, l.color, l.dash)
		fmt.Fprintf(b, `<text x="%.0f" y="%s" dy="4">%s</text>`+"\n", at+30, row, html.EscapeString(l.label))
		ends[row] += 54 + 6.3*float64(utf8.RuneCountInString(l.label))
	}
}

func (l chartLine) draw(b *bytes.Buffer, x, y axis) {
	fmt.Fprintf(b, `<path d="`)
	for i, p := range l.points {
		command := "L"
		if i == 0 {
			command = "M"
		}
		fmt.Fprintf(b, "%s%.1f %.1f", command, x.at(p.x), y.at(p.y))
	}
	fmt.Fprintf(b, `" fill="none" stroke="%s" stroke-width="2.5" stroke-dasharray="%s"/>`+"\n", l.color, l.dash)
	if l.dash != "none" {
		return
	}
	for _, p := range l.points {
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3.5" fill="%s"/>`+"\n", x.at(p.x), y.at(p.y), l.color)
	}
}

func svgText(b *bytes.Buffer, x, y float64, anchor, s, attributes string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="%s" %s>%s</text>`+"\n", x, y, anchor, attributes, html.EscapeString(s))
}

// ticks returns the values 1, 2 and 5 times the powers of ten on an axis.
func ticks(a axis) []float64 {
	var all []float64
	for power := math.Floor(math.Log10(a.low)); power <= math.Log10(a.high); power++ {
		for _, step := range []float64{1, 2, 5} {
			if v := step * math.Pow(10, power); v >= a.low && v <= a.high {
				all = append(all, v)
			}
		}
	}
	return all
}

// xs returns the settings that were measured.
func (c chart) xs() []float64 {
	var all []float64
	for _, p := range c.lines[0].points {
		all = append(all, p.x)
	}
	return all
}

func short(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }

// table prints the figures of the chart.
func (c chart) table(w io.Writer, markdown bool) {
	columns := []tableColumn{{c.x, false}}
	var rows [][]string
	for _, x := range c.xs() {
		rows = append(rows, []string{short(x)})
	}
	for _, l := range c.lines {
		columns = append(columns, tableColumn{l.name, false})
		for i, p := range l.points {
			rows[i] = append(rows[i], fmt.Sprintf("%.2f", p.y))
		}
	}
	printTable(w, columns, rows, markdown)
}
