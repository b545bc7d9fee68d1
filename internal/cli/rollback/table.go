package rollback

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"imagemirror/internal/report"
	"imagemirror/internal/rollback"
	"imagemirror/internal/stream"
	"imagemirror/internal/text"
)

// maxCell bounds the texts of the table, in characters.
const maxCell = 400

// printTags writes a line for each tag. Without a report, nothing was moved.
func printTags(w io.Writer, back *rollback.Rollback, r *report.Report) error {
	results := map[string]*report.Result{}
	if r != nil {
		for _, one := range r.Results {
			results[one.Destination] = one
		}
	}
	holds := back.Holds()
	var b strings.Builder
	out := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	fmt.Fprintln(out, "DESTINATION\tFROM\tTO\tOUTCOME")
	for _, t := range back.Tags {
		to := cmp.Or(text.ShortDigest(t.To), "-")
		outcome := ""
		switch result := results[t.Name]; {
		case t.Err != nil:
			outcome = "cannot go back: " + t.Err.Error()
		case t.Left != "":
			outcome = "stays: " + t.Left
		case result != nil && result.Status == stream.Failed:
			outcome = "failed: " + result.Error
		case !t.MustMove():
			outcome = "is there already: " + holds[t.Name].String()
		case result != nil:
			outcome = "moved: " + holds[t.Name].String()
		default:
			outcome = "would move: " + holds[t.Name].String()
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\n", text.Line(t.Name, maxCell), cmp.Or(text.ShortDigest(cmp.Or(t.From, t.Digest)), "-"), to, text.Line(outcome, maxCell))
	}
	if err := out.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, text.CI(b.String()))
	return err
}
