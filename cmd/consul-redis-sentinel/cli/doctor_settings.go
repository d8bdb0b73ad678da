package cli

import (
	"context"
	"strings"
	"time"
)

// minBacklog is the least repl-backlog-size that is not warned of: a server with 10 MB of writes a second fills the
// default of 1 MiB ten times in the second that a failover may take.
const minBacklog = 16 << 20

func checkReadOnly(_ context.Context, p *patient) finding {
	v, ok := p.setting("replica-read-only")
	switch {
	case !ok:
		return finding{}
	case v == "yes":
		return fine("replicas, and frozen servers, refuse writes")
	}
	return bad("replica-read-only yes", "replica-read-only is %s: a frozen server would take writes", v)
}

func checkStaleData(_ context.Context, p *patient) finding {
	v, ok := p.setting("replica-serve-stale-data")
	switch {
	case !ok:
		return finding{}
	case v == "yes":
		return fine("a server without a master answers reads, and saves")
	}
	return bad("replica-serve-stale-data yes",
		"replica-serve-stale-data is %s: a frozen server refuses BGSAVE, so what a failover discards cannot be saved, and reads", v)
}

func checkPersistence(_ context.Context, p *patient) finding {
	save, ok := p.setting("save")
	if !ok {
		return finding{}
	}
	switch {
	case p.settings["appendonly"] == "yes":
		return warning("know that when all servers restart and the old master does not come back, an operator must name the next (rescue record), or use RDB files without AOF",
			"appendonly is yes: a server that loads an append-only file has a new replication id")
	case strings.TrimSpace(save) == "":
		return warning("save 3600 1 300 100, unless losing everything with the power is fine",
			"nothing is persisted: a server that restarts is empty until it has a master, and all are if all restart")
	}
	return fine("RDB files (save %s), which keep the replication id", save)
}

func checkMemory(_ context.Context, p *patient) finding {
	limit, ok := p.setting("maxmemory")
	policy := p.settings["maxmemory-policy"]
	switch {
	case !ok:
		return finding{}
	case p.settings["replica-ignore-maxmemory"] == "no":
		return warning("replica-ignore-maxmemory yes", "replica-ignore-maxmemory is no: a replica may evict what its master has")
	case number(limit) == 0:
		return fine("maxmemory is 0: no limit but the machine's")
	case policy == "noeviction":
		return fine("at %s writes are refused, nothing is evicted", size(number(limit)))
	case strings.HasPrefix(p.group.Durability, "wait:"):
		return warning("maxmemory-policy noeviction, unless this is a cache",
			"maxmemory-policy is %s: what was acknowledged may be evicted, in spite of durability %s", policy, p.group.Durability)
	}
	return fine("at %s, evicts by %s, as a cache does", size(number(limit)), policy)
}

func checkBacklog(_ context.Context, p *patient) finding {
	v, ok := p.setting("repl-backlog-size")
	if !ok {
		return finding{}
	}
	if n := number(v); n < minBacklog {
		return warning("repl-backlog-size 64mb, or what the group writes in some minutes",
			"repl-backlog-size is %s: a replica that misses more than that needs a full resync", size(n))
	}
	if ttl := time.Duration(number(p.settings["repl-backlog-ttl"])) * time.Second; ttl != 0 {
		return warning("repl-backlog-ttl 0",
			"repl-backlog-ttl is %d s: a master without replicas for that long begins a new history", int64(ttl.Seconds()))
	}
	return fine("%s, kept for ever", size(number(v)))
}

func checkDiskless(_ context.Context, p *patient) finding {
	v, ok := p.setting("repl-diskless-sync")
	delay := p.settings["repl-diskless-sync-delay"]
	switch {
	case !ok:
		return finding{}
	case v != "yes":
		return warning("repl-diskless-sync yes, unless the disk is faster than the network", "a full resync goes by the disk")
	case delay != "0":
		return warning("repl-diskless-sync-delay 0", "a full resync waits %s s for more replicas before it begins", delay)
	}
	return fine("a full resync begins at once")
}

func checkMinReplicas(_ context.Context, p *patient) finding {
	v, ok := p.setting("min-replicas-to-write")
	n := number(v)
	switch {
	case !ok:
		return finding{}
	case n == 0:
		return fine("0: the lease alone bounds what an isolated master takes")
	case p.group.BootstrapExpect > 0 && n >= int64(p.group.BootstrapExpect-1):
		return warning("write a smaller min-replicas-to-write",
			"%d of %d replicas must be there for a write: none is taken when one node is away, nor right after a failover", n, p.group.BootstrapExpect-1)
	}
	return fine("a master takes writes while it has %d replicas, and none right after a failover", n)
}
