package state

import (
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

// An objectIndex describes an object that is in ConfigMaps.
type objectIndex struct {
	chunks int
	size   int64  // of the content, in bytes
	digest string // SHA-256 of the content, in hexadecimal digits
}

// readIndex reads the index of an object whose content may have limit bytes.
func readIndex(m *corev1.ConfigMap, limit int64) (objectIndex, error) {
	var none objectIndex
	chunks, err := strconv.Atoi(m.Data[countKey])
	size, bad := strconv.ParseInt(m.Data[sizeKey], 10, 64)
	if err := errors.Join(err, bad); err != nil || chunks < 1 || chunks > maxChunks || size < 0 {
		return none, fmt.Errorf("the index has %.40q chunks and the size %.40q", m.Data[countKey], m.Data[sizeKey])
	}
	if size > limit {
		return none, fmt.Errorf("the index has the size %d, and at most %d are allowed", size, limit)
	}
	if len(m.Data) != 3 || len(m.BinaryData) > 0 {
		return none, fmt.Errorf("the index has other keys than %s, %s and %s", countKey, sizeKey, digestKey)
	}
	return objectIndex{chunks, size, m.Data[digestKey]}, nil
}

// unpack returns a reader of the content that the chunks have. It holds one chunk in memory.
func (x objectIndex) unpack(chunks *chunkReader) (*boundedContent, error) {
	z, err := gzip.NewReader(chunks)
	if err != nil {
		return nil, err
	}
	return &boundedContent{index: x, in: z, hash: sha256.New()}, nil
}

// A chunkReader reads the compressed content, chunk by chunk.
type chunkReader struct {
	count, next int
	get         func(int) (*corev1.ConfigMap, error)
	chunk       []byte
	err         error
}

func (c *chunkReader) Read(p []byte) (int, error) {
	for len(c.chunk) == 0 && c.err == nil {
		if c.next == c.count {
			return 0, io.EOF
		}
		c.chunk, c.err = c.fetch()
	}
	if c.err != nil {
		return 0, c.err
	}
	n := copy(p, c.chunk)
	c.chunk = c.chunk[n:]
	return n, nil
}

func (c *chunkReader) fetch() ([]byte, error) {
	m, err := c.get(c.next)
	if err == nil {
		part, there := m.BinaryData[chunkKey]
		if !there || len(part) > chunkSize || len(m.BinaryData)+len(m.Data) > 1 {
			return nil, fmt.Errorf("chunk %d has other keys than %s, or more than %d bytes", c.next, chunkKey, chunkSize)
		}
		c.next++
		return part, nil
	}
	if errors.Is(err, ErrNotThere) {
		// A missing chunk means that the object is damaged, so this is not ErrNotThere.
		err = errors.New(err.Error())
	}
	return nil, err
}

// A boundedContent reads the content of an object, but not more than its index announces.
type boundedContent struct {
	index objectIndex
	in    io.Reader
	hash  hash.Hash
	size  int64 // that was read
	err   error
}

func (c *boundedContent) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	// One more byte shows that the content is larger.
	n, err := c.in.Read(p[:min(int64(len(p)), c.index.size-c.size+1)])
	c.size += int64(n)
	c.hash.Write(p[:n])
	if c.size > c.index.size {
		n, err = 0, c.mismatch()
	}
	c.err = err
	return n, err
}

// check reads what is left, and fails if the content is not what the index describes.
func (c *boundedContent) check() error {
	if _, err := io.Copy(io.Discard, c); err != nil {
		return err
	}
	if c.size != c.index.size || fmt.Sprintf("%x", c.hash.Sum(nil)) != c.index.digest {
		return c.mismatch()
	}
	return nil
}

func (c *boundedContent) mismatch() error {
	return fmt.Errorf("the content has %d bytes or more and sha256 %x, but the index has %d and %.64s", c.size, c.hash.Sum(nil), c.index.size, c.index.digest)
}
