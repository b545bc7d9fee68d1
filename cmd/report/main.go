// Command report tells people and systems what became of a run; see imagemirror/internal/cli/report.
package main

import (
	"imagemirror/internal/cli/report"
	"imagemirror/internal/command"
)

func main() { command.Main(report.Command()) }
