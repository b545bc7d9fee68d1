package state

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"imagemirror/internal/apiserver"
)

const (
	// chunkSize is the content of one ConfigMap. The API server accepts 1 MiB, including names.
	chunkSize = 896 << 10
	maxChunks = 1000
	// maxRunName leaves room in a name of 253 characters for those of the object and the chunk.
	maxRunName = 180
	maxLabel   = 63
)

// The label with the name of the run, and the keys in ConfigMaps.
const (
	runLabel  = "imagemirror/run"
	chunkKey  = "gz"     // of a chunk: part of the compressed content
	countKey  = "chunks" // of the index: number of chunks
	sizeKey   = "size"   // of the index: bytes of the whole content
	digestKey = "sha256" // of the index: hash of the whole content
)

// configMaps keeps each object in ConfigMaps: first the chunks of its compressed content, and
// last an index, without which it does not exist. It needs a Role with the verbs create and
// get only.
type configMaps struct {
	client      rest.Interface
	namespace   string
	prefix      string // of the names
	meta        metav1.ObjectMeta
	compressors sync.Pool // of *compressor, which a run's shards use one after the other
}

func openConfigMaps(p Location) (Store, error) {
	config, namespace, err := apiserver.Find(p.Namespace)
	if err != nil {
		return nil, fmt.Errorf("MIRROR_STATE=%s: %w", configMapsName, err)
	}
	p.Namespace = namespace
	return newConfigMaps(config, p)
}

func newConfigMaps(config *rest.Config, p Location) (Store, error) {
	config = rest.CopyConfig(config)
	config.UserAgent, config.Timeout = "imagemirror", 30*time.Second
	config.QPS, config.Burst = 200, 400 // a report of 256 shards reads 1,500 objects
	client, err := apiserver.NewClient(config, corev1.SchemeGroupVersion, corev1.AddToScheme)
	if err != nil {
		return nil, err
	}
	s := &configMaps{client: client, namespace: p.Namespace, prefix: shorten(p.Run, maxRunName) + "-"}
	s.meta.Labels = map[string]string{runLabel: shorten(p.Run, maxLabel), "app.kubernetes.io/managed-by": "imagemirror"}
	if p.RunUID != "" {
		s.meta.OwnerReferences = []metav1.OwnerReference{{APIVersion: "tekton.dev/v1", Kind: "PipelineRun", Name: p.Run, UID: types.UID(p.RunUID)}}
	}
	return s, nil
}

// shorten cuts name to limit and appends a hash, so that cut names stay distinct.
func shorten(name string, limit int) string {
	if len(name) <= limit {
		return name
	}
	hash := fmt.Sprintf("%x", sha256.Sum256([]byte(name)))[:10]
	return strings.TrimRight(name[:limit-len(hash)-1], "-.") + "-" + hash
}

func (s *configMaps) Put(ctx context.Context, name string, write func(io.Writer) error) error {
	if err := checkName(name); err != nil {
		return err
	}
	p, ok := s.compressors.Get().(*compressor)
	if !ok {
		p = &compressor{gzip: gzip.NewWriter(nil), chunk: make([]byte, 0, chunkSize)}
	}
	defer s.compressors.Put(p)
	chunks := &chunker{store: s, ctx: ctx, name: name, next: p.chunk[:0]}
	p.gzip.Reset(chunks)
	sum := sha256.New()
	size := &sizeCounter{}
	if err := write(io.MultiWriter(p.gzip, sum, size)); err != nil {
		return err
	}
	if err := errors.Join(p.gzip.Close(), chunks.flush()); err != nil {
		return err
	}
	return s.create(ctx, name, &corev1.ConfigMap{Data: map[string]string{
		countKey: strconv.Itoa(chunks.count), sizeKey: strconv.FormatInt(size.n, 10), digestKey: hex.EncodeToString(sum.Sum(nil)),
	}})
}

// A compressor holds the buffers to compress an object: 1.7 MiB, which small objects hardly use.
type compressor struct {
	gzip  *gzip.Writer
	chunk []byte // has room for chunkSize bytes
}

// A chunker creates a ConfigMap for each chunkSize bytes that it is given, and holds no more
// in memory.
type chunker struct {
	store *configMaps
	ctx   context.Context
	name  string
	next  []byte
	count int // of ConfigMaps that were created
}

