package mapping

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// errLarge refuses a file of more than MaxFile bytes.
var errLarge = fmt.Errorf("the file has more than %d MiB: split it into several", MaxFile>>20)

// readText returns the text of a mapping file. A file is gzip'd if its name or its first
// bytes tell so: the key of a ConfigMap may lack the ending.
func readText(r io.Reader, file string) (string, error) {
	in := bufio.NewReader(bound(r))
	magic, _ := in.Peek(2)
	gzipped := string(magic) == "\x1f\x8b" || strings.HasSuffix(file, ".gz")
	decode := readAll
	if gzipped {
		decode = decompress
	}
	text, err := decode(in)
	switch {
	case err == nil:
		return strings.TrimPrefix(text, "\ufeff"), nil
	case errors.Is(err, errLarge):
		return "", err
	case gzipped && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)):
		return "", errors.New("the gzip data ends early: compress the file again")
	case gzipped:
		return "", fmt.Errorf("decompressing the file: %w: compress it again with gzip, or write it plain without .gz", err)
	}
	return "", fmt.Errorf("reading the file: %w", err)
}

func decompress(r io.Reader) (string, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return "", err
	}
	return readAll(bound(z))
}

func readAll(r io.Reader) (string, error) {
	var text strings.Builder
	_, err := io.Copy(&text, r)
	return text.String(), err
}

// A bounded reader reads r, and fails with errLarge if r has more than left bytes.
type bounded struct {
	r    io.Reader
	left int
}

func bound(r io.Reader) io.Reader { return &bounded{r: r, left: MaxFile} }

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p[:min(len(p), b.left+1)])
	b.left -= n
	if b.left < 0 {
		b.left = 0
		return 0, errLarge
	}
	return n, err
}

// errBinary refuses a file that is not made of lines.
var errBinary = errors.New("the file is not text: write it as UTF-8, plain or gzip'd")

// checkText fails with errBinary and the first line with something that is not text.
func checkText(text string) (line int, err error) {
	bad := strings.IndexByte(text, 0)
	if bad < 0 && utf8.ValidString(text) {
		return 0, nil
	}
	for i, r := range text {
		if i == bad || r == utf8.RuneError && !strings.HasPrefix(text[i:], "\ufffd") {
			bad = i
			break
		}
	}
	return 1 + strings.Count(text[:bad], "\n"), errBinary
}
