// Package mongodocstore stands in for the store of attestations in MongoDB, which no test uses: the
// version that Tekton Chains requires cannot be downloaded everywhere.
package mongodocstore

// Scheme is that of the store's URLs.
const Scheme = "mongo"
