package reference

// A Side tells the two references of a mapping apart.
type Side string

// The sides of a mapping.
const (
	Source      Side = "source"
	Destination Side = "destination"
)
