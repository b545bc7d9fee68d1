// Command report is the step binary of the command in imagemirror/internal/cli/report.
package main

import (
	"imagemirror/internal/cli/report"
	"imagemirror/internal/command"
)

func main() { command.Main(report.Command()) }
