// Command release pushes the images of the commands with their SBOMs. It writes release.yaml,
// which has all Tasks and Pipelines with the digests of their images, kustomization.yaml, which
// gives the images of other objects their digests, and images.txt, which lists them for those who
// sign them. The same source, version and Go make the same files, byte for byte.
//
//	go run ./images/release -registry REGISTRY/REPOSITORY -version VERSION
//
// Run it in the root of the repository. Images go to REGISTRY/REPOSITORY/COMMAND:VERSION, with the
// credentials of Docker's configuration file.
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
	flag.StringVar(&r.registry, "registry", "",
		"`REGISTRY/REPOSITORY` to push to, below which each image has its name (required)")
	flag.StringVar(&r.version, "version", "",
		"tag of the images, and label of the Tasks and Pipelines (required)")
	flag.StringVar(&r.platforms, "platforms", "linux/amd64,linux/arm64", "platforms of the images")
	flag.StringVar(&r.out, "out", "release",
		"`directory` for release.yaml, kustomization.yaml, images.txt and the SBOMs")
	flag.Parse()
	if err := r.write(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}
