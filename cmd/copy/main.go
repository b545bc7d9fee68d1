// Command copy is the step binary of the command in imagemirror/internal/cli/copy.
package main

import (
	"imagemirror/internal/cli/copy"
	"imagemirror/internal/command"
)

func main() { command.Main(copy.Command()) }
