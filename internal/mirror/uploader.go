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
	src     *blobSource
	have    int64 // bytes that the open upload has already
	chunked bool  // a connection broke on the whole, so the blob goes in chunks
}

// attempt sends what the registry lacks of the blob. Between attempts the download holds no slot.
func (u *uploader) attempt() error {
	err := u.try()
	if err != nil {
		u.src.Close()
	}
	return err
}

func (u *uploader) try() error {
	bl := u.src.blob
	u.src.seek(u.have)
	// The source is asked first, so that the destination's slot does not wait for its answer.
	if err := u.src.Open(); err != nil {
		return err
	}
	u.src.from.Feeds()
	if u.have > 0 || u.chunked || u.wantsChunks(bl) {
		return u.sendChunks()
	}
	err := u.blame(u.put(u.work, bl, u.src.span(bl.size)))
	u.chunked = breaksOnWhole(bl, err)
	return err
}

// breaksOnWhole reports whether a large blob should go in chunks after a connection broke. The
// registry may have refused the body: a client that sends much does not always get to see the
// answer to that.
func breaksOnWhole(bl *blob, err error) bool {
	var r *regerror.Error
	return bl.size > chunk && errors.As(err, &r) && r.Side == reference.Destination && r.Status == 0
}

// sendChunks sends what the registry lacks in chunks, and completes the upload.
func (u *uploader) sendChunks() error {
	size := u.src.blob.size
	part := int64(chunk)
	if _, least := u.up.Chunks(); least > part {
		part = least
	}
	for at := u.have; at < size; {
		n := min(part, size-at)
		if err := u.up.Patch(u.work, u.src.span(n), at, n); err != nil {
			return u.blame(err)
		}
		at += n
	}
	return u.up.Put(u.work, u.src.blob.digest, http.NoBody, 0)
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
	if u.src.blob.size >= resuming && !errors.As(u.err, &corrupt) && retry.Sleep(u.work, noticeDelay) == nil {
		if n, err := u.up.Offset(u.work); err == nil && n <= u.src.offset {
			u.have = n
		}
	}
	return u.have > 0 || u.reopen(u.sink)
}

// noticeDelay is how long a registry gets to see that a connection is gone, and to store what it
// got from it.
const noticeDelay = 500 * time.Millisecond
