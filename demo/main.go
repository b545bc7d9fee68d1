// Command demo shows imagemirror on one machine. It starts two registries, fills one with
// images for all of the image sets, and mirrors them to the other with the real commands. It
// checks what it claims, and leaves only the pages in bin/demo-status behind.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// A demo is a call of the command.
type demo struct {
	keep bool // serve the status pages until Ctrl-C
}

func main() {
	var d demo
	flag.BoolVar(&d.keep, "keep", false, "serve the status pages until Ctrl-C")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := d.run(ctx); err != nil {
		if ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func (d *demo) run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "imagemirror-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	began := time.Now()
	say("Building imagemirror, two registries and cosign (takes minutes the first time).")
	w, err := newWorld(ctx, dir)
	if err != nil {
		return err
	}
	defer w.close()
	say("Built in %s. Filling the source registry.", time.Since(began).Round(time.Second))
	if err := w.fill(ctx); err != nil {
		return err
	}
	for _, scene := range []func(context.Context, *world) error{check, showUnverified, first, showVerified, again, moved, rolledBack, showBroken, showStatus} {
		if err := scene(ctx, w); err != nil {
			return err
		}
	}
	return w.finish(ctx, d.keep)
}

func say(format string, args ...any) { fmt.Printf("\n== "+format+"\n", args...) }

func check(ctx context.Context, w *world) error {
	say("Is anything wrong with the mapping files? (No registry is asked.)")
	return w.run(ctx, 0, []string{"imagemirror", "check"}, w.sets)
}

// first mirrors everything.
func first(ctx context.Context, w *world) error {
	say("The first run: %d images in %d image sets, some of them for several architectures.", w.mappings, len(w.sets))
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
	say("The second run: nothing has changed, so nothing is written.")
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

// movedSet is the set in which a team pushes an image again.
const movedSet = "toolchain"

// why its tags are rolled back.
const why = "it crashes on arm64"

// moved moves one tag at the source, and copies it with the steps that a cluster runs.
func moved(ctx context.Context, w *world) error {
	image, err := w.move(ctx, movedSet)
	if err != nil {
		return err
	}
	say("A team pushed %s again. A dry run shows what would be copied:", image.source)
	if err := w.run(ctx, 0, []string{"imagemirror", "run", "-dry-run"}, []string{"image-sets/" + movedSet}); err != nil {
		return err
	}
	say("This time it is copied by the three steps that a cluster runs, as a pipe. Nothing else is copied.")
	got, err := w.pipe(ctx, 0, "image-sets/"+movedSet)
	if err != nil {
		return err
	}
	if err := got.want(counts{copied: image.destinations, current: got.Summary.Mappings - image.destinations}); err != nil {
		return err
	}
	w.rolled = image
	return w.validate(ctx)
}

// rolledBack moves the tags of that image back, and shows that they are held.
func rolledBack(ctx context.Context, w *world) error {
	say("The new image is no good. A rollback shows what it would do, then moves the tags back, and holds them.")
	rollback := []string{"imagemirror", "rollback", "-record", "record"}
	paths := []string{"image-sets/" + movedSet}
	for _, to := range w.rolled.to {
		paths = append(paths, "quay.io/"+to)
	}
	if err := w.run(ctx, 0, rollback, paths); err != nil {
		return err
	}
	apply := append(rollback, "-apply", "-why", why)
	if err := w.run(ctx, 0, apply, paths); err != nil {
		return err
	}
	say("The next run does not undo it.")
	got, err := w.mirror(ctx, 0, "image-sets/"+movedSet)
	if err != nil {
		return err
	}
	held := w.rolled.destinations
	return got.want(counts{current: got.Summary.Mappings - held, held: held})
}

// showBroken makes a mistake in a mapping file.
func showBroken(ctx context.Context, w *world) error {
	place, err := w.breakLine("kubefed")
	if err != nil {
		return err
	}
	say("Someone wrote a source that does not exist into %s.\n"+
		"   The other images are mirrored. The report names the line and its owners, and the run fails.", place)
	got, err := w.mirror(ctx, 1, w.sets...)
	if err != nil {
		return err
	}
	failed := 0
	for _, r := range got.Results {
		if r.Status == "failed" {
			failed++
			if at := fmt.Sprintf("%s:%d", r.File, r.Line); at != place || len(r.Owners) == 0 {
				return fmt.Errorf("the report has the failure at %s, owned by %v; want it at %s, with owners", at, r.Owners, place)
			}
		}
	}
	if failed == 0 {
		return errors.New("the broken line did not fail")
	}
	held := w.rolled.destinations
	return got.want(counts{failed: failed, held: held, current: w.mappings - failed - held})
}
