package start

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// leaseDuration is how long a start that died keeps other starts of its set away.
	leaseDuration = 60 * time.Second
	// maxHold bounds what a start does under its Lease. The rest of leaseDuration is for clocks
	// of nodes that differ, and for a request that arrives late.
	maxHold        = 20 * time.Second
	requestTimeout = 15 * time.Second
	// maxWait is longer than a Lease that nobody renews can last.
	maxWait = leaseDuration + 15*time.Second
)

// await acquires the Lease of a set as soon as no other start holds it. A start that works
// gives it back; one that died holds it until it expires. Giving up because of the latter would
// cost the set a run.
func (s *Starter) await(ctx context.Context, set *imageSet) (*coordinationv1.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var seen observation
	for {
		lease, holder, err := s.acquire(ctx, set, &seen)
		if err != nil || lease != nil {
			return lease, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("the Lease %s is still held by %s: check that start, or run again later", objectName(set.name), holder)
		}
	}
}

// acquire takes the Lease of a set. If another start holds it, or takes it at the same time,
// the Lease is nil and acquire returns who holds it.
func (s *Starter) acquire(ctx context.Context, set *imageSet, seen *observation) (*coordinationv1.Lease, string, error) {
	lease, err := s.leases.Get(ctx, objectName(set.name), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		lease = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{
			Name: objectName(set.name), Labels: map[string]string{SetLabel: set.name}, OwnerReferences: set.owners(),
		}}
		s.take(lease)
		lease, err = s.leases.Create(ctx, lease, metav1.CreateOptions{})
	} else if err == nil {
		if holder := s.holder(lease, seen); holder != "" {
			return nil, holder, nil
		}
		s.take(lease)
		lease, err = s.leases.Update(ctx, lease, metav1.UpdateOptions{}) // a conflict if another start has changed it
	}
	if apierrors.IsAlreadyExists(err) || apierrors.IsConflict(err) {
		return nil, "another start", nil
	}
	if err != nil {
		return nil, "", err
	}
	return lease, "", nil
}

// An observation is when this process first saw a version of a Lease, by its own clock.
type observation struct {
	version string
	at      time.Time
}

// holder returns who holds the Lease, or "" if nobody does. A Lease has expired when its time is
// over by this node's clock, or when it has not changed for that time: the clock of the node that
// renewed it may be far ahead.
func (s *Starter) holder(lease *coordinationv1.Lease, seen *observation) string {
	spec, now := lease.Spec, s.now()
	if spec.HolderIdentity == nil || spec.RenewTime == nil {
		return ""
	}
	if seen.version != lease.ResourceVersion {
		*seen = observation{lease.ResourceVersion, now}
	}
	if now.After(spec.RenewTime.Add(leaseDuration)) || now.Sub(seen.at) > leaseDuration {
		return ""
	}
	return *spec.HolderIdentity
}

func (s *Starter) take(lease *coordinationv1.Lease) {
	now, seconds := metav1.NewMicroTime(s.now()), int32(leaseDuration.Seconds())
	lease.Spec.HolderIdentity, lease.Spec.LeaseDurationSeconds = &s.self, &seconds
	lease.Spec.AcquireTime, lease.Spec.RenewTime = &now, &now
}

// release gives the Lease back. If that fails, it expires.
func (s *Starter) release(ctx context.Context, lease *coordinationv1.Lease) {
	lease.Spec.HolderIdentity, lease.Spec.AcquireTime, lease.Spec.RenewTime = nil, nil, nil
	if _, err := s.leases.Update(ctx, lease, metav1.UpdateOptions{}); err != nil {
		slog.Warn("the Lease was not released and expires by itself", "lease", lease.Name, "in", leaseDuration, "error", err)
	}
}
