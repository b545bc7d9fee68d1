package finding

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// GitHub's runner ends a message at a line end, and a property also at a colon or a comma. It
// decodes these escapes:
// https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts
var (
	data     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

// github writes annotations. Errors come first: GitHub shows only the first ten of a step.
func (r *Document) github(w io.Writer) error {
	out := bufio.NewWriter(w)
	for _, warnings := range []bool{false, true} {
		for _, f := range r.Findings {
			if f.Warning == warnings {
				fmt.Fprintf(out, "::%s %stitle=%s::%s\n", f.level(), position(f), property.Replace(f.Rule.ID), data.Replace(f.message()))
			}
		}
	}
	return out.Flush()
}

func position(f Finding) string {
	if f.File == "" {
		return ""
	}
	return fmt.Sprintf("file=%s,line=%d,", property.Replace(relative(f.File)), max(f.Line, 1))
}
