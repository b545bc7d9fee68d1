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
	// leaseFor is how long a start that died keeps others of its set away.
	leaseFor = 60 * time.Second
	// holdAtMost is how long a start goes on under its Lease: less by what clocks of nodes may differ, and by a request that is late.
	holdAtMost     = 20 * time.Second
	requestTimeout = 15 * time.Second
	// awaitAtMost is longer than a Lease that nobody renews can last.
	awaitAtMost = leaseFor + 15*time.Second
)

// await takes the Lease of a set, as soon as no other start has it: one that is at work gives it back, and one that died has it
// until it runs out. To go without a run because of the latter would cost the set a turn.
func (s *Starter) await(ctx context.Context, set *set) (*coordinationv1.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, awaitAtMost)
	defer cancel()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		lease, holder, err := s.acquire(ctx, set)
		if err != nil || lease != nil {
			return lease, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("the Lease %s was not to be had: %s; look what it is at, or run start again later", objectName(set.name), holder)
		}
	}
}

// acquire takes the Lease of a set. Where another start holds it, or was faster, the Lease is nil and the holder is named.
func (s *Starter) acquire(ctx context.Context, set *set) (*coordinationv1.Lease, string, error) {
	lease, err := s.leases.Get(ctx, objectName(set.name), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		lease = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{
			Name: objectName(set.name), Labels: map[string]string{SetLabel: set.name}, OwnerReferences: set.owners(),
		}}
		s.take(lease)
		lease, err = s.leases.Create(ctx, lease, metav1.CreateOptions{})
	} else if err == nil {
		if holder := s.holder(lease); holder != "" {
			return nil, holder + " has it", nil
		}
		s.take(lease)
		lease, err = s.leases.Update(ctx, lease, metav1.UpdateOptions{}) // refused where another has changed it meanwhile
	}
	if apierrors.IsAlreadyExists(err) || apierrors.IsConflict(err) {
		return nil, "others were faster", nil
	}
	if err != nil {
		return nil, "", err
	}
	return lease, "", nil
}

// holder is who holds a Lease, or empty.
func (s *Starter) holder(lease *coordinationv1.Lease) string {
	spec := lease.Spec
	if spec.HolderIdentity == nil || spec.RenewTime == nil || s.now().After(spec.RenewTime.Add(leaseFor)) {
		return ""
	}
	return *spec.HolderIdentity
}

func (s *Starter) take(lease *coordinationv1.Lease) {
	now, seconds := metav1.NewMicroTime(s.now()), int32(leaseFor.Seconds())
	lease.Spec.HolderIdentity, lease.Spec.LeaseDurationSeconds = &s.self, &seconds
	lease.Spec.AcquireTime, lease.Spec.RenewTime = &now, &now
}

// release gives a Lease back. Where that fails it runs out.
func (s *Starter) release(ctx context.Context, lease *coordinationv1.Lease) {
	lease.Spec.HolderIdentity, lease.Spec.AcquireTime, lease.Spec.RenewTime = nil, nil, nil
	if _, err := s.leases.Update(ctx, lease, metav1.UpdateOptions{}); err != nil {
		slog.Warn("the Lease was not given back, and runs out", "lease", lease.Name, "in", leaseFor, "error", err)
	}
}
