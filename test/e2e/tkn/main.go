// Command tkn has those of tkn's commands that a mirror is run with. With the others, which sign and fetch and bundle, it takes half as long again to
// compile.
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
	tkn := &cobra.Command{Use: "tkn", Short: "Tekton's command line, as far as the end-to-end tests need it", SilenceUsage: true}
	tkn.AddCommand(pipeline.Command(params), pipelinerun.Command(params))
	if tkn.Execute() != nil {
		os.Exit(1)
	}
}
