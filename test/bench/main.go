// Command bench compares imagemirror run, and the same work as a pipe of steps, with other
// tools that mirror images. It starts real registries behind proxies that delay and count
// requests. Each tool copies the same images to an empty registry, and then again with nothing
// to do. bench prints the requests, bytes, time, CPU and memory of each, next to the least that
// it can cost.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// An options holds the command line.
type options struct {
	workloads   []benchWorkload
	tools       []string
	concurrency int
	dir         string
	markdown    bool
	plot        string
	images      int // whose memory is measured
}

func main() {
	if os.Getenv(launching) != "" {
		os.Exit(launch())
	}
	o, err := parseFlags(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(0)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parseFlags(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	names := f.String("workload", "cold,quiet,far,far-http1,far-mixed,far-mixed-http1,far-quiet", "measure these `NAMES`, or all of them with -workload all")
	tools := f.String("tools", strings.Join(toolNames(), ","), "measure these `NAMES`")
	f.IntVar(&o.concurrency, "concurrency", 16, "let each tool have `N` requests in flight to one registry")
	delay := f.Duration("delay", 0, "delay each request by `TIME` (default: the workload's)")
	f.StringVar(&o.dir, "dir", defaultDir(), "keep the registries' content below `DIR`, for the time of the run")
	f.BoolVar(&o.markdown, "markdown", false, "print Markdown")
	f.StringVar(&o.plot, "plot", "", "draw time against round-trip time and concurrency into `DIR`, and measure nothing else")
	f.IntVar(&o.images, "memory", 0, "measure the memory of a plan of `N` images with manifests of 200 MB for each 5000, and nothing else")
	f.Usage = func() { usage(f) }
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q: workloads are named with -workload", f.Arg(0))
	}
	if o.concurrency < 1 {
		return o, fmt.Errorf("-concurrency is %d: give a number from 1", o.concurrency)
	}
	var err error
	if o.workloads, err = choose(*names); err != nil {
		return o, err
	}
	for i := range o.workloads {
		if *delay > 0 {
			o.workloads[i].delay = *delay
		}
	}
	o.tools = strings.Split(*tools, ",")
	for _, name := range o.tools {
		if !slices.Contains(toolNames(), name) {
			return o, fmt.Errorf("-tools: there is no %q, only %s", name, strings.Join(toolNames(), ", "))
		}
	}
	return o, nil
}

func usage(f *flag.FlagSet) {
	fmt.Fprintln(f.Output(), "usage: bench [flags]")
	f.PrintDefaults()
	fmt.Fprintln(f.Output(), "\nworkloads:")
	for _, w := range workloads() {
		fmt.Fprintf(f.Output(), "  %-15s %s\n", w.name, w.about())
	}
}

func run(o options) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b, err := newBench(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if o.plot != "" {
		return b.plot(ctx, o.plot)
	}
	if o.images > 0 {
		return b.memory(ctx, o.images)
	}
	return b.compareAll(ctx)
}

func (b *bench) compareAll(ctx context.Context) error {
	var t table
	for _, w := range b.workloads {
		c, err := b.compare(ctx, w)
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		t.add(c)
	}
	t.print(os.Stdout, b.markdown)
	return t.failed()
}
