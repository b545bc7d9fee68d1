// Package bounds has the bounds that a set's settings.yaml shares with flags and the
// environment. It imports nothing, so that settings need not import what carries them out.
package bounds

const (
	// Shards is the largest number of shards. A Tekton matrix has at most 256 combinations,
	// unless the cluster's operator raises the limit: https://tekton.dev/docs/pipelines/matrix/
	Shards = 256

	// Share is the smallest share of a cap that a shard may get, in requests in flight to a
	// registry. With fewer, its pod would wait more than it works.
	Share = 4

	Concurrency = 1000  // requests in flight to one registry
	Rate        = 10000 // requests per second to one registry
	Retries     = 100   // attempts per request
)
