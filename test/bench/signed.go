package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	gcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sync/errgroup"

	"imagemirror/internal/registrytest"
)

// start starts a registry of the workload.
func (w benchWorkload) start(dir string) (*registrytest.Registry, error) {
	if w.api {
		return registrytest.StartInProcess(gcr.WithReferrersSupport(true)), nil
	}
	return registrytest.StartDistribution(registrytest.DistributionOptions{Dir: dir})
}

// attachAll pushes a referrer for one of every so many images.
func attachAll(ctx context.Context, host string, images []string, every int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i, image := range images {
		if i%every == 0 {
			group.Go(func() error { return attach(ctx, host+"/"+image) })
		}
	}
	return group.Wait()
}

// attach pushes a referrer of an image. A registry without the API gets the index that lists it.
func attach(ctx context.Context, image string) error {
	tag, err := name.NewTag(image)
	if err != nil {
		return err
	}
	subject, err := remote.Head(tag, remote.WithContext(ctx))
	if err != nil {
		return fmt.Errorf("asking for %q: %w", image, err)
	}
	artifact, ok := mutate.Subject(registrytest.NewEmptyConfigArtifact(registrytest.NewLayer(image, 500)), *subject).(v1.Image)
	if !ok {
		return fmt.Errorf("%q gets a referrer that is no image", image)
	}
	digest, err := artifact.Digest()
	if err != nil {
		return err
	}
	if err := remote.Push(tag.Digest(digest.String()), artifact, remote.WithContext(ctx)); err != nil {
		return fmt.Errorf("pushing a referrer of %q: %w", image, err)
	}
	return nil
}

// setWith writes an image set with settings, and lines of a mapping file.
func (b *bench) setWith(settings, lines string) (dir string, err error) {
	dir = filepath.Join(b.dir, "signed")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	for file, content := range map[string]string{
		"OWNERS": "approvers: [bench]\n",
		"settings.yaml": "apiVersion: imagemirror/v1\nkind: Settings\nmetadata: {name: signed, annotations: {config.kubernetes.io/local-config: \"true\"}}\n" +
			"spec:\n  " + settings + "\n",
		"mapping_bench": lines,
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
			return "", err
		}
	}
	return dir, nil
}
