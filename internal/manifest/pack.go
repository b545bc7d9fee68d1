package manifest

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"imagemirror/internal/digest"
)

// A packed is the compressed form of a manifest.
type packed struct {
	text []byte
	next Ref // the next free Ref when the manifest was packed
}

// A packer compresses manifests. It first takes the digests out of the text: they are random,
// so no compressor makes them smaller than 32 bytes. A compressor takes 700 KB, so there is
// one for all.
type packer struct {
	text, to []byte
	encoder  *zstd.Encoder
	decoder  *zstd.Decoder
}

// dictionary has the text that most manifests share, so that packed manifests refer to it instead
// of holding it.
//
//go:embed dictionary.txt
var dictionary []byte

// dictionaryID identifies the dictionary in each compressed text.
const dictionaryID = 1

// In the text that is compressed, mark and a number replace what was taken out.
const (
	mark    = 0 // never part of valid JSON
	itself  = 0 // mark, itself: the byte mark
	unknown = 1 // mark, unknown: a digest that is new, and gets the next Ref
	// mark, n > unknown: the digest n-unknown before the next Ref
)

func newPacker() packer {
	// Slower levels make a manifest 30 bytes smaller and take twice as long.
	e, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true),
		zstd.WithWindowSize(32<<10), zstd.WithEncoderCRC(false), zstd.WithEncoderDictRaw(dictionaryID, dictionary))
	d, bad := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderDictRaw(dictionaryID, dictionary))
	if err = errors.Join(err, bad); err != nil {
		panic(err) // the options are constants
	}
	return packer{encoder: e, decoder: d}
}

// pack compresses a manifest and numbers its digests. The result is valid until the next call.
func (p *packer) pack(content []byte, d *digests) packed {
	next := Ref(d.len())
	p.text = p.text[:0]
	for len(content) > 0 {
		at := bytes.Index(content, []byte(digest.Prefix))
		if at < 0 {
			at = len(content)
		}
		p.literal(content[:at])
		content = content[at:]
		sum, ok := digest.Parse(content[:min(digest.Length, len(content))])
		if ok {
			p.digest(sum, d)
			content = content[digest.Length:]
		} else {
			n := min(len(digest.Prefix), len(content))
			p.literal(content[:n])
			content = content[n:]
		}
	}
	p.to = p.encoder.EncodeAll(p.text, p.to[:0])
	return packed{text: p.to, next: next}
}

func (p *packer) literal(text []byte) {
	for {
		at := bytes.IndexByte(text, mark)
		if at < 0 {
			p.text = append(p.text, text...)
			return
		}
		p.text = append(p.text, text[:at]...)
		p.text = append(p.text, mark, itself)
		text = text[at+1:]
	}
}

func (p *packer) digest(sum [32]byte, d *digests) {
	next := d.len()
	code := next - int(d.addSum(sum)) + unknown
	p.text = append(p.text, mark)
	p.text = binary.AppendUvarint(p.text, uint64(code))
}

// unpack returns a manifest of size bytes as it was before pack.
func (p *packer) unpack(from packed, size int, d *digests) []byte {
	text, err := p.decoder.DecodeAll(from.text, p.to[:0])
	if err != nil {
		panic(fmt.Sprintf("manifest: unpacking: %v", err)) // pack wrote it
	}
	p.to = text
	content, next := make([]byte, 0, size), from.next
	for {
		at := bytes.IndexByte(text, mark)
		if at < 0 {
			return append(content, text...)
		}
		content = append(content, text[:at]...)
		code, n := binary.Uvarint(text[at+1:])
		text = text[at+1+n:]
		switch code {
		case itself:
			content = append(content, mark)
		case unknown:
			content = d.append(content, next)
			next++
		default:
			content = d.append(content, next-Ref(code-unknown))
		}
	}
}
