package redis

import (
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

// fields are the lines "name:value" of INFO.
type fields map[string]string

func parseFields(text string) fields {
	f := make(fields, strings.Count(text, "\n"))
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok && !strings.HasPrefix(name, "#") {
			f[name] = value
		}
	}
	return f
}

func (f fields) int(name string) int64 {
	n, _ := strconv.ParseInt(f[name], 10, 64)
	return n
}

// seconds reads a number of seconds; Redis writes -1 for "never" or "does not apply", which is 0 here.
func (f fields) seconds(name string) time.Duration {
	return time.Duration(max(f.int(name), 0)) * time.Second
}

func (f fields) flag(name string) bool { return f[name] == "1" }

// open says whether the server is a master.
func (f fields) open() bool { return f["role"] == "master" }

// master is the address that the server replicates from, empty for a master.
func (f fields) master() string {
	if f.open() || f["master_host"] == "" {
		return ""
	}
	return net.JoinHostPort(f["master_host"], f["master_port"])
}

// position reads how far the data set reaches. See INFO replication: the history before this one ends one byte
// before second_repl_offset, which is -1 when there is none.
func (f fields) position() plugin.Position {
	p := plugin.Position{ReplID: f["master_replid"], Offset: f.int("master_repl_offset")}
	if second := f.int("second_repl_offset"); second > 0 {
		p.ReplID2, p.Offset2 = f["master_replid2"], second-1
	}
	return p
}

// keys counts the keys of all databases: "db0:keys=1,expires=0,avg_ttl=0".
func (f fields) keys() int64 {
	var total int64
	for name, value := range f {
		if number, ok := strings.CutPrefix(name, "db"); ok {
			if _, err := strconv.Atoi(number); err == nil {
				total += parseList(value).int("keys")
			}
		}
	}
	return total
}

// parseList reads "a=1,b=2".
func parseList(value string) fields {
	f := fields{}
	for item := range strings.SplitSeq(value, ",") {
		if name, value, ok := strings.Cut(item, "="); ok {
			f[name] = value
		}
	}
	return f
}

// replicas reads "slave0:ip=127.0.0.1,port=6380,state=online,offset=14,lag=0", in order.
func (f fields) replicas() []plugin.Replica {
	var all []plugin.Replica
	for n := 0; ; n++ {
		value, ok := f["slave"+strconv.Itoa(n)]
		if !ok {
			return all
		}
		r := parseList(value)
		all = append(all, plugin.Replica{
			Address: net.JoinHostPort(r["ip"], r["port"]), State: r["state"], Offset: r.int("offset"), Lag: r.seconds("lag"),
		})
	}
}

// info puts together what INFO says. readOnly is the setting replica-read-only, empty when it could not be read.
func (f fields) info(readOnly string) *plugin.Info {
	i := &plugin.Info{
		RunID: f["run_id"], Version: f["redis_version"], ProcessID: int(f.int("process_id")),
		StartedAgo: f.seconds("uptime_in_seconds"), ConfigFile: f["config_file"], Port: int(f.int("tcp_port")),

		Open: f.open(), MasterAddress: f.master(), Frozen: f.master() == plugin.FrozenAddress,
		LinkUp: f["master_link_status"] == "up", LinkDownFor: f.seconds("master_link_down_since_seconds"),
		SyncInProgress: f.flag("master_sync_in_progress"), LastIO: f.seconds("master_last_io_seconds_ago"),
		Position: f.position(), Replicas: f.replicas(),

		Loading: f.flag("loading"), LoadingETA: f.seconds("loading_eta_seconds"), Keys: f.keys(),

		RDBLastSaveOK: f["rdb_last_bgsave_status"] == "ok", RDBChanges: f.int("rdb_changes_since_last_save"),
		RDBInProgress: f.flag("rdb_bgsave_in_progress"), AOFEnabled: f.flag("aof_enabled"),
		AOFLastOK: f["aof_last_write_status"] == "ok" && f["aof_last_bgrewrite_status"] == "ok",

		MemoryUsed: f.int("used_memory"), MemoryMax: f.int("maxmemory"), MemoryPolicy: f["maxmemory_policy"],
		Clients: int(f.int("connected_clients")), ClientsMax: int(f.int("maxclients")),
		BlockedClients: int(f.int("blocked_clients")), OpsPerSecond: int(f.int("instantaneous_ops_per_sec")),
	}
	if version := f["valkey_version"]; version != "" {
		i.Version = version
	}
	if saved := f.int("rdb_last_save_time"); saved > 0 {
		i.RDBLastSave = time.Unix(saved, 0)
	}
	// Redis writes "nan" for the ratio of nothing to nothing.
	if ratio, err := strconv.ParseFloat(f["mem_fragmentation_ratio"], 64); err == nil && ratio >= 0 && ratio < 1e9 {
		i.Fragmentation = ratio
	}
	switch {
	case readOnly != "":
		i.ReplicaReadOnly = readOnly == "yes"
	case !i.Open:
		i.ReplicaReadOnly = f.flag("slave_read_only")
	default:
		i.ReplicaReadOnly = true // the default of Redis, where the setting may not be read
	}
	return i
}
