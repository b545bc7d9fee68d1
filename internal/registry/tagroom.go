package registry

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"imagemirror/internal/fault"
)

// Bounds on the memory of the lists of tags that a client reads at once, in bytes.
const (
	maxListed  = 128 << 20
	smallList  = 256 << 10 // what any list may take
	tagSize    = 48        // of a tag besides its characters
	parsedPage = 4         // memory of a page while it is parsed, in sizes of the page
)

// A tagRoom divides maxListed among lists of tags, so that a few that are very long leave room for
// all others: a list gets at most half of what is left, or smallList.
type tagRoom struct {
	mu    sync.Mutex
	taken int64
}

// take takes more bytes for a list that has some already. It fails if the list may not have them.
func (r *tagRoom) take(has, more int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if has+more > max((maxListed-r.taken+has)/2, smallList) {
		return tagRoomError{}
	}
	r.taken += more
	return nil
}

func (r *tagRoom) release(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken -= n
}

// A tagRoomError is the error of a list that is too long to be read beside the others.
type tagRoomError struct{}

func (tagRoomError) Error() string {
	return fmt.Sprintf("lists of tags that are read at the same time take %d MiB at most, and this one may take half of what others leave", maxListed>>20)
}

// Advice returns what a person can do about the error.
func (tagRoomError) Advice() string {
	return "mirror the repository in a run of its own, or delete tags that nobody needs"
}

// Kind returns the kind of failure that the error is the cause of.
func (tagRoomError) Kind() fault.Kind { return fault.TooLarge }

// hold takes memory for the list, until it is read.
func (l *tagList) hold(n int64) error {
	if err := l.host.client.tagRoom.take(l.holds, n); err != nil {
		return err
	}
	l.holds += n
	return nil
}

// readBody reads a page of at most limit bytes, or a byte more. It holds memory for a large one,
// which the caller releases once it is parsed.
func (l *tagList) readBody(body io.Reader, limit int) ([]byte, error) {
	var b bytes.Buffer
	for b.Len() <= limit {
		if b.Len() >= smallList && b.Len() < limit {
			if err := l.hold(parsedPage * smallList); err != nil {
				return nil, err
			}
		}
		n, err := io.Copy(&b, io.LimitReader(body, int64(min(smallList, limit+1-b.Len()))))
		if err != nil || n == 0 {
			return b.Bytes(), err
		}
	}
	return b.Bytes(), nil
}
