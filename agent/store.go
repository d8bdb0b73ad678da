package agent

import (
	"context"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

// store is what a group needs of Consul. *catalog.Catalog is the real one.
type store interface {
	Session() string
	ReadGroup(ctx context.Context, group string, consistent bool) (failover.State, error)

	Create(ctx context.Context, group string, r *failover.Record, m catalog.MasterEntry) (uint64, error)
	Elect(ctx context.Context, group string, r *failover.Record, index uint64, on catalog.Grounds, m catalog.MasterEntry) (uint64, error)
	Commit(ctx context.Context, group string, r *failover.Record, index uint64, m catalog.MasterEntry) (uint64, error)
	Amend(ctx context.Context, group string, r *failover.Record, index uint64) (uint64, error)

	AcquireLock(ctx context.Context, group string) (bool, error)
	ReleaseLock(ctx context.Context, group string) error
	PutVote(ctx context.Context, group string, v failover.Vote) error
	DeleteVote(ctx context.Context, group string) error
	PutReport(ctx context.Context, group string, r failover.Report) error
	PutOrder(ctx context.Context, group string, o failover.Order) error
	DeleteOrder(ctx context.Context, group string, index uint64) error
	// TagHolders names the services (by id) of that name that pass and have the tag.
	TagHolders(ctx context.Context, service, tag string) ([]string, error)
	PutHistory(ctx context.Context, group string, h failover.History) error
}
