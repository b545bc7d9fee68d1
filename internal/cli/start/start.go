// Package start is the command start: it starts a run of each image set that it is given, on a
// cluster, unless one is still active.
package start

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"

	"imagemirror/internal/apiserver"
	"imagemirror/internal/command"
	"imagemirror/internal/report"
	"imagemirror/internal/start"
)

const about = `Starts a PipelineRun for each image set, and removes old ones. It skips a set that has an active
run, or whose last run is more recent than the policy allows. Two starts at once start one run.
SET is a name, or several names separated by commas.

Exit status: 0 each set has a run or was skipped, 1 the API server failed, 2 a set does not exist
or cannot run.`

type config struct {
	Namespace string `desc:"namespace of the image sets (default that of the pod or the kubeconfig)"`
	start.Env

	warnAbout func(error)
}

// Command returns the command start.
func Command() *command.Command {
	var c config
	cmd := &command.Command{Name: "start", Synopsis: "SET...", About: about, Env: &c, Run: c.run}
	c.warnAbout = cmd.WarnAbout
	return cmd
}

func (c *config) run(ctx context.Context, args []string) error {
	sets := setNames(args)
	if len(sets) == 0 {
		return command.Refuse(errors.New("no image set to start: name one"))
	}
	if err := (report.Origin{Trigger: c.Trigger}).Check(); err != nil {
		return command.Refuse(err)
	}
	starter, err := c.connect()
	if err != nil {
		return err
	}
	var refused, failed []error
	for _, set := range sets {
		did, err := starter.Start(ctx, set)
		c.log(set, did)
		if unfit := (*start.Unfit)(nil); errors.As(err, &unfit) {
			refused = append(refused, err)
		} else {
			failed = append(failed, err)
		}
	}
	if err := errors.Join(failed...); err != nil {
		return errors.Join(append(refused, err)...)
	}
	return command.Refuse(errors.Join(refused...))
}

// setNames returns the names in args, each once.
func setNames(args []string) []string {
	var all []string
	for _, arg := range args {
		for name := range strings.SplitSeq(arg, ",") {
			if name = strings.TrimSpace(name); name != "" && !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return all
}

func (c *config) connect() (*start.Starter, error) {
	config, namespace, err := apiserver.Find(c.Namespace)
	if err != nil {
		return nil, err
	}
	self, err := os.Hostname() // in a pod its name
	if err != nil {
		return nil, err
	}
	return start.New(config, namespace, fmt.Sprintf("%s/%d", self, os.Getpid()), c.Env)
}

// log logs what was done for a set.
func (c *config) log(set string, did start.Action) {
	c.warnAbout(did.Mistakes)
	switch {
	case did.Run != "":
		slog.Info("started", "set", set, "run", did.Run, "pruned", did.Pruned)
	case did.Skipped != "":
		slog.Info("skipped", "set", set, "because", did.Skipped, "pruned", did.Pruned)
	}
}
