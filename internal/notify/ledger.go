package notify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"imagemirror/internal/record"
	"imagemirror/internal/secret"
	"imagemirror/internal/text"
)

// A SendResult tells which targets did not get a message.
type SendResult struct {
	*Message
	Failed []string // names of the targets that did not get it
	Errs   []error  // why, and why one did not reach all of its recipients
}

// setsAtOnce is how many sets are notified about at a time, in a run of several.
const setsAtOnce = 8

// Keep updates the record of each set after a run, and then notifies the targets of the set. With
// a nil Sender it only updates. Its error has a line for each record that it could not update.
//
// The same update notes what is about to be sent, so that a run that changed nothing costs no
// more.
func (s *Sender) Keep(ctx context.Context, store record.Store, updates map[string]record.Update) error {
	var rounds []*round
	var errs []error
	for _, set := range slices.Sorted(maps.Keys(updates)) {
		p := &round{Sender: s}
		err := store.Update(ctx, set, func(r *record.Record) *record.Record { return p.begin(r.Apply(updates[set])) })
		if err != nil {
			errs = append(errs, fmt.Errorf("the record of the image set %q is not updated: %w", set, err))
		} else if len(p.due) > 0 {
			rounds = append(rounds, p)
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, wholeTime, fmt.Errorf("notifications took more than %s", text.Duration(wholeTime)))
	defer cancel()
	failed := make([]error, len(rounds))
	var g errgroup.Group
	g.SetLimit(setsAtOnce)
	for i, p := range rounds {
		g.Go(func() error {
			failed[i] = p.finish(ctx, store)
			return nil
		})
	}
	_ = g.Wait()
	return errors.Join(append(errs, failed...)...)
}

// A round is the notifications of one run about one set.
type round struct {
	*Sender
	set *record.Record
	due []*Message
}

// begin returns a record in which it is noted what is about to be sent.
func (p *round) begin(r *record.Record) *record.Record {
	if p.Sender == nil {
		return r
	}
	now := p.now()
	p.set, p.due = r, Due(r, now, p.status)
	return begin(r, p.due, now)
}

// finish sends what is due, and notes in the record what became of it.
func (p *round) finish(ctx context.Context, store record.Store) error {
	outcomes := p.Send(ctx, p.set.Set, p.set.Targets, p.due)
	err := store.Update(context.WithoutCancel(ctx), p.set.Set, func(r *record.Record) *record.Record { return noteDeliveries(r, outcomes, p.now()) })
	if err != nil {
		return fmt.Errorf("the record of the image set %q does not have what was notified: %w", p.set.Set, err)
	}
	return nil
}

// begin returns a record in which it is noted that messages are about to be sent. A report that is
// ended while it sends may have sent them: after maxBroken of those they count as sent.
func begin(r *record.Record, due []*Message, now time.Time) *record.Record {
	if len(due) == 0 {
		return r
	}
	next := clone(r)
	eachCause(next, due, func(c *record.Cause) {
		if c.Tried++; c.Tried >= maxBroken {
			c.Told, c.Tried, c.Owed = now, 0, []string{}
		}
	})
	next.Recovered = slices.DeleteFunc(next.Recovered, func(c *record.Cause) bool { return c.Owed != nil && len(c.Owed) == 0 })
	return next
}

// noteDeliveries returns the record with what became of messages. A message that no target got is
// due again with the next run; one that some targets got is due only for the others.
func noteDeliveries(r *record.Record, outcomes []SendResult, now time.Time) *record.Record {
	next := clone(r)
	for _, o := range outcomes {
		o.count(&next.Notifications, now)
		eachCause(next, []*Message{o.Message}, func(c *record.Cause) {
			c.Tried = 0
			if len(o.Failed) == len(o.to) {
				return
			}
			c.Owed = append([]string{}, o.Failed...)
			if o.Event == Reminder || c.Told.IsZero() {
				c.Told = now
			}
		})
	}
	// A cause that has been over for long is no news.
	next.Recovered = slices.DeleteFunc(next.Recovered, func(c *record.Cause) bool {
		return c.Owed != nil && len(c.Owed) == 0 || now.Sub(c.Last) > keepRecovered
	})
	for _, c := range next.Causes {
		if len(c.Owed) == 0 {
			c.Owed = nil
		}
	}
	return next
}

// count adds what became of a message to the counts of a record.
func (o SendResult) count(n *record.Notifications, now time.Time) {
	n.Delivered += int64(len(o.to) - len(o.Failed))
	n.Failed += int64(len(o.Failed))
	n.LastError = ""
	if len(o.Errs) > 0 {
		n.LastFail, n.LastError = now, text.Line(secret.Hide(o.Errs[0].Error()), maxShort)
	}
}

// keepRecovered is how long somebody is still told that a cause is over.
const keepRecovered = 7 * 24 * time.Hour

// clone returns a record whose causes may be changed.
func clone(r *record.Record) *record.Record {
	next := *r
	for _, list := range []*[]*record.Cause{&next.Causes, &next.Recovered} {
		*list = slices.Clone(*list)
		for i, c := range *list {
			own := *c
			(*list)[i] = &own
		}
	}
	return &next
}

// eachCause calls visit for the causes of a record that messages are about.
func eachCause(r *record.Record, messages []*Message, visit func(*record.Cause)) {
	for _, m := range messages {
		list := r.Causes
		if m.Event == Recovered {
			list = r.Recovered
		}
		for _, about := range m.causes {
			for _, c := range list {
				if c.Key == about.Key {
					visit(c)
				}
			}
		}
	}
}
