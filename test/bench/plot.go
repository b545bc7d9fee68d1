package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"
)

// plot draws how long cold copies take: by the round-trip time and by the requests in flight,
// and over links whose connections have a rate, by the connections.
func (b *bench) plot(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	near := benchWorkload{name: "plot", images: sharing(30), copies: []int{1}}
	round := sweep{file: "rtt.svg", x: "round trip in ms"}
	for _, ms := range []int{1, 5, 20, 50, 100} {
		round.settings = append(round.settings, plotSetting{x: ms, delay: time.Duration(ms) * time.Millisecond, concurrency: 16})
	}
	round.title = fmt.Sprintf("Cold copy of %d images, 16 requests in flight", near.images.Images)
	wide := sweep{file: "concurrency.svg", x: "requests in flight to a registry"}
	for n := 1; n <= 64; n *= 2 {
		wide.settings = append(wide.settings, plotSetting{x: n, delay: 20 * time.Millisecond, concurrency: n})
	}
	wide.title = fmt.Sprintf("Cold copy of %d images, 20 ms a request", near.images.Images)
	if err := b.draw(ctx, dir, near, round, wide); err != nil {
		return err
	}
	long := benchWorkload{name: "links", images: single(16, 4*megabyte), copies: []int{1}, link: far(10, false)}
	links := sweep{file: "links.svg", x: "requests in flight to a registry"}
	for n := 1; n <= 16; n *= 2 {
		links.settings = append(links.settings, plotSetting{x: n, concurrency: n})
	}
	links.title = fmt.Sprintf("%d images of %s, %s", long.images.Images, size(long.images.TopSize), long.distance())
	return b.draw(ctx, dir, long, links)
}

// draw measures a workload under the settings of sweeps, and draws each.
func (b *bench) draw(ctx context.Context, dir string, w benchWorkload, sweeps ...sweep) (err error) {
	b.say("pushing %d images to the source", w.images.Images)
	from, err := b.fill(ctx, w)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.close()) }()
	if err := b.warm(ctx, w, from); err != nil {
		return err
	}
	for _, s := range sweeps {
		c, err := b.sweep(ctx, w, from, s)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, s.file), c.svg(), 0o644); err != nil {
			return err
		}
		fmt.Printf("%s\n\n", s.title)
		c.table(os.Stdout, b.markdown)
		fmt.Println()
	}
	return nil
}

// A sweep is one plot: a workload under several settings.
type sweep struct {
	file, title, x string
	settings       []plotSetting
}

type plotSetting struct {
	x           int
	delay       time.Duration
	concurrency int
}

// sweep measures the tools that have a line under each of the settings.
func (b *bench) sweep(ctx context.Context, w benchWorkload, from *sourceRegistry, s sweep) (chart, error) {
	c := chart{title: s.title, x: s.x, y: "seconds"}
	series := map[string][]point{}
	for _, at := range s.settings {
		w.delay = at.delay
		w.name = fmt.Sprintf("%s, %d in flight", w.distance(), at.concurrency)
		there := *b
		there.concurrency = at.concurrency
		ideal := comparison{benchWorkload: w, concurrency: at.concurrency, bounds: map[string]leastCost{"cold": w.bound(from.content, "cold")}}.ideal("cold")
		series["least"] = append(series["least"], point{float64(at.x), ideal.Seconds()})
		for _, t := range allTools() {
			if !b.uses(t, w) || !slices.ContainsFunc(looks(), func(l seriesStyle) bool { return l.name == t.name }) {
				continue
			}
			results, err := there.turn(ctx, w, from, t, "cold")
			if err != nil {
				return c, err
			}
			if err := results[0].err; err != nil {
				return c, fmt.Errorf("%s: %s: %w", w.name, t.name, err)
			}
			series[t.name] = append(series[t.name], point{float64(at.x), results[0].Wall.Seconds()})
			if t.name == "ours" {
				spent := results[0].CPU + results[0].others
				series["cores"] = append(series["cores"], point{float64(at.x), spent.Seconds() / float64(runtime.NumCPU())})
			}
		}
	}
	for _, l := range looks() {
		if points := series[l.name]; points != nil {
			c.lines = append(c.lines, chartLine{l, points})
		}
	}
	return c, nil
}
