// Command chains is Tekton Chains' controller for one namespace. Of signers and stores it has those
// that need no cloud.
package main

import (
	"flag"

	"github.com/tektoncd/chains/pkg/reconciler/taskrun"
	"knative.dev/pkg/injection"
	"knative.dev/pkg/injection/sharedmain"
	"knative.dev/pkg/signals"
)

func main() {
	namespace := flag.String("namespace", "", "`NAMESPACE` of the runs to sign")
	config := injection.ParseAndGetRESTConfigOrDie() // parses the flags
	ctx := injection.WithNamespaceScope(signals.NewContext(), *namespace)
	sharedmain.MainWithConfig(ctx, "watcher", config,
		taskrun.NewNamespacesScopedController([]string{*namespace}))
}
