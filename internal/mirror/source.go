package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/time/rate"

	"imagemirror/internal/digest"
	"imagemirror/internal/fault"
	"imagemirror/internal/manifest"
	"imagemirror/internal/reference"
	"imagemirror/internal/regerror"
	"imagemirror/internal/registry"
	"imagemirror/internal/retry"
	"imagemirror/internal/waits"
)

// A blobSource reads a blob from the repositories that have it. It resumes a transfer that breaks
// off with a range request. It holds the last bytes back until the content is known to have the
// blob's digest, so whoever reads to the end has the right content. Its errors are the source's
// fault.
type blobSource struct {
	ctx      context.Context
	blob     *blob
	turn     *turn
	transfer Transfer
	broken   int   // transfers that broke off since the last one that moved at least resuming bytes
	brokeAt  int64 // offset at which the last one broke off
	slow     int   // transfers that were too slow
	policy   retry.Policy
	patience time.Duration // how long the source may stay silent

	bandwidth *rate.Limiter // of all transfers, or nil

	from   *registry.Download
	body   io.ReadCloser
	offset int64 // of the next byte to read
	hashed int64 // bytes that the hash has seen
	hash   digest.Hash
	mixed  bool  // the content came from more than one repository since its beginning
	err    error // the last error of Open or Read, other than io.EOF
}

func (e *engine) newSource(bl *blob, in *turn, t Transfer) *blobSource {
	s := &blobSource{
		ctx: waits.Watch(in.ctx, t), blob: bl, turn: in, transfer: t, policy: e.retryPolicy(), patience: e.Client.Patience(),
		from: registry.NewDownload(bl.digest, bl.size, bl.sources), hash: digest.NewHash(), bandwidth: e.bandwidth,
	}
	in.moved.Store(0)
	in.from.Store(s)
	return s
}

// seek makes the next Read begin at offset, which must not be beyond what has been read. From
// offset 0 everything is hashed again; from another offset, only what was not hashed before.
func (s *blobSource) seek(offset int64) {
	s.err = nil
	if offset != s.offset {
		s.hangUp()
		s.transfer.Add(offset - s.offset)
		s.turn.moved.Store(offset)
		s.offset = offset
	}
	if offset == 0 {
		s.hashed, s.mixed = 0, false
		s.hash.Reset()
	}
}

// hangUp ends the request under way. The download keeps its slot.
func (s *blobSource) hangUp() {
	if s.body != nil {
		_ = s.body.Close()
		s.body = nil
	}
}

// Close ends the request under way and releases the download's slot. Reading may go on later. Those
// that wait for the slot are not to choose the source if it was slow.
func (s *blobSource) Close() {
	s.hangUp()
	if s.from.Holds() && context.Cause(s.ctx) == errLate {
		s.from.Stalled()
	}
	s.from.Close()
}

// Open begins to read, so that the first Read finds bytes waiting.
func (s *blobSource) Open() error {
	if s.body == nil && s.offset < s.blob.size {
		defer s.turn.asks()()
		before := s.from.At()
		s.body, s.err = s.from.Open(s.ctx, s.offset)
		s.mixed = s.mixed || s.offset > 0 && s.from.At() != before
	}
	return s.err
}

// Read returns io.EOF only once the whole content has the blob's digest.
func (s *blobSource) Read(p []byte) (int, error) {
	left := s.blob.size - s.offset
	if left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > left {
		p = p[:left]
	}
	for {
		if err := s.Open(); err != nil {
			return 0, err
		}
		n, err := s.receive(p)
		if n > 0 {
			if s.err = s.keepTo(s.ctx, n); s.err != nil {
				return 0, s.err
			}
			return s.took(p[:n])
		}
		if err == nil {
			continue
		}
		s.hangUp()
		if s.err = s.early(err); s.err != nil {
			return 0, s.err
		}
		if s.err = s.brokeOff(err); s.err != nil {
			return 0, s.err
		}
		if s.err = s.pause(); s.err != nil {
			return 0, s.err
		}
	}
}

// receive reads what the source sends next.
func (s *blobSource) receive(p []byte) (int, error) {
	defer s.turn.asks()()
	defer waits.Begin(s.ctx, waits.Wait{Kind: waits.Bytes, Host: s.from.Registry(), Limit: s.patience})()
	return s.body.Read(p)
}

