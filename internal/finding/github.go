package finding

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"imagemirror/internal/text"
)

// GitHub's runner decodes these, and takes a line end, or in a property a colon or a comma, for the end of what it reads:
// https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts
var (
	data     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

// github writes annotations. Errors come first, since GitHub shows the first ten of a step only.
func (r *Report) github(w io.Writer) error {
	out := bufio.NewWriter(w)
	for _, warnings := range []bool{false, true} {
		for _, f := range r.Findings {
			if f.Warning == warnings {
				fmt.Fprintf(out, "::%s %stitle=%s::%s\n", f.level(), place(f), property.Replace(f.Rule.ID), data.Replace(text.Printable(f.Message)))
			}
		}
	}
	return out.Flush()
}

func place(f Finding) string {
	if f.File == "" {
		return ""
	}
	return fmt.Sprintf("file=%s,line=%d,", property.Replace(relative(f.File)), max(f.Line, 1))
}
