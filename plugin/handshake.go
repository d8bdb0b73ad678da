package plugin

import (
	"context"
	"errors"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin/proto"
)

// ProtocolVersion is the version of the boundary. It grows with a change that an older driver or agent would
// misunderstand; fields and calls that may be left out do not change it.
const ProtocolVersion = 1

// dispensed is the name under which a driver process serves its one plugin.
const dispensed = "driver"

// handshake tells a driver started by the agent from one started by hand. It is no secret.
var handshake = goplugin.HandshakeConfig{
	MagicCookieKey:   "CONSUL_REDIS_SENTINEL_DRIVER",
	MagicCookieValue: "9f0b6c1e5a7d4f3b8e2c",
}

// window is how many bytes either side of the boundary may send ahead. With a fixed one gRPC does not measure the link,
// which would cost each message a ping and its answer: half of the wake-ups of an idle agent and driver.
const window = 1 << 20

// versions are the protocol versions that both sides can speak.
func versions(d Driver) map[int]goplugin.PluginSet {
	return map[int]goplugin.PluginSet{ProtocolVersion: {dispensed: &grpcPlugin{driver: d}}}
}

// grpcPlugin joins Driver to go-plugin. driver is nil on the agent's side.
type grpcPlugin struct {
	goplugin.NetRPCUnsupportedPlugin
	driver Driver
}

var _ goplugin.GRPCPlugin = (*grpcPlugin)(nil)

func (p *grpcPlugin) GRPCServer(_ *goplugin.GRPCBroker, s *grpc.Server) error {
	if p.driver == nil {
		return errors.New("serve driver: no driver given")
	}
	proto.RegisterDriverServer(s, &rpcServer{driver: p.driver})
	return nil
}

func (p *grpcPlugin) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, c *grpc.ClientConn) (any, error) {
	return &rpcClient{rpc: proto.NewDriverClient(c)}, nil
}
