package manifest

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// packed is a manifest in little memory.
type packed struct {
	deflated []byte
	next     Ref // that a new digest was given when the manifest was packed
}

// packer packs manifests. It takes each digest out of the text, which would not get smaller than its 32 bytes, and
// compresses what is left. It has one compressor for all manifests, since that takes some 700 KB.
type packer struct {
	to     bytes.Buffer
	text   []byte
	writer *flate.Writer
	reader io.ReadCloser
}

// In a text without digests, mark and a number stand for what was taken out.
const (
	mark    = 0 // no valid JSON has it
	itself  = 0 // mark and itself: the byte mark
	unknown = 1 // mark and unknown: a digest that comes for the first time, and gets the next Ref
	// mark and n, above unknown: the digest n-unknown before the next Ref
)

func newPacker() packer {
	// A slower level makes a manifest some 100 bytes smaller and takes twice as long.
	w, err := flate.NewWriter(nil, flate.BestSpeed)
	if err != nil {
		panic(err) // the level is a constant
	}
	return packer{writer: w, reader: flate.NewReader(bytes.NewReader(nil))}
}

// pack packs a manifest, and numbers the digests in it.
func (p *packer) pack(content []byte, d *digests) packed {
	next := Ref(d.len())
	p.text = p.text[:0]
	for len(content) > 0 {
		at := bytes.Index(content, []byte(digestPrefix))
		if at < 0 {
			at = len(content)
		}
		p.literal(content[:at])
		content = content[at:]
		sum, ok := parseSum(content[:min(digestLength, len(content))])
		if ok {
			p.digest(sum, d)
			content = content[digestLength:]
		} else {
			n := min(len(digestPrefix), len(content))
			p.literal(content[:n])
			content = content[n:]
		}
	}
	p.to.Reset()
	p.writer.Reset(&p.to)
	_, err := p.writer.Write(p.text)
	if err = errors.Join(err, p.writer.Close()); err != nil {
		panic(err) // a bytes.Buffer takes everything
	}
	return packed{deflated: bytes.Clone(p.to.Bytes()), next: next}
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

// unpack returns a manifest as it was packed.
func (p *packer) unpack(from packed, size int, d *digests) []byte {
	p.to.Reset()
	err := p.reader.(flate.Resetter).Reset(bytes.NewReader(from.deflated), nil)
	if err == nil {
		_, err = p.to.ReadFrom(p.reader)
	}
	if err != nil {
		panic(fmt.Sprintf("manifest: unpacking: %v", err)) // pack wrote it
	}
	content, text, next := make([]byte, 0, size), p.to.Bytes(), from.next
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
