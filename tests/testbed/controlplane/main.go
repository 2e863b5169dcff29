// Command controlplane is Kubernetes in one binary: the real etcd,
// kube-apiserver, kube-scheduler and kube-controller-manager, and a node's
// kubelet and kube-proxy, chosen by the first argument. One binary links their
// shared code once, which makes the build on two cores bearable.
//
// Two applets are our own: "keyring" answers from the kubelet's own credential
// code which registry credentials apply to an image (keyring.go), and
// "device-plugin" offers GPUs that are none (deviceplugin.go).
package main

import (
	"context"
	"fmt"
	"os"
	_ "time/tzdata" // CronJob time zones

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

func main() {
	if len(os.Args) < 2 {
		usage()
	}
	applet := os.Args[1]
	os.Args = append([]string{applet}, os.Args[2:]...)
	switch applet {
	case "etcd":
		etcdmain.Main(os.Args)
	case "kube-apiserver":
		run(apiserver.NewAPIServerCommand())
	case "kube-scheduler":
		run(scheduler.NewSchedulerCommand())
	case "kube-controller-manager":
		run(controllermanager.NewControllerManagerCommand())
	case "kubelet":
		run(kubelet.NewKubeletCommand(context.Background()))
	case "kube-proxy":
		run(proxy.NewProxyCommand())
	case "device-plugin":
		if err := devicePlugin(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "device-plugin:", err)
			os.Exit(1)
		}
	case "keyring":
		if err := keyring(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "keyring:", err)
			os.Exit(1)
		}
	default:
		usage()
	}
}

func run(command *cobra.Command) {
	os.Exit(cli.Run(command))
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: controlplane etcd|kube-apiserver|kube-scheduler|kube-controller-manager|kubelet|kube-proxy|device-plugin|keyring [flags]")
	os.Exit(2)
}
