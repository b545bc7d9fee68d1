package reference

// A Side is one end of a mapping: where an image comes from, or where it goes.
type Side string

// The sides of a mapping.
const (
	Source      Side = "source"
	Destination Side = "destination"
)
