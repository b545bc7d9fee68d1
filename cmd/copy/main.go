// Command copy carries out a plan, or shards of one; see imagemirror/internal/cli/copy.
package main

import (
	"imagemirror/internal/cli/copy"
	"imagemirror/internal/command"
)

func main() { command.Main(copy.Command()) }
