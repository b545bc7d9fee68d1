package registry

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// However many lists are very long, a short one has room.
func TestLongListsLeaveRoomForOthers(t *testing.T) {
	var r tagRoom
	for range 20 {
		for has := int64(0); r.take(has, 1<<20) == nil; has += 1 << 20 {
		}
	}
	if r.taken > maxListed {
		t.Errorf("%d bytes are taken, of %d", r.taken, maxListed)
	}
	if err := r.take(0, smallList); err != nil {
		t.Error(err)
	}
	r.release(r.taken)
	if err := r.take(0, maxListed/2); err != nil {
		t.Error(err)
	}
	if err := r.take(maxListed/2, 1); !errors.Is(err, tagRoomError{}) {
		t.Errorf("more than a half is %v", err)
	}
}

// A list that is read, or refused, takes no room any more.
func TestListsOfTagsReturnTheirRoom(t *testing.T) {
	for _, c := range []struct{ name, last string }{
		{"whole", `"v1"]}`}, {"not JSON", `"v1"}`}, {"another type", `1]}`}, {"cut", `"v`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b strings.Builder
			for i := range 50_000 {
				fmt.Fprintf(&b, `"v1.%06d",`, i)
			}
			host, _ := pages(t, func(w io.Writer) { fmt.Fprint(w, `{"tags":[`, b.String(), c.last) })
			r := source(t, host)
			_, err := r.Tags(t.Context())
			if err == nil {
				t.Error("the list has no end, and was read")
			}
			if room := &r.endpoints[0].host.client.tagRoom; room.taken != 0 {
				t.Errorf("%d bytes are taken after %v", room.taken, err)
			}
		})
	}
}
