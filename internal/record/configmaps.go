package record

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"imagemirror/internal/apiserver"
	"imagemirror/internal/strictjson"
)

// Label has the name of the set on each ConfigMap of its record.
const Label = "imagemirror/record"

// Keys in the ConfigMaps of a record.
const (
	indexKey = "index"     // of the index: JSON
	headKey  = "record.gz" // of the index: the record without destinations
	partKey  = "destinations.gz"
)

// ConfigMaps is a Store in the ConfigMaps of a namespace.
//
// The index of a set, record-SET, has the record. Destinations that do not fit in it are in
// segments, each in two generations: an update writes those that it changes in the generation
// that is not in use, and then the index, which names the generation and the hash of each. Each
// update of the index is on condition that it has not changed since it was read. So a writer
// that is killed between any two requests leaves the record before or after.
//
// Two writers could still write one segment of the same generation, before either writes the
// index. So a writer first claims the index, which changes it. The versions of the segments that a
// writer replaces are those it knew before its claim: a segment that another claim's holder has
// written since is a conflict.
type ConfigMaps struct {
	client    rest.Interface
	namespace string
	limits    limits
}

// limits are those of the ConfigMaps, which tests make smaller.
type limits struct {
	inline, segment int
	claim           time.Duration // how long others wait for the holder of a claim
}

// OpenConfigMaps returns the store in a namespace.
func OpenConfigMaps(config *rest.Config, namespace string) (*ConfigMaps, error) {
	config = rest.CopyConfig(config)
	config.UserAgent, config.Timeout = "imagemirror-record", 30*time.Second
	config.QPS, config.Burst = 100, 200
	client, err := apiserver.NewClient(config, corev1.SchemeGroupVersion, corev1.AddToScheme)
	if err != nil {
		return nil, err
	}
	return &ConfigMaps{client, namespace, limits{maxInline, maxSegment, 30 * time.Second}}, nil
}

// indexName returns the name of a set's index. A set's name has no dot, so that it cannot be taken
// for that of another set's segment.
func indexName(set string) string { return "record-" + set }

// segmentName returns the name of a segment, of the generation a or b.
func segmentName(set, generation string, i int) string {
	return "record." + generation + strconv.Itoa(i) + "-" + set
}

// asideName returns the name of what is kept of an index that could not be read.
func asideName(set string) string { return "record.broken-" + set }

// Names returns the names of all ConfigMaps that the record of a set can have.
func Names(set string) []string {
	all := []string{indexName(set)}
	for _, generation := range []string{"a", "b"} {
		for i := range maxSegments {
			all = append(all, segmentName(set, generation, i))
		}
	}
	return append(all, asideName(set))
}

// An index is what the ConfigMap record-SET tells of the others.
type index struct {
	Version  int         `json:"version"`
	Base     baseline    `json:"base,omitzero"`
	Inline   string      `json:"inline,omitempty"`   // hash of the destinations beside the index
	Segments []*segment  `json:"segments,omitempty"` // of the destinations, if they do not fit there
	Claim    *indexClaim `json:"claim,omitempty"`
}

// A segment describes a ConfigMap with a part of the destinations.
type segment struct {
	Generation string `json:"generation"`
	Hash       string `json:"sha256"` // of the JSON
	// Versions are the resourceVersions of the segments of both generations, a and b.
	Versions [2]string `json:"versions"`
}

// An indexClaim tells who is about to write segments.
type indexClaim struct {
	Holder string    `json:"holder"`
	Since  time.Time `json:"since"`
}

// A storedIndex is an index with its ConfigMap.
type storedIndex struct {
	index
	configMap *corev1.ConfigMap
	exists    bool
}

var indexDecoder = strictjson.NewDecoder[index]()

// decodeIndex reads an index. An empty ConfigMap is one without a record: the installation
// creates it, so that nobody else can.
func decodeIndex(m *corev1.ConfigMap) (index, error) {
	text, there := m.Data[indexKey]
	if !there && len(m.BinaryData) == 0 {
		return index{Version: Version}, nil
	}
	var lax struct{ Version int }
	if json.Unmarshal([]byte(text), &lax) == nil && lax.Version > Version {
		return index{}, fmt.Errorf("the index has version %d: %w", lax.Version, ErrNewer)
	}
	x, err := indexDecoder.Decode([]byte(text))
	if err != nil {
		return index{}, fmt.Errorf("the index: %w", err)
	}
	if x.Version != Version || len(x.Segments) > maxSegments || len(x.Segments) > 0 && x.Inline != "" {
		return index{}, fmt.Errorf("the index has version %d and %d segments", x.Version, len(x.Segments))
	}
	for _, s := range x.Segments {
		if s == nil || s.Generation != "a" && s.Generation != "b" {
			return index{}, errors.New("the index has a segment without a generation")
		}
	}
	return x, nil
}

// readIndex gets the index of a set.
func (s *ConfigMaps) readIndex(ctx context.Context, set string) (*storedIndex, error) {
	m, err := s.get(ctx, indexName(set))
	if apierrors.IsNotFound(err) {
		m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: indexName(set)}}
		return &storedIndex{index: index{Version: Version}, configMap: m}, nil
	}
	if err != nil {
		return nil, err
	}
	o := &storedIndex{configMap: m, exists: true}
	if o.index, err = decodeIndex(m); err != nil {
		return o, &brokenError{"the ConfigMap " + m.Name, err}
	}
	return o, nil
}

