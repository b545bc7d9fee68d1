package shard_test

import (
	"fmt"

	"imagemirror/internal/shard"
	"imagemirror/internal/stream"
)

// Repositories that need the same large blob go together if the balance allows it, so that the
// blob crosses once.
func ExamplePack() {
	base := shard.Blob{ID: 1, Size: 400 << 20}
	plan := shard.Pack([]shard.Unit{
		{Name: "quay.io/team/api", Bytes: 10 << 20, Blobs: []shard.Blob{base}},
		{Name: "quay.io/team/web", Bytes: 20 << 20, Blobs: []shard.Blob{base}},
		{Name: "quay.io/team/models", Bytes: 450 << 20},
	}, 2)
	for _, s := range plan.Shards {
		fmt.Println(s.Name, s.Repositories, s.Bytes>>20, "MiB")
	}
	fmt.Println("more than once:", plan.Duplicated)
	// Output:
	// s0 [quay.io/team/models] 450 MiB
	// s1 [quay.io/team/api quay.io/team/web] 430 MiB
	// more than once: 0
}

// A cap of ten requests in flight is enough for two shards, since each gets at least four.
func ExamplePackWithin() {
	registries := []string{"quay.io"}
	plan := shard.PackWithin([]shard.Unit{
		{Name: "quay.io/team/a", Bytes: 90 << 20, Registries: registries},
		{Name: "quay.io/team/b", Bytes: 50 << 20, Registries: registries},
		{Name: "quay.io/team/c", Bytes: 20 << 20, Registries: registries},
	}, 3, stream.Cap{InFlight: 10})
	for _, s := range plan.Shards {
		fmt.Println(s.Name, s.Repositories, s.Cap.InFlight, "in flight")
	}
	// Output:
	// s0 [quay.io/team/a] 5 in flight
	// s1 [quay.io/team/b quay.io/team/c] 5 in flight
}
