// One binary with the components of a Kubernetes control plane: called as, or with first argument, `etcd` or
// `kube-apiserver`. One binary links the shared packages once: half the size and half the build of two.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() {
	name, args := filepath.Base(os.Args[0]), os.Args
	if !run(name, args) {
		if len(args) < 2 || !run(args[1], args[1:]) {
			fmt.Fprintln(os.Stderr, "usage: components etcd|kube-apiserver ARGS")
			os.Exit(2)
		}
	}
}

func run(name string, args []string) bool {
	os.Args = args
	switch name {
	case "etcd":
		etcdmain.Main(args)
	case "kube-apiserver":
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	default:
		return false
	}
	return true
}
