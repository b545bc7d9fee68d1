// Command imagemirror mirrors container images. It is what people type; on a cluster, the step
// commands split, copy, report, start and status run the same code.
package main

import (
	"imagemirror/internal/cli/copy"
	"imagemirror/internal/cli/imports"
	"imagemirror/internal/cli/newset"
	"imagemirror/internal/cli/prune"
	"imagemirror/internal/cli/report"
	"imagemirror/internal/cli/rollback"
	"imagemirror/internal/cli/run"
	"imagemirror/internal/cli/sets"
	"imagemirror/internal/cli/split"
	"imagemirror/internal/cli/start"
	"imagemirror/internal/cli/status"
	"imagemirror/internal/command"
)

const about = `Mirrors container images to other registries, as mapping files say. Only what changed moves.
Registries, credentials and limits come from the environment: the help of each command lists its variables.`

func main() {
	g := &command.Group{Name: "imagemirror", About: about, Members: []command.Member{
		{Name: "run", About: "plans, copies and reports: brings all images to their destinations", New: run.Command},
		{Name: "check", About: "lists what is wrong with image sets, without asking a registry", New: split.CheckCommand},
		{Name: "plan", About: "asks the registries, and writes a plan of what has to be copied", New: split.PlanCommand},
		{Name: "copy", About: "carries out a plan, or shards of one, and writes the results", New: copy.Command},
		{Name: "report", About: "shows the outcome of a run: its results or, for a dry run, its plan", New: report.Command},
		{Name: "rollback", About: "moves tags back to what they were, and holds them there", New: rollback.Command},
		{Name: "release", About: "ends holds, so that tags move again", New: rollback.ReleaseCommand},
		{Name: "prune", About: "lists tags that no mapping names any more, and deletes those that were reviewed", New: prune.Command},
		{Name: "start", About: "starts runs of image sets on a cluster", New: start.Command},
		{Name: "status", About: "shows how image sets are, in a table, on pages or in files", New: status.Command},
		{Name: "sets", About: "writes the kustomizations that install image sets", New: sets.Command},
		{Name: "new-set", About: "writes a new image set", New: newset.Command},
		{Name: "import", About: "turns files of regsync, skopeo sync and image-syncer into image sets", New: imports.Command},
	}}
	g.Main()
}
