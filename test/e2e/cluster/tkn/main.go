// Command tkn has the subcommands of tkn that the tests use. The others, which sign, fetch and
// bundle, would add half to the time that it takes to compile.
package main

import (
	"os"

	"github.com/spf13/cobra"
	"github.com/tektoncd/cli/pkg/cli"
	"github.com/tektoncd/cli/pkg/cmd/pipeline"
	"github.com/tektoncd/cli/pkg/cmd/pipelinerun"
)

func main() {
	params := &cli.TektonParams{}
	tkn := &cobra.Command{Use: "tkn", SilenceUsage: true}
	tkn.AddCommand(pipeline.Command(params), pipelinerun.Command(params))
	if tkn.Execute() != nil {
		os.Exit(1)
	}
}
