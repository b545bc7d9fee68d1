package state

// Run is a run's objects.
type Run struct {
	store Store
	name  string
}
