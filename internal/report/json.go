package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// WriteJSON writes one result a line, so that grep finds whole ones and no report is in memory
// twice.
func (r *Report) WriteJSON(w io.Writer) error {
	summary, err := json.Marshal(r.Summary)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "{\n\"summary\": %s,\n\"results\": [", summary)
	var line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false)
	for i, m := range r.Results {
		line.Reset()
		if err := enc.Encode(m); err != nil {
			return err
		}
		if i > 0 {
			fmt.Fprint(w, ",")
		}
		fmt.Fprintf(w, "\n%s", bytes.TrimRight(line.Bytes(), "\n"))
	}
	_, err = fmt.Fprint(w, "\n]\n}\n")
	return err
}
