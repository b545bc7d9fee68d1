// Release pushes the images of the commands, with a list of what is in each, and writes release.yaml: all Tasks and Pipelines,
// with the digests of their images; and kustomization.yaml, which gives the images of other objects theirs. From the same source,
// version and Go it makes the same, byte for byte.
//
//	go run ./images/release -registry REGISTRY/REPOSITORY -version VERSION
//
// It is run in the root of the repository. Images go to REGISTRY/REPOSITORY/COMMAND:VERSION, with the credentials of Docker's
// configuration file.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	r := release{root: "."}
	flag.StringVar(&r.registry, "registry", "", "where the images go: REGISTRY/REPOSITORY, to which a name is added for each")
	flag.StringVar(&r.version, "version", "", "tag of the images, and label of the Tasks and Pipelines")
	flag.StringVar(&r.platforms, "platforms", "linux/amd64,linux/arm64", "platforms of the images")
	flag.StringVar(&r.out, "out", "release", "folder for release.yaml, kustomization.yaml, and sbom with a list of what is in each image")
	flag.Parse()
	if err := r.write(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}
