// Command demo shows the whole of it on one machine: it starts two registries, fills one with images for all of the
// image sets, and mirrors them to the other through the real commands. It checks what it claims, and leaves nothing
// behind.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		if ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "imagemirror-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	began := time.Now()
	say("Building split, copy and report, and two registries (minutes, where nothing is cached).")
	w, err := newWorld(ctx, dir)
	if err != nil {
		return err
	}
	defer w.close()
	say("Built in %s. Filling the source registry.", time.Since(began).Round(time.Second))
	if err := w.fill(ctx); err != nil {
		return err
	}
	for _, scene := range []func(context.Context, *world) error{check, first, again, moved, broken} {
		if err := scene(ctx, w); err != nil {
			return err
		}
	}
	say("All of that is as it should be. Nothing is left behind.")
	return nil
}

func say(format string, args ...any) { fmt.Printf("\n== "+format+"\n", args...) }

func check(ctx context.Context, w *world) error {
	say("What is wrong with the mapping files? (No registry is asked.)")
	return w.run(ctx, 0, []string{"split", "-check"}, w.sets)
}

// first mirrors everything.
func first(ctx context.Context, w *world) error {
	say("The first run: %d images in %d image sets, among them multi-architecture ones.", w.mappings, len(w.sets))
	got, err := w.mirror(ctx, 0, w.sets...)
	if err != nil {
		return err
	}
	w.showRequests()
	if err := got.want(counts{copied: w.mappings}); err != nil {
		return err
	}
	return w.validate(ctx)
}

// again mirrors everything a second time.
func again(ctx context.Context, w *world) error {
	say("The second run: nothing has changed, so that nothing is written.")
	got, err := w.mirror(ctx, 0, w.sets...)
	if err != nil {
		return err
	}
	w.showRequests()
	if n := w.writes(); n > 0 {
		return fmt.Errorf("the second run wrote %d times", n)
	}
	return got.want(counts{current: w.mappings})
}

// moved moves one tag at the source.
func moved(ctx context.Context, w *world) error {
	image, err := w.move(ctx, "kubefed")
	if err != nil {
		return err
	}
	say("A team pushed %s anew. A dry run shows what would move:", image.source)
	if err := w.run(ctx, 0, []string{"split"}, []string{"image-sets/kubefed"}, []string{"report"}); err != nil {
		return err
	}
	say("And the run moves it, and nothing else.")
	got, err := w.mirror(ctx, 0, "image-sets/kubefed")
	if err != nil {
		return err
	}
	if err := got.want(counts{copied: image.destinations, current: got.Summary.Mappings - image.destinations}); err != nil {
		return err
	}
	return w.validate(ctx)
}

// broken makes a mistake in a mapping file.
func broken(ctx context.Context, w *world) error {
	place, err := w.breakLine("kubefed")
	if err != nil {
		return err
	}
	say("Someone wrote a source that does not exist into %s. The others are mirrored; report says whose it is, and fails.", place)
	got, err := w.mirror(ctx, 1, w.sets...)
	if err != nil {
		return err
	}
	failed := 0
	for _, r := range got.Results {
		if r.Status == "failed" {
			failed++
			if at := fmt.Sprintf("%s:%d", r.File, r.Line); at != place || len(r.Owners) == 0 {
				return fmt.Errorf("the failure is said to be at %s, of %v, and it is at %s", at, r.Owners, place)
			}
		}
	}
	if failed == 0 {
		return errors.New("the broken line did not fail")
	}
	return got.want(counts{failed: failed, current: w.mappings - failed})
}
