package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// WriteJSON writes one cause and one result a line, so that grep finds whole ones and no report is
// in memory twice.
func (r *Report) WriteJSON(w io.Writer) error {
	out := jsonWriter{w: w}
	out.print("{\n\"run\": ")
	out.value(r.Run)
	out.print(",\n\"summary\": ")
	out.value(r.Summary)
	out.print(",\n\"registries\": [")
	for i, t := range r.Registries {
		out.item(i, t)
	}
	out.print("\n],\n\"causes\": [")
	for i, c := range r.Causes {
		out.item(i, c)
	}
	r.writeSelections(&out)
	out.print("\n],\n\"results\": [")
	for i, m := range r.Results {
		out.item(i, m)
	}
	out.print("\n]\n}\n")
	return out.err
}

// writeSelections writes the selections after another list, if there are any.
func (r *Report) writeSelections(out *jsonWriter) {
	for i, s := range r.Selections {
		if i == 0 {
			out.print("\n],\n\"selections\": [")
		}
		out.item(i, s)
	}
}

// A jsonWriter writes JSON in pieces. It keeps its first error.
type jsonWriter struct {
	w    io.Writer
	line bytes.Buffer
	err  error
}

func (o *jsonWriter) print(s string) {
	if o.err == nil {
		_, o.err = fmt.Fprint(o.w, s)
	}
}

// item writes the item of a list that has the index, on a line of its own.
func (o *jsonWriter) item(index int, v any) {
	if index > 0 {
		o.print(",")
	}
	o.print("\n")
	o.value(v)
}

func (o *jsonWriter) value(v any) {
	o.line.Reset()
	enc := json.NewEncoder(&o.line)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil && o.err == nil {
		o.err = err
	}
	o.print(string(bytes.TrimRight(o.line.Bytes(), "\n")))
}
