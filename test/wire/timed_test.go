package wire

import (
	"testing"
)

// timed runs a test of what depends on times: that a registry which is slow is told from those
// that are not. On a busy machine all are slow, for a while. So try gets a factor for all of its
// times: 1 at first, and a larger one as long as it returns what is wrong. The test fails only if
// a registry that has 16 times as long is not told from one that is as much slower.
func timed(t *testing.T, try func(factor int) (wrong error)) {
	t.Helper()
	for _, factor := range []int{1, 4, 16} {
		wrong := try(factor)
		switch {
		case wrong == nil:
			return
		case factor == 16:
			t.Error(wrong)
		default:
			t.Logf("with times of %d: %v", factor, wrong)
		}
	}
}