// List returns the sets that have a record, by name.
func (s *ConfigMaps) List(ctx context.Context) ([]Item, error) {
	var all metav1.PartialObjectMetadataList
	list := func() *rest.Request { return s.client.Get().Param("labelSelector", Label) }
	if err := s.metadata(ctx, list, listOf, &all); err != nil {
		return nil, fmt.Errorf("listing the records: %w", err)
	}
	var items []Item
	for _, m := range all.Items {
		// Segments have the label, too.
		if set := m.Labels[Label]; m.Name == indexName(set) {
			items = append(items, Item{set, m.ResourceVersion})
		}
	}
	return items, nil
}

// Forms of answers that have no content, which may be a megabyte.
const (
	oneOf  = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
	listOf = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
)

// metadata asks for the metadata of ConfigMaps.
func (s *ConfigMaps) metadata(ctx context.Context, ask func() *rest.Request, form string, into any) error {
	return apiserver.Insist(ctx, func() error {
		body, err := ask().Namespace(s.namespace).Resource("configmaps").SetHeader("Accept", form).Do(ctx).Raw()
		if err != nil {
			return err
		}
		return json.Unmarshal(body, into)
	})
}

// maxReads bounds how often a reader begins again because writers are faster.
const maxReads = 5

// Load returns the record of a set.
func (s *ConfigMaps) Load(ctx context.Context, set string) (*Record, error) {
	for n := 1; ; n++ {
		o, err := s.readIndex(ctx, set)
		if err != nil {
			return nil, err
		}
		if _, written := o.configMap.BinaryData[headKey]; !written {
			return nil, fmt.Errorf("the ConfigMap %s: %w", o.configMap.Name, ErrNone)
		}
		r, err := s.assemble(ctx, set, o)
		if broken := new(brokenError); !errors.As(err, &broken) || n == maxReads {
			return r, err
		}
		// A writer may have replaced a segment meanwhile: then the index has changed.
		now, unread := s.readIndex(ctx, set)
		if unread != nil {
			return nil, unread
		}
		if now.configMap.ResourceVersion == o.configMap.ResourceVersion {
			return nil, err
		}
	}
}

// assemble returns the record that an index and its segments have. It fails with a brokenError
// if they do not fit together.
func (s *ConfigMaps) assemble(ctx context.Context, set string, o *storedIndex) (*Record, error) {
	m := o.configMap
	if _, written := m.BinaryData[headKey]; !written {
		return New(set), nil
	}
	broken := func(err error) error { return &brokenError{"the ConfigMap " + m.Name, err} }
	head, err := inflate(m.BinaryData[headKey], maxBytes)
	if err != nil {
		return nil, broken(err)
	}
	var parts [][]byte
	if o.Inline != "" {
		part, err := inflate(m.BinaryData[partKey], maxPart)
		if err == nil && contentHash(part) != o.Inline {
			err = errors.New("the destinations are not those that the index describes")
		}
		if err != nil {
			return nil, broken(err)
		}
		parts = append(parts, part)
	}
	for i, one := range o.Segments {
		part, err := s.readSegment(ctx, segmentName(set, one.Generation, i), one)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	r, err := unpack(o.Base, head, parts)
	if err == nil && r.Set != set {
		err = fmt.Errorf("it is the record of %.80q", r.Set)
	}
	if err != nil {
		return nil, broken(err)
	}
	return r, nil
}

// readSegment returns the JSON of a segment, which has to be what the index describes.
func (s *ConfigMaps) readSegment(ctx context.Context, name string, want *segment) ([]byte, error) {
	m, err := s.get(ctx, name)
	if apierrors.IsNotFound(err) {
		return nil, &brokenError{"the ConfigMap " + name, errors.New("it does not exist")}
	}
	if err != nil {
		return nil, err
	}
	part, err := inflate(m.BinaryData[partKey], maxPart)
	if err == nil && contentHash(part) != want.Hash {
		err = errors.New("it is not what the index describes")
	}
	if err != nil {
		return nil, &brokenError{"the ConfigMap " + name, err}
	}
	return part, nil
}

func (s *ConfigMaps) get(ctx context.Context, name string) (*corev1.ConfigMap, error) {
	var m corev1.ConfigMap
	err := apiserver.Insist(ctx, func() error {
		return s.client.Get().Namespace(s.namespace).Resource("configmaps").Name(name).Do(ctx).Into(&m)
	})
	if err != nil {
		return nil, fmt.Errorf("getting the ConfigMap %s: %w", name, err)
	}
	return &m, nil
}

// put creates a ConfigMap if it has no resourceVersion, and replaces it otherwise, if that is its
// version still.
func (s *ConfigMaps) put(ctx context.Context, m *corev1.ConfigMap, exists bool) error {
	var stored corev1.ConfigMap
	err := apiserver.Insist(ctx, func() error {
		if exists {
			return s.client.Put().Namespace(s.namespace).Resource("configmaps").Name(m.Name).Body(m).Do(ctx).Into(&stored)
		}
		return s.client.Post().Namespace(s.namespace).Resource("configmaps").Body(m).Do(ctx).Into(&stored)
	})
	if err != nil {
		return fmt.Errorf("writing the ConfigMap %s: %w", m.Name, err)
	}
	m.ResourceVersion = stored.ResourceVersion
	return nil
}
