// Command start is the step binary of the command in imagemirror/internal/cli/start.
package main

import (
	"imagemirror/internal/cli/start"
	"imagemirror/internal/command"
)

func main() { command.Main(start.Command()) }
