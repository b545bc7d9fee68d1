// Package status is the command status: it shows the records of image sets in a table, on pages
// that it serves, or in files.
package status

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"time"

	"imagemirror/internal/apiserver"
	"imagemirror/internal/command"
	"imagemirror/internal/record"
	"imagemirror/internal/status"
	"imagemirror/internal/text"
)

const about = `Shows how image sets are: which ones fail, since when and why, and when each was last good. It
prints a table. With -listen it serves pages, JSON, badges and metrics instead, until it is told to
stop; with -out it writes the pages as files. It reads the records of the cluster, or those in the
directory that report -record wrote.

Exit status: 0 the status was shown, 1 it could not be, 2 the command line was refused.`

// interval is the time between two looks at the records. A look without changes is one request.
const interval = 30 * time.Second

// gcPercent keeps what is in memory near to what records take. Pages are small beside them.
const gcPercent = 25

type config struct {
	Namespace string `desc:"namespace of the image sets (default that of the pod or the kubeconfig)"`

	record, listen, out string
}

// Command returns the command status.
func Command() *command.Command {
	var c config
	cmd := &command.Command{
		Name: "status", Synopsis: "[-record DIR] [-listen ADDRESS | -out DIR]", About: about, Env: &c, Run: c.run,
	}
	cmd.Flags.StringVar(&c.record, "record", "", "read the records in `DIR`, not those of a cluster")
	cmd.Flags.StringVar(&c.listen, "listen", "", "serve pages at `ADDRESS`, such as localhost:8080 or :8080")
	cmd.Flags.StringVar(&c.out, "out", "", "write pages into `DIR`")
	return cmd
}

func (c *config) run(ctx context.Context, args []string) error {
	switch {
	case len(args) > 0:
		return command.Refuse(fmt.Errorf("status takes no arguments: remove %s", text.Line(args[0], 80)))
	case c.listen != "" && c.out != "":
		return command.Refuse(errors.New("-listen and -out exclude each other: give one of them"))
	}
	source, err := c.source()
	if err != nil {
		return err
	}
	if c.listen != "" {
		return c.serve(ctx, source)
	}
	snapshot, err := status.Take(ctx, source)
	if err != nil {
		return err
	}
	if c.out != "" {
		return status.WriteFiles(c.out, snapshot, command.Version())
	}
	return status.WriteTable(os.Stdout, snapshot)
}

// source returns the records in a directory, or those of a cluster with its active runs.
func (c *config) source() (*status.Records, error) {
	if c.record != "" {
		return &status.Records{Reader: record.ReadDirectory(c.record)}, nil
	}
	config, namespace, err := apiserver.Find(c.Namespace)
	if err != nil {
		return nil, fmt.Errorf("%w, or name a directory of records with -record", err)
	}
	records, err := record.OpenConfigMaps(config, namespace)
	if err != nil {
		return nil, err
	}
	runs, err := status.OpenPipelineRuns(config, namespace)
	if err != nil {
		return nil, err
	}
	return &status.Records{Reader: records, Active: runs.Active}, nil
}

func (c *config) serve(ctx context.Context, source status.Source) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.listen)
	if err != nil {
		return fmt.Errorf("listening at %s: %w: give another ADDRESS to -listen", text.Line(c.listen, 80), err)
	}
	debug.SetGCPercent(gcPercent)
	slog.Info("serving the status", "address", listener.Addr().String())
	server := &status.Server{Source: source, Interval: interval, Version: command.Version()}
	return server.Serve(ctx, listener)
}