func (c *chunker) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		if len(c.next) == chunkSize {
			if err := c.flush(); err != nil {
				return 0, err
			}
		}
		n := min(len(rest), chunkSize-len(c.next))
		c.next = append(c.next, rest[:n]...)
		rest = rest[n:]
	}
	return len(p), nil
}

func (c *chunker) flush() error {
	if c.count == maxChunks {
		return fmt.Errorf("%s has more than %d bytes, even compressed", c.name, maxChunks*chunkSize)
	}
	chunk := &corev1.ConfigMap{BinaryData: map[string][]byte{chunkKey: c.next}}
	if err := c.store.create(c.ctx, chunkName(c.name, c.count), chunk); err != nil {
		return err
	}
	c.next = c.next[:0]
	c.count++
	return nil
}

// A sizeCounter counts the bytes that are written to it.
type sizeCounter struct{ n int64 }

func (c *sizeCounter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

func chunkName(name string, i int) string { return fmt.Sprintf("%s.%d", name, i) }

func (s *configMaps) Get(ctx context.Context, name string, limit int64, read func(io.Reader) error) error {
	if err := checkName(name); err != nil {
		return err
	}
	m, err := s.get(ctx, name)
	if err != nil {
		return err
	}
	index, err := readIndex(m, limit)
	if err != nil {
		return s.damaged(name, err)
	}
	chunks := &chunkReader{count: index.chunks, get: func(i int) (*corev1.ConfigMap, error) { return s.get(ctx, chunkName(name, i)) }}
	content, err := index.unpack(chunks)
	if err != nil {
		return s.damaged(name, err)
	}
	err = read(content)
	if damage := content.check(); damage != nil {
		return s.damaged(name, damage)
	}
	return err
}

func (s *configMaps) damaged(name string, err error) error {
	return fmt.Errorf("the ConfigMaps of %s%s are damaged: %w: start a new run", s.prefix, name, err)
}

// create creates a ConfigMap. If an attempt got no response and the next finds the ConfigMap,
// it compares the content: the first attempt may have created it.
func (s *configMaps) create(ctx context.Context, name string, m *corev1.ConfigMap) error {
	s.meta.DeepCopyInto(&m.ObjectMeta)
	m.Name = s.prefix + name
	m.Immutable = new(bool)
	*m.Immutable = true
	again := false
	err := apiserver.Insist(ctx, func() error {
		err := s.client.Post().Namespace(s.namespace).Resource("configmaps").Body(m).Do(ctx).Error()
		if again && apierrors.IsAlreadyExists(err) && s.same(ctx, name, m) {
			return nil
		}
		again = true
		return err
	})
	if apierrors.IsAlreadyExists(err) {
		err = ErrExists
	}
	if err != nil {
		return failed("creating the ConfigMap", m.Name, err)
	}
	return nil
}

func (s *configMaps) same(ctx context.Context, name string, m *corev1.ConfigMap) bool {
	there, err := s.get(ctx, name)
	return err == nil && maps.Equal(there.Data, m.Data) && maps.EqualFunc(there.BinaryData, m.BinaryData, bytes.Equal)
}

func (s *configMaps) get(ctx context.Context, name string) (*corev1.ConfigMap, error) {
	var m corev1.ConfigMap
	err := apiserver.Insist(ctx, func() error {
		return s.client.Get().Namespace(s.namespace).Resource("configmaps").Name(s.prefix + name).Do(ctx).Into(&m)
	})
	if apierrors.IsNotFound(err) {
		err = ErrNotThere
	}
	if err == nil {
		err = s.checkOwner(&m)
	}
	if err != nil {
		return nil, failed("getting the ConfigMap", s.prefix+name, err)
	}
	return &m, nil
}

// checkOwner refuses a ConfigMap that the run did not create, if the run knows its owner:
// whoever may create ConfigMaps in the namespace could have taken the name first.
func (s *configMaps) checkOwner(m *corev1.ConfigMap) error {
	for _, want := range s.meta.OwnerReferences {
		of := func(o metav1.OwnerReference) bool {
			return o.UID == want.UID && o.Kind == want.Kind && o.Name == want.Name
		}
		if !slices.ContainsFunc(m.OwnerReferences, of) {
			return fmt.Errorf("the %s %s (UID %s) does not own it, so another program created it: %w", want.Kind, want.Name, want.UID, ErrForeign)
		}
	}
	return nil
}
