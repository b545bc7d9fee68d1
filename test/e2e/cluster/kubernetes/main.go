// Command kubernetes is all programs of a Kubernetes node, and kubectl, in one binary. They
// share nearly all of their code, so that it is compiled, linked and stored once. The name that
// it is called by decides which program it is, or its first argument if that name is
// "kubernetes".
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/restclient"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubeadm "k8s.io/kubernetes/cmd/kubeadm/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

func main() { os.Exit(run()) }

func run() int {
	// A machine for tests has more memory than CPU: the API server spent a fifth of its time on
	// collecting garbage.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	name := filepath.Base(os.Args[0])
	if name == "kubernetes" && len(os.Args) > 1 {
		os.Args = os.Args[1:]
		name = os.Args[0]
	}
	switch name {
	case "etcd":
		etcdmain.Main(os.Args)
		return 0
	case "kubeadm":
		return status(kubeadm.Run())
	}
	if command := commandNamed(name); command != nil {
		return cli.Run(command)
	}
	fmt.Fprintf(os.Stderr, "kubernetes: no program %q in this binary\n", name)
	return 2
}

// status returns the exit status of kubeadm, which has printed its error.
func status(err error) int {
	if err != nil {
		return 1
	}
	return 0
}

func commandNamed(name string) *cobra.Command {
	switch name {
	case "kube-apiserver":
		return apiserver.NewAPIServerCommand()
	case "kube-controller-manager":
		return controllermanager.NewControllerManagerCommand()
	case "kube-scheduler":
		return scheduler.NewSchedulerCommand()
	case "kube-proxy":
		return proxy.NewProxyCommand()
	case "kubelet":
		// The kubelet's command sets up its own signal handler, which a process may do only once.
		return kubelet.NewKubeletCommand(context.Background())
	case "kubectl":
		return kubectl.NewDefaultKubectlCommand()
	}
	return nil
}
