package plugin

import (
	"strings"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin/proto"
)

// text makes s fit for a protobuf string, which must be UTF-8: a server may say anything.
func text(s string) string { return strings.ToValidUTF8(s, "�") }

func serverToProto(s Server) *proto.Server {
	p := &proto.Server{
		Name: text(s.Name), Address: text(s.Address), Username: text(s.Username), Password: []byte(s.Password),
		Announce: text(s.Announce), Remote: s.Remote,
		PingEveryNs: int64(s.PingEvery), SilentAfterNs: int64(s.SilentAfter), InfoEveryNs: int64(s.InfoEvery),
		FreezeAfterNs: int64(s.FreezeAfter),
	}
	if s.TLS != nil {
		p.Tls = &proto.TLS{
			CaFile: text(s.TLS.CAFile), CertFile: text(s.TLS.CertFile), KeyFile: text(s.TLS.KeyFile),
			ServerName: text(s.TLS.ServerName), InsecureSkipVerify: s.TLS.InsecureSkipVerify,
		}
	}
	return p
}

func serverFromProto(p *proto.Server) Server {
	s := Server{
		Name: p.GetName(), Address: p.GetAddress(), Username: p.GetUsername(), Password: string(p.GetPassword()),
		Announce: p.GetAnnounce(), Remote: p.GetRemote(),
		PingEvery:   time.Duration(p.GetPingEveryNs()),
		SilentAfter: time.Duration(p.GetSilentAfterNs()),
		InfoEvery:   time.Duration(p.GetInfoEveryNs()),
		FreezeAfter: time.Duration(p.GetFreezeAfterNs()),
	}
	if t := p.GetTls(); t != nil {
		s.TLS = &TLS{
			CAFile: t.GetCaFile(), CertFile: t.GetCertFile(), KeyFile: t.GetKeyFile(),
			ServerName: t.GetServerName(), InsecureSkipVerify: t.GetInsecureSkipVerify(),
		}
	}
	return s
}

var linkToProto = map[Link]proto.Link{
	LinkUnknown: proto.Link_LINK_UNKNOWN,
	LinkUp:      proto.Link_LINK_UP,
	LinkGone:    proto.Link_LINK_GONE,
	LinkSilent:  proto.Link_LINK_SILENT,
	LinkWaiting: proto.Link_LINK_WAITING,
}

// linkFromProto takes a link that this version does not know for unknown, which moves nothing.
func linkFromProto(p proto.Link) Link {
	for link, known := range linkToProto {
		if known == p {
			return link
		}
	}
	return LinkUnknown
}

func observationToProto(o Observation) *proto.Observation {
	return &proto.Observation{
		Server: text(o.Server), Link: linkToProto[o.Link], Cause: text(o.Cause),
		SilentForNs: int64(o.SilentFor), LatencyNs: int64(o.Latency), Info: infoToProto(o.Info),
	}
}

func observationFromProto(p *proto.Observation) Observation {
	return Observation{
		Server: p.GetServer(), Link: linkFromProto(p.GetLink()), Cause: p.GetCause(),
		SilentFor: time.Duration(p.GetSilentForNs()), Latency: time.Duration(p.GetLatencyNs()),
		Info: infoFromProto(p.GetInfo()),
	}
}

func infoToProto(i *Info) *proto.Info {
	if i == nil {
		return nil
	}
	p := &proto.Info{
		RunId: text(i.RunID), Version: text(i.Version), ProcessId: int64(i.ProcessID),
		StartedAgoNs: int64(i.StartedAgo), ConfigFile: text(i.ConfigFile), Port: int64(i.Port),
		Open: i.Open, Frozen: i.Frozen, MasterAddress: text(i.MasterAddress), LinkUp: i.LinkUp,
		LinkDownForNs: int64(i.LinkDownFor), SyncInProgress: i.SyncInProgress, LastIoNs: int64(i.LastIO),
		Position: positionToProto(i.Position), ReplicaReadOnly: i.ReplicaReadOnly,
		Loading: i.Loading, LoadingEtaNs: int64(i.LoadingETA), Keys: i.Keys,
		RdbLastSaveOk: i.RDBLastSaveOK, RdbChanges: i.RDBChanges, RdbLastSaveUnix: unixFromTime(i.RDBLastSave),
		RdbInProgress: i.RDBInProgress, AofEnabled: i.AOFEnabled, AofLastOk: i.AOFLastOK,
		MemoryUsed: i.MemoryUsed, MemoryMax: i.MemoryMax, MemoryPolicy: text(i.MemoryPolicy),
		Fragmentation: i.Fragmentation, Clients: int64(i.Clients), ClientsMax: int64(i.ClientsMax),
		BlockedClients: int64(i.BlockedClients), OpsPerSecond: int64(i.OpsPerSecond),
	}
	for _, r := range i.Replicas {
		p.Replicas = append(p.Replicas, &proto.Replica{
			Address: text(r.Address), State: text(r.State), Offset: r.Offset, LagNs: int64(r.Lag),
		})
	}
	return p
}

func infoFromProto(p *proto.Info) *Info {
	if p == nil {
		return nil
	}
	i := &Info{
		RunID: p.GetRunId(), Version: p.GetVersion(), ProcessID: int(p.GetProcessId()),
		StartedAgo: time.Duration(p.GetStartedAgoNs()), ConfigFile: p.GetConfigFile(), Port: int(p.GetPort()),
		Open: p.GetOpen(), Frozen: p.GetFrozen(), MasterAddress: p.GetMasterAddress(), LinkUp: p.GetLinkUp(),
		LinkDownFor: time.Duration(p.GetLinkDownForNs()), SyncInProgress: p.GetSyncInProgress(),
		LastIO: time.Duration(p.GetLastIoNs()), Position: positionFromProto(p.GetPosition()),
		ReplicaReadOnly: p.GetReplicaReadOnly(),
		Loading:         p.GetLoading(), LoadingETA: time.Duration(p.GetLoadingEtaNs()), Keys: p.GetKeys(),
		RDBLastSaveOK: p.GetRdbLastSaveOk(), RDBChanges: p.GetRdbChanges(),
		RDBLastSave: timeFromUnix(p.GetRdbLastSaveUnix()), RDBInProgress: p.GetRdbInProgress(),
		AOFEnabled: p.GetAofEnabled(), AOFLastOK: p.GetAofLastOk(),
		MemoryUsed: p.GetMemoryUsed(), MemoryMax: p.GetMemoryMax(), MemoryPolicy: p.GetMemoryPolicy(),
		Fragmentation: p.GetFragmentation(), Clients: int(p.GetClients()), ClientsMax: int(p.GetClientsMax()),
		BlockedClients: int(p.GetBlockedClients()), OpsPerSecond: int(p.GetOpsPerSecond()),
	}
	for _, r := range p.GetReplicas() {
		i.Replicas = append(i.Replicas, Replica{
			Address: r.GetAddress(), State: r.GetState(), Offset: r.GetOffset(), Lag: time.Duration(r.GetLagNs()),
		})
	}
	return i
}

func positionToProto(p Position) *proto.Position {
	return &proto.Position{ReplId: text(p.ReplID), Offset: p.Offset, ReplId2: text(p.ReplID2), Offset2: p.Offset2}
}

func positionFromProto(p *proto.Position) Position {
	return Position{ReplID: p.GetReplId(), Offset: p.GetOffset(), ReplID2: p.GetReplId2(), Offset2: p.GetOffset2()}
}

// unixFromTime keeps the zero time zero.
func unixFromTime(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func timeFromUnix(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}
