package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

// devicePlugin offers COUNT devices called RESOURCE that are none. The file FILE may say what is wrong with them:
// "unhealthy" makes every one Unhealthy, "refuse" fails each Allocate. It ends when the kubelet does, which forgets its
// plugins.
//
//	device-plugin RESOURCE COUNT FILE
func devicePlugin(args []string) error {
	if len(args) != 3 {
		return errors.New("usage: device-plugin RESOURCE COUNT FILE")
	}
	count, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	plugin := &devices{resource: args[0], count: count, fault: args[2], ended: make(chan error, 2)}
	socket := filepath.Join(api.DevicePluginPath, "testbed.sock")
	_ = os.Remove(socket)
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	api.RegisterDevicePluginServer(server, plugin)
	go func() { plugin.ended <- server.Serve(listener) }()
	connection, err := grpc.NewClient("unix://"+api.KubeletSocket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	_, err = api.NewRegistrationClient(connection).Register(context.Background(), &api.RegisterRequest{
		Version: api.Version, Endpoint: filepath.Base(socket), ResourceName: plugin.resource,
	}, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	return <-plugin.ended
}

type devices struct {
	api.UnimplementedDevicePluginServer
	resource string
	count    int
	fault    string
	ended    chan error
}

func (d *devices) says(word string) bool {
	text, _ := os.ReadFile(d.fault)
	return strings.Contains(string(text), word)
}

func (d *devices) GetDevicePluginOptions(context.Context, *api.Empty) (*api.DevicePluginOptions, error) {
	return &api.DevicePluginOptions{}, nil
}

func (d *devices) ListAndWatch(_ *api.Empty, stream api.DevicePlugin_ListAndWatchServer) error {
	told := ""
	for {
		health := api.Healthy
		if d.says("unhealthy") {
			health = api.Unhealthy
		}
		if health != told {
			told = health
			list := make([]*api.Device, d.count)
			for i := range list {
				list[i] = &api.Device{ID: fmt.Sprint("fake-", i), Health: health}
			}
			if err := stream.Send(&api.ListAndWatchResponse{Devices: list}); err != nil {
				return err
			}
		}
		select {
		case <-stream.Context().Done():
			select {
			case d.ended <- stream.Context().Err():
			default: // told already
			}
			return nil
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (d *devices) Allocate(_ context.Context, request *api.AllocateRequest) (*api.AllocateResponse, error) {
	if d.says("refuse") {
		return nil, errors.New("rpc error: the driver is not loaded")
	}
	answer := &api.AllocateResponse{}
	for _, each := range request.ContainerRequests {
		answer.ContainerResponses = append(answer.ContainerResponses, &api.ContainerAllocateResponse{
			Envs: map[string]string{"NVIDIA_VISIBLE_DEVICES": strings.Join(each.DevicesIds, ",")},
		})
	}
	return answer, nil
}
