// Command cmd brings up the cluster of the end-to-end tests, or takes it down.
//
//	eval "$(go -C test/e2e/cluster run ./cmd up)"   # then kubectl, tkn and the tests find it
//	go -C test/e2e/cluster run ./cmd down
//
// It exits with status 3 if this machine cannot have a cluster.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"imagemirror/test/e2e/cluster"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "cluster:", err)
	if unavailable := (*cluster.Unavailable)(nil); errors.As(err, &unavailable) {
		os.Exit(3)
	}
	os.Exit(1)
}

func run(ctx context.Context, args []string) error {
	switch strings.Join(args, " ") {
	case "up":
		return up(ctx)
	case "down":
		return cluster.Down(ctx, os.Stderr)
	}
	return errors.New("usage: go run ./cmd up|down")
}

func up(ctx context.Context) error {
	settings, err := cluster.Up(ctx, os.Stderr)
	if err != nil {
		return err
	}
	for _, setting := range settings {
		name, value, _ := strings.Cut(setting, "=")
		fmt.Printf("export %s='%s'\n", name, strings.ReplaceAll(value, "'", `'\''`))
	}
	return nil
}
