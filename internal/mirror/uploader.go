package mirror

import (
	"errors"
	"net/http"
	"time"

	"imagemirror/internal/reference"
	"imagemirror/internal/regerror"
	"imagemirror/internal/retry"
)

// An uploader streams one blob to one sink, in as many attempts as it takes.
type uploader struct {
	*engine
	*sink
	src   *blobSource
	have  int64 // bytes that the open upload has already
	most  int64 // bytes of one request, since a connection broke on more; 0 if none did
	split bool  // the last attempt sent chunks
	inOne bool  // the registry refused to join chunks
}

// attempt sends what the registry lacks of the blob. Between attempts the download holds no slot.
func (u *uploader) attempt() error {
	err := u.try()
	if err != nil {
		u.src.Close()
	}
	return err
}

// try sends smaller chunks if a request is refused for its size, and all in one request if the
// registry does not join chunks.
func (u *uploader) try() error {
	for {
		err := u.send()
		inOne := u.split && u.src.err == nil && u.up.Joined(err)
		switch {
		case tooLarge(err):
		case inOne && !u.inOne:
			u.inOne, u.have = true, 0
			u.src.Close()
			if !u.reopen(u.sink) {
				return u.err
			}
		default:
			return err
		}
	}
}

// send sends what the registry lacks of the blob, from u.have on.
func (u *uploader) send() error {
	bl := u.src.blob
	u.src.seek(u.have)
	// The source is asked first, so that the destination's slot does not wait for its answer.
	if err := u.src.Open(); err != nil {
		return err
	}
	u.src.from.Feeds()
	size := bl.size
	if u.most > 0 && !u.inOne {
		size = min(size, u.most)
	}
	if u.have > 0 {
		size = min(size, chunk)
	}
	size = u.up.Chunk(size)
	u.split = u.have > 0 || size < bl.size
	err := u.blame(u.sendBy(size))
	u.brokeOn(size, err)
	return err
}

// sendBy sends what the registry lacks in requests of up to size bytes.
func (u *uploader) sendBy(size int64) error {
	bl := u.src.blob
	if !u.split {
		return u.up.Put(u.ctx, bl.digest, u.src.span(bl.size), bl.size)
	}
	for u.have < bl.size {
		n := min(size, bl.size-u.have)
		if err := u.up.Patch(u.ctx, u.src.span(n), u.have, n); err != nil {
			return err
		}
		u.have += n
	}
	return u.up.Put(u.ctx, bl.digest, http.NoBody, 0)
}

// brokeOn makes requests smaller after a connection broke on one of so many bytes. The registry may
// have refused the body: a client that sends much does not always get to see the answer to that.
func (u *uploader) brokeOn(size int64, err error) {
	var r *regerror.Error
	if !errors.As(err, &r) || r.Side != reference.Destination || r.Status != 0 {
		return
	}
	if size > chunk {
		u.most = chunk
	} else if u.split {
		u.most = max(size/2, leastChunk)
	}
}

// blame returns the source's error if a request to the destination failed because the source had
// nothing more to give.
func (u *uploader) blame(err error) error {
	if err == nil || u.src.err == nil {
		return err
	}
	return u.src.err
}

// resume continues an upload that broke off if the registry has enough of it, and otherwise begins
// another.
func (u *uploader) resume() bool {
	u.have = 0
	var corrupt *corruptError
	if u.src.blob.size >= resuming && u.up != nil && u.up.Resumes() && !u.inOne && !errors.As(u.err, &corrupt) && retry.Sleep(u.ctx, noticeDelay) == nil {
		if n, err := u.up.Offset(u.ctx); err == nil && n <= u.src.offset {
			u.have = n
		}
	}
	return u.have > 0 || u.reopen(u.sink)
}

// noticeDelay is how long a registry gets to see that a connection is gone, and to store what it
// got from it.
const noticeDelay = 500 * time.Millisecond
