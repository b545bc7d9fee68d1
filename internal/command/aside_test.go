package command

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"testing"
	"time"
)

// A pipe holds 64 KiB. Writes beyond that block until someone reads, and the Aside must not.
func TestAsideNeverBlocks(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	a := NewAside(w)
	var want bytes.Buffer
	for i := range 10_000 {
		fmt.Fprintf(io.MultiWriter(a, &want), "line %d of a log that nobody reads yet\n", i)
	}
	a.Flush(time.Millisecond)
	got := make(chan []byte)
	go func() {
		b, _ := io.ReadAll(r)
		got <- b
	}()
	a.Flush(time.Hour)
	w.Close()
	if b := <-got; !bytes.Equal(b, want.Bytes()) {
		t.Errorf("%d bytes came, want %d", len(b), want.Len())
	}
}

func TestAsideKeepsABoundedAmount(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	a := NewAside(w)
	block := make([]byte, 1<<20)
	for range 100 {
		if n, err := a.Write(block); n != len(block) || err != nil {
			t.Fatal(n, err)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.kept) > maxAside {
		t.Errorf("%d bytes are kept, want at most %d", len(a.kept), maxAside)
	}
}
