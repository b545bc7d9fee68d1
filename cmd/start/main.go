// Command start starts runs of image sets on a cluster; see imagemirror/internal/cli/start.
package main

import (
	"imagemirror/internal/cli/start"
	"imagemirror/internal/command"
)

func main() { command.Main(start.Command()) }
