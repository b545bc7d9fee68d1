// Command split is the step binary of the command in imagemirror/internal/cli/split.
package main

import (
	"imagemirror/internal/cli/split"
	"imagemirror/internal/command"
)

func main() { command.Main(split.Command()) }