// pause waits before the next transfer.
func (s *blobSource) pause() error {
	defer s.turn.asks()()
	backoff := s.policy.Backoff(s.broken)
	defer waits.Begin(s.ctx, waits.Wait{Kind: waits.Again, Host: s.from.Registry(), Limit: backoff})()
	return retry.Sleep(s.ctx, backoff)
}

// brokeOff notes a transfer that broke off because of err. It returns the error of the read if that
// was the last attempt. The next one is at another repository, if there is one, after a second
// break and after any stall.
func (s *blobSource) brokeOff(err error) error {
	if s.offset-s.brokeAt >= resuming {
		s.broken = 0
	}
	s.brokeAt = s.offset
	s.broken++
	if regerror.IsSlow(err) {
		s.slow++
	}
	switch {
	case errors.Is(err, regerror.ErrStalled):
		s.from.Stalled()
	case s.broken > 1:
		s.from.Turn()
	}
	if s.broken < s.policy.Tries && s.slow < registry.SlowTries*len(s.blob.sources) && !regerror.IsPermanent(err) {
		return nil
	}
	return s.fault(fmt.Errorf("the transfer broke off, the last time at byte %d of %d: %w", s.offset, s.blob.size, err))
}

// early returns the error of content that ended with err before the blob's size, unless another try
// may bring the rest.
func (s *blobSource) early(err error) error {
	switch {
	case s.hashed == s.offset && s.hash.Digest() == s.blob.digest:
		return s.fault(manifest.WrongSize(s.blob.size, fmt.Sprint(s.offset)))
	case err == io.EOF && s.from.Recode():
		return &corruptError{s.fault(fault.Image.Mark(fmt.Errorf("the content ends at byte %d of %d", s.offset, s.blob.size)))}
	}
	return nil
}

// A byteRange is part of a blob as the body of a request. It is a registry.Rewinder.
type byteRange struct {
	*blobSource
	start, length int64
	left          int64 // bytes that were not read yet
}

// span returns the next length bytes of the blob.
func (s *blobSource) span(length int64) *byteRange {
	return &byteRange{blobSource: s, start: s.offset, length: length, left: length}
}

func (p *byteRange) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	n, err := p.blobSource.Read(b[:min(int64(len(b)), p.left)])
	p.left -= int64(n)
	return n, err
}

// Rewind makes the next Read begin with the span again. It must not wait for a slot: the request
// that it is for has one.
func (p *byteRange) Rewind() error {
	p.seek(p.start)
	p.left = p.length
	p.from.Feeds()
	return p.Open()
}

// took hashes what was read and, with the last byte, checks the digest of the whole.
func (s *blobSource) took(p []byte) (int, error) {
	if from := s.hashed - s.offset; from < int64(len(p)) {
		s.hash.Write(p[max(0, from):])
		s.hashed = s.offset + int64(len(p))
	}
	s.offset += int64(len(p))
	s.transfer.Add(int64(len(p)))
	s.turn.moved.Store(s.offset)
	if s.offset < s.blob.size {
		return len(p), nil
	}
	got := s.hash.Digest()
	longer := got != s.blob.digest && s.longer()
	s.Close()
	if got != s.blob.digest {
		if !s.from.Recode() && !s.mixed { // otherwise the repository that sent the end is asked for the whole
			s.from.Turn()
		}
		err := fault.Image.Mark(fmt.Errorf("the content has the digest %s", got))
		if longer {
			err = manifest.WrongSize(s.blob.size, "more")
		}
		s.err = &corruptError{s.fault(err)}
		return 0, s.err
	}
	return len(p), nil
}

// longer reports whether the source sends more than the size of the blob.
func (s *blobSource) longer() bool {
	n, _ := s.body.Read(make([]byte, 1))
	return n > 0
}

// A corruptError reports content that does not have its digest. It has to be read again from its
// beginning.
type corruptError struct{ error }

func (e *corruptError) Unwrap() error { return e.error }

func (s *blobSource) fault(err error) error {
	host, page := s.from.Answered()
	return &regerror.Error{Side: reference.Source, Name: s.from.At().Name(), Doing: "reading blob", Ref: s.blob.digest, Host: host, Page: page, Err: err}
}
