package plugin

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin/proto"
)

// rpcServer serves a Driver in its own process.
type rpcServer struct {
	proto.UnimplementedDriverServer
	driver Driver
}

// answerMargin is how long before the caller's deadline a call ends here, so that the driver's own words reach
// the caller instead of a bare "deadline exceeded": a twentieth of the time, 50 ms at most.
func answerMargin(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-min(time.Until(deadline)/20, 50*time.Millisecond)))
}

func (s *rpcServer) Capabilities(ctx context.Context, _ *proto.CapabilitiesRequest) (*proto.CapabilitiesResponse, error) {
	c, err := s.driver.Capabilities(ctx)
	if err != nil {
		return nil, errorToStatus(err)
	}
	return &proto.CapabilitiesResponse{
		Name: text(c.Name), Version: text(c.Version), Pause: c.Pause, Save: c.Save, Persist: c.Persist,
	}, nil
}

func (s *rpcServer) Connect(ctx context.Context, r *proto.ConnectRequest) (*proto.ConnectResponse, error) {
	if r.GetServer() == nil {
		return nil, status.Error(codes.InvalidArgument, "connect: no server given")
	}
	server := serverFromProto(r.GetServer())
	err := s.driver.Connect(ctx, server)
	return &proto.ConnectResponse{}, errorToStatus(err, server.Password)
}

func (s *rpcServer) Disconnect(ctx context.Context, r *proto.DisconnectRequest) (*proto.DisconnectResponse, error) {
	return &proto.DisconnectResponse{}, errorToStatus(s.driver.Disconnect(ctx, r.GetServer()))
}

func (s *rpcServer) Observe(_ *proto.ObserveRequest, stream proto.Driver_ObserveServer) error {
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	err := s.driver.Observe(ctx, func(o Observation) {
		if err := stream.Send(observationToProto(o)); err != nil {
			cancel(err)
		}
	})
	if ctx.Err() != nil && (err == nil || errors.Is(err, ctx.Err())) {
		return errorToStatus(context.Cause(ctx))
	}
	return errorToStatus(err)
}

func (s *rpcServer) Probe(ctx context.Context, r *proto.ProbeRequest) (*proto.Observation, error) {
	if r.GetServer() == nil {
		return nil, status.Error(codes.InvalidArgument, "probe: no server given")
	}
	ctx, cancel := answerMargin(ctx)
	defer cancel()
	server := serverFromProto(r.GetServer())
	o, err := s.driver.Probe(ctx, server)
	if err != nil {
		return nil, errorToStatus(err, server.Password)
	}
	return observationToProto(o), nil
}

func (s *rpcServer) Freeze(ctx context.Context, r *proto.FreezeRequest) (*proto.FreezeResponse, error) {
	ctx, cancel := answerMargin(ctx)
	defer cancel()
	f, err := s.driver.Freeze(ctx, r.GetServer())
	if err != nil {
		return nil, errorToStatus(err)
	}
	return &proto.FreezeResponse{
		RunId: text(f.RunID), Position: positionToProto(f.Position), Keys: f.Keys, ClientsEnded: int64(f.ClientsEnded),
		SyncCutOff: f.SyncCutOff,
	}, nil
}

func (s *rpcServer) Open(ctx context.Context, r *proto.OpenRequest) (*proto.OpenResponse, error) {
	ctx, cancel := answerMargin(ctx)
	defer cancel()
	p, err := s.driver.Open(ctx, r.GetServer(), r.GetRunId())
	if err != nil {
		return nil, errorToStatus(err)
	}
	return &proto.OpenResponse{Position: positionToProto(p)}, nil
}

func (s *rpcServer) Follow(ctx context.Context, r *proto.FollowRequest) (*proto.FollowResponse, error) {
	ctx, cancel := answerMargin(ctx)
	defer cancel()
	err := s.driver.Follow(ctx, r.GetServer(), r.GetRunId(), positionFromProto(r.GetAt()), r.GetAddress())
	return &proto.FollowResponse{}, errorToStatus(err)
}

func (s *rpcServer) Persist(ctx context.Context, r *proto.PersistRequest) (*proto.PersistResponse, error) {
	ctx, cancel := answerMargin(ctx)
	defer cancel()
	return &proto.PersistResponse{}, errorToStatus(s.driver.Persist(ctx, r.GetServer()))
}

func (s *rpcServer) Pause(ctx context.Context, r *proto.PauseRequest) (*proto.PauseResponse, error) {
	ctx, cancel := answerMargin(ctx)
	defer cancel()
	return &proto.PauseResponse{}, errorToStatus(s.driver.Pause(ctx, r.GetServer(), time.Duration(r.GetForNs())))
}

func (s *rpcServer) Unpause(ctx context.Context, r *proto.UnpauseRequest) (*proto.UnpauseResponse, error) {
	ctx, cancel := answerMargin(ctx)
	defer cancel()
	return &proto.UnpauseResponse{}, errorToStatus(s.driver.Unpause(ctx, r.GetServer()))
}

func (s *rpcServer) EndClients(ctx context.Context, r *proto.EndClientsRequest) (*proto.EndClientsResponse, error) {
	ctx, cancel := answerMargin(ctx)
	defer cancel()
	n, err := s.driver.EndClients(ctx, r.GetServer())
	return &proto.EndClientsResponse{Ended: int64(n)}, errorToStatus(err)
}

func (s *rpcServer) MinReplicas(ctx context.Context, r *proto.MinReplicasRequest) (*proto.MinReplicasResponse, error) {
	ctx, cancel := answerMargin(ctx)
	defer cancel()
	n, err := s.driver.MinReplicas(ctx, r.GetServer())
	return &proto.MinReplicasResponse{Replicas: int64(n)}, errorToStatus(err)
}

func (s *rpcServer) SetMinReplicas(ctx context.Context, r *proto.SetMinReplicasRequest) (*proto.SetMinReplicasResponse, error) {
	ctx, cancel := answerMargin(ctx)
	defer cancel()
	return &proto.SetMinReplicasResponse{}, errorToStatus(s.driver.SetMinReplicas(ctx, r.GetServer(), int(r.GetReplicas())))
}

func (s *rpcServer) Save(ctx context.Context, r *proto.SaveRequest) (*proto.SaveResponse, error) {
	ctx, cancel := answerMargin(ctx)
	defer cancel()
	return &proto.SaveResponse{}, errorToStatus(s.driver.Save(ctx, r.GetServer(), r.GetPath()))
}
