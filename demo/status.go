package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// pages is where the status pages stay. git ignores what is in bin.
const pages = "bin/demo-status"

// showStatus shows the status of the sets: as a table, and as pages.
func showStatus(ctx context.Context, w *world) error {
	say("Anyone can look at it later: what fails, since when, and whose it is.")
	if err := w.run(ctx, 0, []string{"imagemirror", "status", "-record", "record"}, nil); err != nil {
		return err
	}
	say("The same as pages, in files for a bucket or for GitHub Pages:")
	return w.run(ctx, 0, []string{"imagemirror", "status", "-record", "record", "-out", "status"}, nil)
}

// copyPages copies the pages to where they stay, and returns the address of the first.
func (w *world) copyPages() (address string, err error) {
	from := os.DirFS(filepath.Join(w.dir, "status"))
	to, err := filepath.Abs(pages)
	if err != nil {
		return "", err
	}
	if err := errors.Join(os.RemoveAll(to), os.CopyFS(to, from)); err != nil {
		return "", err
	}
	first := filepath.Join(to, "index.html")
	content, err := os.ReadFile(first)
	if err != nil || !strings.Contains(string(content), "kubefed") {
		return "", fmt.Errorf("%s does not show kubefed: %w", first, err)
	}
	set := filepath.Join(to, "sets", movedSet+".html")
	content, err = os.ReadFile(set)
	if err != nil || !strings.Contains(string(content), why) {
		return "", fmt.Errorf("%s does not show the hold: %w", set, err)
	}
	return "file://" + first, nil
}

// finish serves the pages until they have been seen, and with keep until ctx ends. It prints their
// addresses.
func (w *world) finish(ctx context.Context, keep bool) error {
	copied, err := w.copyPages()
	if err != nil {
		return err
	}
	served, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	args := []string{"imagemirror", "status", "-record", "record", "-listen", served}
	fmt.Printf("$ %s\n", strings.Join(args, " "))
	serving, stop := context.WithCancel(ctx)
	defer stop()
	server := w.command(serving, args, nil)
	server.Stderr = nil
	server.Cancel = func() error { return server.Process.Signal(os.Interrupt) }
	if err := server.Start(); err != nil {
		return err
	}
	if err = seen(ctx, "http://"+served+"/"); err == nil {
		say("Every step did what it claims. The pages show it, and are all that is left behind.\n   %s", copied)
	}
	switch {
	case err == nil && keep:
		fmt.Printf("   http://%s/ (Ctrl-C ends it)\n", served)
		<-ctx.Done()
	case err == nil:
		fmt.Println("   make demo KEEP=1 also keeps the server up.")
	}
	stop()
	_ = server.Wait() // it was stopped
	return err
}

// freeAddress returns an address of this machine that nothing listens at.
func freeAddress(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "localhost:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// seen waits until a page shows kubefed: the server answers before it has read the records.
func seen(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for attempt := time.NewTicker(50 * time.Millisecond); ; {
		page, err := fetch(ctx, url)
		if strings.Contains(page, "kubefed") {
			return nil
		}
		select {
		case <-attempt.C:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%s does not show kubefed", url), err)
		}
	}
}

func fetch(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	return string(page), err
}
