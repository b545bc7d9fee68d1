package command

import (
	"io"
	"os"

	"golang.org/x/term"
)

// Columns returns the width of w if it is a terminal, or 0.
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
