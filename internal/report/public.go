package report

import (
	"fmt"

	"imagemirror/internal/reference"
	"imagemirror/internal/secret"
	"imagemirror/internal/stream"
	"imagemirror/internal/text"
)

// A Public says whether strangers can pull an image. If they are refused, the mapping has failed.
type Public struct {
	Answer string `json:"answer"`          // stream.Yes, No or Unknown
	Error  string `json:"error,omitempty"` // why it is not known
}

// publicOf returns what a stream says of one image, bounded and printable.
func publicOf(p *stream.Public) *Public {
	switch {
	case p == nil:
		return nil
	case p.Answer == stream.Yes || p.Answer == stream.No:
		return &Public{Answer: p.Answer}
	}
	known := &Public{Answer: stream.Unknown}
	if p.Error != nil {
		known.Error = text.Line(secret.Hide(p.Error.Message), maxMessage)
	}
	return known
}

// warnOfUnknown warns of images that strangers may not get, once for each registry.
func (r *Report) warnOfUnknown() {
	var first []*Result
	more := map[string]int{}
	for _, m := range r.Results {
		if m.Public == nil || m.Public.Answer != stream.Unknown {
			continue
		}
		if host := registryOf(m); more[host] == 0 {
			first = append(first, m)
		}
		more[registryOf(m)]++
	}
	for _, m := range first {
		line := fmt.Sprintf("%s: asking whether strangers can pull %s failed: %s", m.position(), m.Destination, m.Public.Error)
		if n := more[registryOf(m)] - 1; n > 0 {
			line += fmt.Sprintf("; the same of %s there", text.Count(n, "more image"))
		}
		r.warn(text.Line(line, maxMessage))
	}
}

// registryOf returns the registry of a result's destination, or "" if it has none.
func registryOf(m *Result) string {
	to, err := reference.Parse(m.Destination)
	if err != nil {
		return ""
	}
	return to.Registry
}
