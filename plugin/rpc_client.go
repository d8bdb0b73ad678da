package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin/proto"
)

// callTimeout bounds a call whose context has no deadline, against a driver that hangs. Saving a data set takes
// longer than anything else.
const (
	callTimeout = 30 * time.Second
	saveTimeout = time.Hour
)

// rpcClient is a Driver in another process.
type rpcClient struct {
	rpc proto.DriverClient
}

var _ Driver = (*rpcClient)(nil)

func bounded(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, limit)
}

func (c *rpcClient) Capabilities(ctx context.Context) (Capabilities, error) {
	ctx, cancel := bounded(ctx, callTimeout)
	defer cancel()
	r, err := c.rpc.Capabilities(ctx, &proto.CapabilitiesRequest{})
	if err != nil {
		return Capabilities{}, errorFromStatus(err)
	}
	return Capabilities{
		Name: r.GetName(), Version: r.GetVersion(), Pause: r.GetPause(), Save: r.GetSave(), Persist: r.GetPersist(),
	}, nil
}

func (c *rpcClient) Connect(ctx context.Context, s Server) error {
	ctx, cancel := bounded(ctx, callTimeout)
	defer cancel()
	_, err := c.rpc.Connect(ctx, &proto.ConnectRequest{Server: serverToProto(s)})
	return errorFromStatus(err)
}

func (c *rpcClient) Disconnect(ctx context.Context, server string) error {
	ctx, cancel := bounded(ctx, callTimeout)
	defer cancel()
	_, err := c.rpc.Disconnect(ctx, &proto.DisconnectRequest{Server: text(server)})
	return errorFromStatus(err)
}

func (c *rpcClient) Observe(ctx context.Context, observe func(Observation)) error {
	stream, err := c.rpc.Observe(ctx, &proto.ObserveRequest{})
	if err != nil {
		return endOfStream(ctx, err)
	}
	for {
		o, err := stream.Recv()
		if err != nil {
			return endOfStream(ctx, err)
		}
		observe(observationFromProto(o))
	}
}

// endOfStream is the result of Observe. A stream that the driver ended without being asked to is as good as none.
func endOfStream(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return nil
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%w: it ended the stream of observations", ErrDriverDown)
	}
	return errorFromStatus(err)
}

func (c *rpcClient) Probe(ctx context.Context, s Server) (Observation, error) {
	ctx, cancel := bounded(ctx, callTimeout)
	defer cancel()
	o, err := c.rpc.Probe(ctx, &proto.ProbeRequest{Server: serverToProto(s)})
	if err != nil {
		return Observation{}, errorFromStatus(err)
	}
	return observationFromProto(o), nil
}

func (c *rpcClient) Freeze(ctx context.Context, server string) (Frozen, error) {
	ctx, cancel := bounded(ctx, callTimeout)
	defer cancel()
	r, err := c.rpc.Freeze(ctx, &proto.FreezeRequest{Server: text(server)})
	if err != nil {
		return Frozen{}, errorFromStatus(err)
	}
	return Frozen{
		RunID: r.GetRunId(), Position: positionFromProto(r.GetPosition()), Keys: r.GetKeys(),
		ClientsEnded: int(r.GetClientsEnded()), SyncCutOff: r.GetSyncCutOff(),
	}, nil
}

func (c *rpcClient) Open(ctx context.Context, server, runID string) (Position, error) {
	ctx, cancel := bounded(ctx, callTimeout)
	defer cancel()
	r, err := c.rpc.Open(ctx, &proto.OpenRequest{Server: text(server), RunId: text(runID)})
	if err != nil {
		return Position{}, errorFromStatus(err)
	}
	return positionFromProto(r.GetPosition()), nil
}

func (c *rpcClient) Follow(ctx context.Context, server, runID string, at Position, address string) error {
	ctx, cancel := bounded(ctx, callTimeout)
	defer cancel()
	_, err := c.rpc.Follow(ctx, &proto.FollowRequest{
		Server: text(server), RunId: text(runID), At: positionToProto(at), Address: text(address),
	})
	return errorFromStatus(err)
}

func (c *rpcClient) Persist(ctx context.Context, server string) error {
	ctx, cancel := bounded(ctx, callTimeout)
	defer cancel()
	_, err := c.rpc.Persist(ctx, &proto.PersistRequest{Server: text(server)})
	return errorFromStatus(err)
}

func (c *rpcClient) Pause(ctx context.Context, server string, d time.Duration) error {
	ctx, cancel := bounded(ctx, callTimeout)
	defer cancel()
	_, err := c.rpc.Pause(ctx, &proto.PauseRequest{Server: text(server), ForNs: int64(d)})
	return errorFromStatus(err)
}

func (c *rpcClient) Unpause(ctx context.Context, server string) error {
	ctx, cancel := bounded(ctx, callTimeout)
	defer cancel()
	_, err := c.rpc.Unpause(ctx, &proto.UnpauseRequest{Server: text(server)})
	return errorFromStatus(err)
}

func (c *rpcClient) EndClients(ctx context.Context, server string) (int, error) {
	ctx, cancel := bounded(ctx, callTimeout)
	defer cancel()
	r, err := c.rpc.EndClients(ctx, &proto.EndClientsRequest{Server: text(server)})
	if err != nil {
		return 0, errorFromStatus(err)
	}
	return int(r.GetEnded()), nil
}

func (c *rpcClient) MinReplicas(ctx context.Context, server string) (int, error) {
	ctx, cancel := bounded(ctx, callTimeout)
	defer cancel()
	r, err := c.rpc.MinReplicas(ctx, &proto.MinReplicasRequest{Server: text(server)})
	if err != nil {
		return 0, errorFromStatus(err)
	}
	return int(r.GetReplicas()), nil
}

func (c *rpcClient) SetMinReplicas(ctx context.Context, server string, replicas int) error {
	ctx, cancel := bounded(ctx, callTimeout)
	defer cancel()
	_, err := c.rpc.SetMinReplicas(ctx, &proto.SetMinReplicasRequest{Server: text(server), Replicas: int64(replicas)})
	return errorFromStatus(err)
}

func (c *rpcClient) Save(ctx context.Context, server, path string) error {
	ctx, cancel := bounded(ctx, saveTimeout)
	defer cancel()
	_, err := c.rpc.Save(ctx, &proto.SaveRequest{Server: text(server), Path: text(path)})
	return errorFromStatus(err)
}
