package mirror

import (
	"context"
	"fmt"
	"io"

	"imagemirror/internal/digest"
	"imagemirror/internal/registry"
	"imagemirror/internal/retry"
)

// source reads a blob from where it is to be had. A transfer that breaks off is taken up where it broke, with
// a range request. The last bytes are held back until the whole is known to have the blob's digest, so that whoever
// reads to the end has the right content. Its errors are the source's fault.
type source struct {
	ctx      context.Context
	blob     *blob
	transfer Transfer
	broken   int   // transfers that broke off, since the last that brought much
	brokeAt  int64 // offset of the last that did
	policy   retry.Policy

	from   *registry.Download
	body   io.ReadCloser
	offset int64 // of the next byte that is read
	hashed int64 // bytes that the hash has seen
	hash   digest.Hash
	mixed  bool  // it came from more than one repository since its beginning
	err    error // the last error of Open or Read, other than io.EOF
}

func (e *engine) source(bl *blob, t Transfer) *source {
	return &source{ctx: e.work, blob: bl, transfer: t, policy: e.policy(), from: registry.NewDownload(bl.digest, bl.sources), hash: digest.NewHash()}
}

// seek makes the next Read begin at offset, which is not beyond what has been read. From an offset of 0 all is hashed anew;
// from another only what was not hashed before.
func (s *source) seek(offset int64) {
	s.err = nil
	if offset != s.offset {
		s.hangUp()
		s.transfer.Add(offset - s.offset)
		s.offset = offset
	}
	if offset == 0 {
		s.hashed, s.mixed = 0, false
		s.hash.Reset()
	}
}

// hangUp ends a request that is under way. The download keeps its place.
func (s *source) hangUp() {
	if s.body != nil {
		_ = s.body.Close()
		s.body = nil
	}
}

// Close ends what is under way, and gives the download's place back.
func (s *source) Close() {
	s.hangUp()
	s.from.Close()
}

// Open begins to read, so that the first Read finds bytes waiting.
func (s *source) Open() error {
	if s.body == nil && s.offset < s.blob.size {
		before := s.from.At()
		s.body, s.err = s.from.Open(s.ctx, s.offset)
		s.mixed = s.mixed || s.offset > 0 && s.from.At() != before
	}
	return s.err
}

func (s *source) Read(p []byte) (int, error) {
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
		n, err := s.body.Read(p)
		if n > 0 {
			return s.took(p[:n])
		}
		if err == nil {
			continue
		}
		s.hangUp()
		if s.offset-s.brokeAt >= resuming {
			s.broken = 0
		}
		s.brokeAt = s.offset
		if s.broken++; s.broken > 1 {
			s.from.Turn()
		}
		if s.broken >= s.policy.Tries {
			s.err = s.fault(fmt.Errorf("the blob %s breaks off, the last time at byte %d of %d: %w", s.blob.digest, s.offset, s.blob.size, err))
			return 0, s.err
		}
		if s.err = retry.Sleep(s.ctx, s.policy.Backoff(s.broken)); s.err != nil {
			return 0, s.err
		}
	}
}

// took hashes what was read and, with the last byte, checks the whole.
func (s *source) took(p []byte) (int, error) {
	if from := s.hashed - s.offset; from < int64(len(p)) {
		s.hash.Write(p[max(0, from):])
		s.hashed = s.offset + int64(len(p))
	}
	s.offset += int64(len(p))
	s.transfer.Add(int64(len(p)))
	if s.offset < s.blob.size {
		return len(p), nil
	}
	s.Close()
	if got := s.hash.Digest(); got != s.blob.digest {
		if !s.mixed { // or else whoever gave the end is asked for all of it
			s.from.Turn()
		}
		s.err = &corruptError{s.fault(fmt.Errorf("the blob %s was read, and its content has the digest %s", s.blob.digest, got))}
		return 0, s.err
	}
	return len(p), nil
}

// corruptError says that content came which is not what its digest says: it has to be read again from its beginning.
type corruptError struct{ error }

func (e *corruptError) Unwrap() error { return e.error }

func (s *source) fault(err error) error {
	return &registry.Error{Side: registry.Source, Name: s.from.At().Name(), Doing: "reading a blob in", Err: err}
}
