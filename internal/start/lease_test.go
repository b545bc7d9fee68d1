package start

import (
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A clock that is ahead on the node of a start that died must not keep the set from running.
func TestLeaseExpires(t *testing.T) {
	start := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name    string
		renewed time.Duration   // after start
		looks   []time.Duration // after start, at an unchanged Lease
		held    []bool
	}{
		{"renewed now", 0, []time.Duration{0, leaseDuration, leaseDuration + time.Second}, []bool{true, true, false}},
		{"renewed long ago", -time.Hour, []time.Duration{0}, []bool{false}},
		{"renewed in the future", 24 * time.Hour, []time.Duration{0, leaseDuration, leaseDuration + time.Second}, []bool{true, true, false}},
		{"renewed a little in the future", 30 * time.Second, []time.Duration{10 * time.Second, leaseDuration + 5*time.Second, leaseDuration + 11*time.Second}, []bool{true, true, false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := start
			s := &Starter{now: func() time.Time { return now }}
			lease := leaseOf("another", "1", start.Add(c.renewed))
			var seen observation
			for i, look := range c.looks {
				now = start.Add(look)
				if held := s.holder(lease, &seen) != ""; held != c.held[i] {
					t.Errorf("after %s the Lease is held: %t, want %t", look, held, c.held[i])
				}
			}
		})
	}
}

// Each change of the Lease shows that its holder lives, whatever the times in it.
func TestLeaseThatChangesIsHeld(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	s := &Starter{now: func() time.Time { return now }}
	var seen observation
	for _, version := range []string{"1", "2", "3"} {
		if holder := s.holder(leaseOf("another", version, now.Add(time.Hour)), &seen); holder != "another" {
			t.Errorf("version %s is held by %q, want another", version, holder)
		}
		now = now.Add(leaseDuration)
	}
}

func leaseOf(holder, version string, renewed time.Time) *coordinationv1.Lease {
	at := metav1.NewMicroTime(renewed)
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{ResourceVersion: version},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder, RenewTime: &at},
	}
}
