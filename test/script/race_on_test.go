//go:build race

package script

// withRace builds the commands with the race detector when the tests have it.
const withRace = true
