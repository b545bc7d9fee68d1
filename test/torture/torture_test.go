package main

import (
	"errors"
	"regexp"
	"testing"
)

// What is fast of make torture: a few kills, a full disk, and servers that echo.
func TestTorture(t *testing.T) {
	var built torturer
	remove, err := built.build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(remove)
	for _, p := range []trial{killPart, diskPart, echoPart} {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			one := &torturer{out: t.Output(), only: regexp.MustCompile(""), dir: built.dir, kills: 8, stops: 2}
			err := one.part(t.Context(), p)
			if err = errors.Join(append(one.failures, err)...); err != nil {
				t.Error(err)
			}
		})
	}
}
