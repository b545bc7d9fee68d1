package record

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// updateTime bounds an update that others are in the way of.
const updateTime = 2 * time.Minute

// Update replaces the record of a set. If its ConfigMaps are broken, what they have is kept aside,
// and a new record is begun.
func (s *ConfigMaps) Update(ctx context.Context, set string, change func(*Record) *Record) error {
	ctx, cancel := context.WithTimeout(ctx, updateTime)
	defer cancel()
	w := &indexWriter{ConfigMaps: s, set: set, change: change, self: rand.Text()[:13]}
	for n := 1; ; n++ {
		err := w.attempt(ctx)
		if !isConflict(err) {
			return err
		}
		// Whoever was in the way may need as long as this writer.
		select {
		case <-time.After(time.Duration(mathrand.Int64N(int64(min(n, 10)) * int64(50*time.Millisecond)))):
		case <-ctx.Done():
			return fmt.Errorf("%w: given up after %d attempts", err, n)
		}
	}
}

// errClaimed is the error of an attempt during another writer's claim.
var errClaimed = errors.New("another writer is updating the record")

func isConflict(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || errors.Is(err, errClaimed)
}

// An indexWriter is one Update.
type indexWriter struct {
	*ConfigMaps
	set    string
	change func(*Record) *Record
	self   string
	claim  indexClaim // of another writer, that was seen last
	seen   time.Time  // when it was first seen
	ask    bool       // the versions of segments in the index are not the last ones
}

// attempt updates the record once.
func (w *indexWriter) attempt(ctx context.Context) error {
	o, old, err := w.read(ctx)
	if err != nil {
		return err
	}
	next := w.change(old)
	if next == old {
		return nil
	}
	p, err := next.pack(o.Segments, w.limits)
	if err != nil {
		return err
	}
	changed := w.plan(o, p)
	if len(changed) > 0 {
		if err := w.write(ctx, o, p, changed); err != nil {
			w.ask = w.ask || isConflict(err)
			return err
		}
	}
	return w.commit(ctx, o, p)
}

// read returns the index of the set and its record.
func (w *indexWriter) read(ctx context.Context) (*storedIndex, *Record, error) {
	o, err := w.readIndex(ctx, w.set)
	if err == nil && w.mustWait(o.Claim) {
		return nil, nil, errClaimed
	}
	var old *Record
	if err == nil {
		old, err = w.assemble(ctx, w.set, o)
	}
	if !errors.Is(err, ErrLost) {
		return o, old, err
	}
	// It is broken only if no other writer has just replaced it.
	now, unread := w.get(ctx, indexName(w.set))
	if unread != nil {
		return nil, nil, unread
	}
	if now.ResourceVersion != o.configMap.ResourceVersion {
		return nil, nil, errClaimed
	}
	return o, New(w.set), w.putAside(ctx, o, err)
}

// mustWait reports whether another writer holds a claim that is not old, by its time or because
// it has been there for long.
func (w *indexWriter) mustWait(c *indexClaim) bool {
	if c == nil || c.Holder == w.self {
		return false
	}
	if *c != w.claim {
		w.claim, w.seen = *c, time.Now()
	}
	return time.Since(w.seen) < w.limits.claim && time.Since(c.Since) < w.limits.claim
}

// putAside keeps what an index that cannot be read has. Segments are kept until they are
// replaced.
func (w *indexWriter) putAside(ctx context.Context, o *storedIndex, why error) error {
	aside := &corev1.ConfigMap{Data: o.configMap.Data, BinaryData: o.configMap.BinaryData}
	aside.ObjectMeta = w.metaOf(asideName(w.set))
	slog.Warn("a record cannot be read: it is kept aside, and a new one is begun", "set", w.set, "aside", aside.Name, "error", why)
	o.index = index{Version: Version}
	o.configMap.Data, o.configMap.BinaryData = nil, nil
	w.ask = true
	err := w.put(ctx, aside, false)
	if apierrors.IsAlreadyExists(err) {
		err = w.put(ctx, aside, true)
	}
	return err
}

