// Command status is the step binary of the command in imagemirror/internal/cli/status.
package main

import (
	"imagemirror/internal/cli/status"
	"imagemirror/internal/command"
)

func main() { command.Main(status.Command()) }
