package agent

import (
	"context"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// Consul is what an agent needs of Consul. *catalog.Catalog is the real one.
type Consul interface {
	store
	registrar
	// Run keeps the agent present in Consul until ctx ends.
	Run(ctx context.Context, spec catalog.AgentSpec)
	ReadRecords(ctx context.Context, groups []string) (map[string]catalog.VersionedRecord, error)
	WatchGroups(ctx context.Context, groups []string, each func(group string, s failover.State))
	PutSettings(ctx context.Context, group string, s failover.Settings, index uint64) error
	PutAgent(ctx context.Context, group string, a failover.AgentInfo) error
	// WatchMaintenance delivers which services of this machine are in maintenance mode, by id, "" being all, and why.
	WatchMaintenance(ctx context.Context, each func(map[string]string))
	// PeerKey is the secret by which agents know each other.
	PeerKey(ctx context.Context) ([]byte, error)
}

// registrar is what the publisher needs: the registrations on the Consul agent of this machine.
type registrar interface {
	Owned(ctx context.Context) ([]string, error)
	Register(ctx context.Context, s catalog.Service) error
	Deregister(ctx context.Context, id string) error
	SetCheck(ctx context.Context, id, status, output string)
	SetAgentCheck(status, output string)
}

// store is what a group needs.
type store interface {
	Session() string
	ReadGroup(ctx context.Context, group string, consistent bool) (failover.State, error)

	Create(ctx context.Context, group string, r *failover.Record, index, order uint64, m catalog.MasterEntry) (uint64, error)
	Elect(ctx context.Context, group string, r *failover.Record, index uint64, on catalog.Grounds, m catalog.MasterEntry) (uint64, error)
	Commit(ctx context.Context, group string, r *failover.Record, index uint64, m catalog.MasterEntry) (uint64, error)
	Amend(ctx context.Context, group string, r *failover.Record, index uint64) (uint64, error)

	// KeepEntry puts back the entry of a master that somebody removed, and tells whether it was so.
	KeepEntry(ctx context.Context, group string, index uint64, m catalog.MasterEntry) (back bool, err error)

	AcquireLock(ctx context.Context, group string) (bool, error)
	ReleaseLock(ctx context.Context, group string) error
	PutVote(ctx context.Context, group string, v failover.Vote) (uint64, error)
	DeleteVote(ctx context.Context, group string) error
	PutReport(ctx context.Context, group string, r failover.Report) (uint64, error)
	AnswerOrder(ctx context.Context, group string, o failover.Order, index uint64) error
	// ClaimTag makes way for an instance that is to take a tag, and names those for which it has to wait. older tells that
	// any is of an older epoch.
	ClaimTag(ctx context.Context, t catalog.TagClaim) (waitFor []string, older bool, err error)
	PutRescued(ctx context.Context, group string, epoch uint64, r failover.Rescued) error
	PutHistory(ctx context.Context, group string, h failover.History) error
}
