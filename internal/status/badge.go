package status

import (
	"bytes"
	"html/template"
	"unicode/utf8"

	"imagemirror/internal/text"
)

// A badge is a label and a state, as READMEs show them. html/template escapes what is valid in
// XML, too, once it is printable.
type badge struct {
	Label, Text, Color string
	Left, Right        int // widths
}

var badgeTemplate = template.Must(template.New("badge").Parse(
	`<svg xmlns="http://www.w3.org/2000/svg" width="{{.Width}}" height="20" role="img" aria-label="{{.Label}}: {{.Text}}">` +
		`<title>{{.Label}}: {{.Text}}</title>` +
		`<clipPath id="r"><rect width="{{.Width}}" height="20" rx="3"/></clipPath>` +
		`<g clip-path="url(#r)"><rect width="{{.Left}}" height="20" fill="#444c56"/>` +
		`<rect x="{{.Left}}" width="{{.Right}}" height="20" fill="{{.Color}}"/></g>` +
		`<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">` +
		`<text x="7" y="14" textLength="{{.LeftText}}">{{.Label}}</text>` +
		`<text x="{{.RightAt}}" y="14" textLength="{{.RightText}}">{{.Text}}</text></g></svg>`))

// Sizes in a badge.
const (
	badgePad   = 7
	badgeGlyph = 7 // width of a character
	badgeLabel = 40
)

func (b badge) Width() int     { return b.Left + b.Right }
func (b badge) LeftText() int  { return b.Left - 2*badgePad }
func (b badge) RightAt() int   { return b.Left + badgePad }
func (b badge) RightText() int { return b.Right - 2*badgePad }

// badge returns the badge of a set as SVG.
func (s *set) badge() ([]byte, error) {
	b := badge{Label: text.Line(s.Set, badgeLabel), Text: string(s.state), Color: map[State]string{
		Good: "#1a7f37", Failing: "#b3202b", Overdue: "#8a5a00", Waiting: "#59636e",
	}[s.state]}
	if n := s.counts[Failing]; n > 0 {
		b.Text = withCommas(n) + " failing"
	}
	b.Left = 2*badgePad + badgeGlyph*utf8.RuneCountInString(b.Label)
	b.Right = 2*badgePad + badgeGlyph*utf8.RuneCountInString(b.Text)
	var out bytes.Buffer
	if err := badgeTemplate.Execute(&out, b); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
