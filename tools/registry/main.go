// Command registry serves distribution's registry for tests, the demo and benchmarks. It has
// the handlers and two storage drivers. Those of the clouds make distribution's own command
// slow to build.
//
// With the argument collect it deletes what no tag leads to instead, as distribution's command
// garbage-collect --delete-untagged does.
//
// It listens on the address in its configuration (default: a free loopback port), and prints it
// as its first line. It exits at the end of its standard input, so that it never outlives the
// process that started it.
package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"

	"github.com/distribution/distribution/v3/configuration"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd"
	_ "github.com/distribution/distribution/v3/registry/auth/token"
	"github.com/distribution/distribution/v3/registry/handlers"
	"github.com/distribution/distribution/v3/registry/storage"
	"github.com/distribution/distribution/v3/registry/storage/driver/factory"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/sirupsen/logrus"
)

func main() {
	do := serve
	switch {
	case len(os.Args) == 3 && os.Args[2] == "collect":
		do = collect
	case len(os.Args) != 2:
		fmt.Fprintln(os.Stderr, "usage: registry CONFIG [collect] <a pipe that is held open")
		os.Exit(2)
	}
	if err := run(os.Args[1], do); err != nil {
		fmt.Fprintln(os.Stderr, "registry:", err)
		os.Exit(1)
	}
}

// run does something with the configuration in a file.
func run(path string, do func(*configuration.Configuration) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	config, err := configuration.Parse(f)
	if err != nil {
		return fmt.Errorf("reading %q: %w", path, err)
	}
	level, err := logrus.ParseLevel(string(config.Log.Level))
	if err != nil {
		return fmt.Errorf("reading %q: %w", path, err)
	}
	logrus.SetLevel(level)
	logrus.SetFormatter(brief{})
	return do(config)
}

// collect deletes the manifests that no tag leads to, and the blobs that no manifest leads to.
func collect(config *configuration.Configuration) error {
	ctx := context.Background()
	driver, err := factory.Create(ctx, config.Storage.Type(), config.Storage.Parameters())
	if err != nil {
		return err
	}
	registry, err := storage.NewRegistry(ctx, driver)
	if err != nil {
		return err
	}
	return storage.MarkAndSweep(ctx, driver, registry, storage.GCOpts{RemoveUntagged: true, Quiet: true})
}

// serve serves until standard input ends.
func serve(config *configuration.Configuration) error {
	app := handlers.NewApp(context.Background(), config)
	l, err := net.Listen("tcp", cmp.Or(config.HTTP.Addr, "127.0.0.1:0"))
	if err != nil {
		return err
	}
	server := &http.Server{Handler: app}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		server.Close()
	}()
	fmt.Println(l.Addr())
	if err := server.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return app.Shutdown()
}

// A brief formats log entries with the few fields of a request that matter in tests.
type brief struct{}

func (brief) Format(e *logrus.Entry) ([]byte, error) {
	line := e.Message
	for _, key := range []string{
		"http.request.method", "http.request.uri", "http.response.status", "err.code", "err.detail",
	} {
		if value, ok := e.Data[key]; ok {
			line += fmt.Sprintf(" %v", value)
		}
	}
	return []byte(line + "\n"), nil
}
