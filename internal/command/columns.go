package command

import (
	"io"
	"os"

	"golang.org/x/term"
)

// Columns returns the width of the terminal that w is, or 0 if it is none.
func Columns(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return columns
}
