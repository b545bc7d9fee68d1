package state

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// got returns an object of at most 64 MiB.
func got(t *testing.T, s Store, name string) (content []byte, err error) {
	err = s.Get(t.Context(), name, 64<<20, func(in io.Reader) (err error) {
		content, err = io.ReadAll(in)
		return err
	})
	return content, err
}

// testStore checks what both stores promise. open opens a run anew.
func testStore(t *testing.T, open func(t *testing.T, run string) Store) {
	ctx := t.Context()
	mustPut := func(t *testing.T, s Store, name string, content []byte) {
		t.Helper()
		if err := s.Put(ctx, name, literal(string(content))); err != nil {
			t.Fatal(err)
		}
	}
	wantContent := func(t *testing.T, s Store, name string, want []byte) {
		t.Helper()
		if got, err := got(t, s, name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s has %d bytes, %v; want %d", name, len(got), err, len(want))
		}
	}
	random := make([]byte, 3<<20) // more than one ConfigMap, since it cannot be compressed
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(random)

	for _, c := range []struct {
		name    string
		content []byte
	}{
		{"empty", nil},
		{"text", []byte("text\n")},
		{"zeros", make([]byte, 8<<20)},
		{"random", random},
	} {
		t.Run("what is put can be got/"+c.name, func(t *testing.T) {
			mustPut(t, open(t, "contents"), c.name, c.content)
			wantContent(t, open(t, "contents"), c.name, c.content)
		})
	}
	t.Run("an object is put once", func(t *testing.T) {
		s := open(t, "once")
		mustPut(t, s, "a", []byte("first"))
		for _, content := range []string{"first", "second"} {
			if err := open(t, "once").Put(ctx, "a", literal(string(content))); !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), "once") {
				t.Errorf("putting it again is %v, want that it exists, and of which run it is", err)
			}
		}
		wantContent(t, s, "a", []byte("first"))
	})
	t.Run("what could not be written is not there", func(t *testing.T) {
		broken := errors.New("broken")
		err := open(t, "broken").Put(ctx, "a", func(w io.Writer) error {
			_, err := w.Write(random)
			return errors.Join(err, broken)
		})
		if !errors.Is(err, broken) {
			t.Errorf("putting it is %v, want %v", err, broken)
		}
		if _, err := got(t, open(t, "broken"), "a"); !errors.Is(err, ErrNotThere) {
			t.Errorf("getting it is %v, want that it is not there", err)
		}
	})
	t.Run("objects have nothing of those before", func(t *testing.T) {
		s := open(t, "row")
		contents := map[string][]byte{"small": []byte("text"), "large": random, "empty": nil, "cut": random[:1<<20], "last": []byte("x")}
		for _, name := range []string{"large", "small", "broken", "cut", "empty", "last"} {
			if name == "broken" {
				broken := errors.New("broken")
				if err := s.Put(ctx, name, func(w io.Writer) error { _, _ = w.Write(random); return broken }); !errors.Is(err, broken) {
					t.Errorf("putting it is %v", err)
				}
				continue
			}
			mustPut(t, s, name, contents[name])
		}
		for name, content := range contents {
			wantContent(t, s, name, content)
		}
	})
	t.Run("objects that are put at once", func(t *testing.T) {
		s := open(t, "at-once")
		content := func(i int) []byte { return random[i<<10 : i<<10+i*300_000] }
		var all sync.WaitGroup
		for i := range 6 {
			all.Go(func() {
				if err := s.Put(ctx, string(rune('a'+i)), literal(string(content(i)))); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		for i := range 6 {
			wantContent(t, s, string(rune('a'+i)), content(i))
		}
	})
	t.Run("what was not put is not there", func(t *testing.T) {
		if _, err := got(t, open(t, "nothing"), "a"); !errors.Is(err, ErrNotThere) || !strings.Contains(err.Error(), "nothing") {
			t.Errorf("getting it is %v, want that it is not there, and of which run", err)
		}
	})
	t.Run("what is larger than the reader allows is refused", func(t *testing.T) {
		s := open(t, "large")
		mustPut(t, s, "a", make([]byte, 1000))
		never := func(io.Reader) error { t.Error("it is read all the same"); return nil }
		if err := s.Get(ctx, "a", 999, never); err == nil || errors.Is(err, ErrNotThere) || !strings.Contains(err.Error(), "at most 999 are allowed") {
			t.Errorf("getting it is %v, want its bound", err)
		}
		if _, err := got(t, s, "a"); err != nil {
			t.Error(err)
		}
	})
	t.Run("names and runs are apart", func(t *testing.T) {
		long := strings.Repeat("a-very-long-name.", 14) + "x"
		for i, run := range []string{"a", "a-b", "a.b", long + "y", long + "z"} {
			for j, name := range []string{"c", "c-d", "c.d", "report.json"} {
				mustPut(t, open(t, run), name, []byte{byte(i), byte(j)})
			}
		}
		wantContent(t, open(t, "a"), "c-d", []byte{0, 1})
		wantContent(t, open(t, "a-b"), "c", []byte{1, 0})
		wantContent(t, open(t, long+"y"), "report.json", []byte{3, 3})
		wantContent(t, open(t, long+"z"), "report.json", []byte{4, 3})
	})
	t.Run("names that are none", func(t *testing.T) {
		for _, name := range []string{"", ".", "../other/a", "A", "a/b", "a_b", "-a", "a.", strings.Repeat("a", 41)} {
			if err := open(t, "names").Put(ctx, name, literal("")); err == nil || errors.Is(err, ErrExists) {
				t.Errorf("putting %q is %v", name, err)
			}
			if _, err := got(t, open(t, "names"), name); err == nil || errors.Is(err, ErrNotThere) {
				t.Errorf("getting %q is %v", name, err)
			}
		}
	})
	t.Run("of several writers one wins", func(t *testing.T) {
		var won, lost atomic.Int32
		var winner atomic.Int64
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				switch err := open(t, "race").Put(ctx, "a", literal(strings.Repeat(string(rune(i)), 1000))); {
				case err == nil:
					won.Add(1)
					winner.Store(int64(i))
				case errors.Is(err, ErrExists):
					lost.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 || lost.Load() != 7 {
			t.Errorf("%d writers won and %d found it there, want 1 and 7", won.Load(), lost.Load())
		}
		wantContent(t, open(t, "race"), "a", bytes.Repeat([]byte{byte(winner.Load())}, 1000))
	})
}

func TestOpenRefuses(t *testing.T) {
	for _, c := range []struct {
		place Location
		says  string
	}{
		{Location{State: t.TempDir()}, `MIRROR_RUN is ""`},
		{Location{State: t.TempDir(), Run: "../x"}, `MIRROR_RUN is "../x"`},
		{Location{State: configMapsName, Run: "Run"}, `MIRROR_RUN is "Run"`},
		{Location{State: t.TempDir(), Run: "r"}, "MIRROR_ATTEMPTS is 0"},
		{Location{State: "/dev/null/x", Run: "r", Attempts: 1}, "MIRROR_STATE: mkdir /dev/null"},
	} {
		if _, err := c.place.Open(); err == nil || !strings.HasPrefix(err.Error(), c.says) {
			t.Errorf("%+v: %v, want an error that begins with %s", c.place, err, c.says)
		}
	}
	if run, err := (Location{}).Open(); run != nil || err != nil {
		t.Errorf("without a state: %v, %v", run, err)
	}
}