// metaOf returns the metadata of a ConfigMap of the record.
func (w *indexWriter) metaOf(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Labels: map[string]string{Label: w.set, "app.kubernetes.io/managed-by": "imagemirror"}}
}

// plan describes the parts in the index, and returns which of them have to be written.
func (w *indexWriter) plan(o *storedIndex, p *packedRecord) (changed []int) {
	before := o.Segments
	o.Segments, o.Inline = nil, ""
	if p.inline {
		o.Inline = p.parts[0].hash
		return nil
	}
	for i, part := range p.parts {
		next := &segment{Generation: "a", Hash: part.hash}
		if i < len(before) {
			old := before[i]
			next.Versions = old.Versions
			if next.Generation = old.Generation; part.content != nil {
				next.Generation = map[string]string{"a": "b", "b": "a"}[old.Generation]
			}
		}
		o.Segments = append(o.Segments, next)
		if part.content != nil {
			changed = append(changed, i)
		}
	}
	return changed
}

// version points to the known resourceVersion of the generation that the segment is in.
func (s *segment) version() *string { return &s.Versions[s.Generation[0]-'a'] }

// write claims the index and writes the parts that changed.
func (w *indexWriter) write(ctx context.Context, o *storedIndex, p *packedRecord, changed []int) error {
	for _, i := range changed {
		if s := o.Segments[i]; w.ask || *s.version() == "" {
			if err := w.learnVersion(ctx, s, i); err != nil {
				return err
			}
		}
	}
	if err := w.takeClaim(ctx, o); err != nil {
		return err
	}
	for _, i := range changed {
		s := o.Segments[i]
		m := &corev1.ConfigMap{ObjectMeta: w.metaOf(segmentName(w.set, s.Generation, i))}
		m.ResourceVersion = *s.version()
		m.BinaryData = map[string][]byte{partKey: p.parts[i].content}
		if err := w.put(ctx, m, m.ResourceVersion != ""); err != nil {
			return err
		}
		*s.version() = m.ResourceVersion
	}
	return nil
}

// learnVersion asks for the version of the segment that is about to be replaced.
func (w *indexWriter) learnVersion(ctx context.Context, s *segment, i int) error {
	var m metav1.PartialObjectMetadata
	get := func() *rest.Request { return w.client.Get().Name(segmentName(w.set, s.Generation, i)) }
	err := w.metadata(ctx, get, oneOf, &m)
	if apierrors.IsNotFound(err) {
		*s.version() = ""
		return nil
	}
	*s.version() = m.ResourceVersion
	return err
}

// takeClaim adds a claim to the index as it is, so that no other writer can replace it.
func (w *indexWriter) takeClaim(ctx context.Context, o *storedIndex) error {
	claimed := o.configMap.DeepCopy()
	before, err := decodeIndex(claimed)
	if err != nil {
		return err
	}
	before.Claim = &indexClaim{w.self, time.Now().UTC()}
	if err := w.putIndex(ctx, claimed, before, o.exists); err != nil {
		return err
	}
	o.configMap.ResourceVersion, o.exists = claimed.ResourceVersion, true
	return nil
}

// commit replaces the index.
func (w *indexWriter) commit(ctx context.Context, o *storedIndex, p *packedRecord) error {
	m := o.configMap
	m.BinaryData = map[string][]byte{headKey: p.head}
	if p.inline {
		m.BinaryData[partKey] = p.parts[0].content
	}
	o.Base, o.Claim = p.base, nil
	return w.putIndex(ctx, m, o.index, o.exists)
}

func (w *indexWriter) putIndex(ctx context.Context, m *corev1.ConfigMap, x index, exists bool) error {
	text, err := json.Marshal(x)
	if err != nil {
		return err
	}
	m.Data = map[string]string{indexKey: string(text)}
	if m.Labels == nil {
		m.Labels = map[string]string{}
	}
	for key, value := range w.metaOf("").Labels {
		m.Labels[key] = value
	}
	return w.put(ctx, m, exists)
}
