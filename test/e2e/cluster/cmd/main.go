// Command cmd brings up the cluster of the end-to-end tests, or takes it down.
//
//	go run ./test/e2e/cluster/cmd up     # prints what to set in a shell: eval "$(...)"
//	go run ./test/e2e/cluster/cmd down
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
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch strings.Join(args, " ") {
	case "up":
		return up(ctx)
	case "down":
		return cluster.Down(ctx, os.Stderr)
	}
	return errors.New("usage: go run ./test/e2e/cluster/cmd up|down")
}

func up(ctx context.Context) error {
	c, err := cluster.Up(ctx, os.Stderr)
	if err != nil {
		return err
	}
	for _, setting := range c.Settings() {
		name, value, _ := strings.Cut(setting, "=")
		fmt.Printf("export %s='%s'\n", name, strings.ReplaceAll(value, "'", `'\''`))
	}
	return nil
}
