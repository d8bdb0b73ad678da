plugin_dir = "/bin"

agent {
  name      = "machine-1"
  data_dir  = "/var/lib/consul-redis-sentinel"
  log_level = "debug"
  log_json  = true
}

consul {
  address    = "127.0.0.1:8500"
  addresses  = ["10.0.0.2:8500", "10.0.0.3:8500"]
  scheme     = "http"
  token_file = "testdata/secret"
  datacenter = "dc1"
  kv_prefix  = "redis-sentinel/"
}

group "sessions" {
  quorum           = 2
  down_after       = "500ms"
  busy_after       = "10s"
  fence_after      = "2s"
  failover_timeout = "20s"
  parallel_syncs   = 2
  bootstrap_expect = 3
  on_stuck         = "leave"

  min_replicas_to_write = 1

  service          = "sessions"
  tags             = ["blue"]
  master_service   = "sessions-master"
  replica_service  = "sessions-replica"
}

node "sessions-a" {
  group            = "sessions"
  address          = "127.0.0.1:6379"
  announce_address = "10.0.0.1:6379"
  driver           = "valkey"
  username         = "agent"
  password_file    = "testdata/secret"
  priority         = 10
  zone             = "eu-1"
  tags             = ["ssd"]
  meta             = { rack = "12" }

  tls {
    ca_file     = "testdata/secret"
    server_name = "redis.example"
  }

  check "alive" {
    warning  = "20ms"
    critical = "200ms"
  }
  check "replication" {
    warning        = "5s"
    critical       = "30s"
    warning_bytes  = 1048576
    critical_bytes = 10485760
  }
  check "persistence" {
    warning = "1h"
  }
  check "memory" {
    warning  = 70
    critical = 90
  }
  check "clients" {
    warning  = 70.5
    critical = 90
  }
}

driver "valkey" {
  command = ["true"]
}
