// Command registrar stands in for node-driver-registrar, whose module no proxy serves: it tells the kubelet of the driver,
// with the flags that the driver's chart gives it. Called as livenessprobe it stands in for that one.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"google.golang.org/grpc"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

const (
	driver = "secrets-store.csi.k8s.io"
	socket = "/registration/" + driver + "-reg.sock"
)

func main() {
	address := flag.String("csi-address", "/csi/csi.sock", "the driver's socket, as seen here")
	path := flag.String("kubelet-registration-path", "", "the driver's socket, as the kubelet sees it")
	endpoint := flag.String("http-endpoint", "", "where livenessprobe answers")
	for _, name := range []string{"v", "probe-timeout"} {
		flag.String(name, "", "without effect")
	}
	flag.Parse()
	err := error(nil)
	if filepath.Base(os.Args[0]) == "livenessprobe" {
		err = answer(*endpoint, *address)
	} else {
		err = register(*path)
	}
	fmt.Fprintln(os.Stderr, filepath.Base(os.Args[0])+":", err)
	os.Exit(1)
}

func register(path string) error {
	// Left by the one before.
	_ = os.Remove(socket)
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	registration.RegisterRegistrationServer(server, registrar{path: path})
	return server.Serve(listener)
}

type registrar struct {
	registration.UnimplementedRegistrationServer
	path string
}

func (r registrar) GetInfo(context.Context, *registration.InfoRequest) (*registration.PluginInfo, error) {
	return &registration.PluginInfo{
		Type: registration.CSIPlugin, Name: driver, Endpoint: r.path, SupportedVersions: []string{"1.0.0"},
	}, nil
}

func (registrar) NotifyRegistrationStatus(
	_ context.Context, status *registration.RegistrationStatus,
) (*registration.RegistrationStatusResponse, error) {
	if !status.PluginRegistered {
		fmt.Fprintln(os.Stderr, "the kubelet refuses the driver:", status.Error)
		os.Exit(1)
	}
	return &registration.RegistrationStatusResponse{}, nil
}

func answer(endpoint, address string) error {
	return http.ListenAndServe(endpoint, http.HandlerFunc(func(writer http.ResponseWriter, _ *http.Request) {
		connection, err := net.Dial("unix", address)
		if err != nil {
			http.Error(writer, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_ = connection.Close()
	}))
}
