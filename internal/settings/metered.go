package settings

import (
	"time"

	"imagemirror/internal/quantity"
	"imagemirror/internal/strictyaml"
	"imagemirror/internal/window"
)

// Bounds and defaults of what a run leaves for later.
const (
	DefaultRecheck     = 7 * 24 * time.Hour
	DefaultWindowAbove = 1 << 30

	maxReserve = 1_000_000
	maxRecheck = 366 * 24 * time.Hour
)

// A LargeWindow is when images above a size are copied. The zero value is always.
type LargeWindow struct {
	Hours window.Window `yaml:"hours"`
	Above int64         `yaml:"above"` // bytes of the image from which it waits for the window
}

// Waits reports whether an image of so many bytes waits for the window at a time.
func (w LargeWindow) Waits(bytes int64, now time.Time) bool {
	return !w.Hours.Contains(now) && bytes > w.Above
}

// window reads a window: a mapping, or its hours alone.
func (s *Settings) window(v strictyaml.Value) {
	if !v.IsMapping() {
		s.hours(v)
		return
	}
	written := false
	v.Keys(
		strictyaml.Key{Name: "hours", Read: func(v strictyaml.Value) { written = true; s.hours(v) }},
		strictyaml.Key{Name: "above", Read: func(v strictyaml.Value) { s.Window.Above = bytes(v) }},
	)
	if !written {
		v.Refuse("window.hours is missing: write it, such as 22:00-06:00 Europe/Prague")
	}
}

func (s *Settings) hours(v strictyaml.Value) {
	text, ok := v.Text()
	if !ok {
		return
	}
	w, err := window.Parse(text)
	if err != nil {
		v.Refuse("window: %w", err)
		return
	}
	s.Window.Hours = w
}

// bytes returns a number of bytes in the notation of Kubernetes, or 0 if the value is refused.
func bytes(v strictyaml.Value) int64 {
	text, ok := v.Word()
	if !ok {
		return 0
	}
	var b quantity.Bytes
	if err := b.Set(text); err != nil {
		v.Refuse("%w", err)
	}
	return int64(b)
}
