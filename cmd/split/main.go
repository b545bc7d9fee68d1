// Command split plans what must move; see imagemirror/internal/cli/split.
package main

import (
	"imagemirror/internal/cli/split"
	"imagemirror/internal/command"
)

func main() { command.Main(split.Command()) }
