# /etc/consul-redis-sentinel/agent.hcl on machine-1. Every setting is explained in docs/configuration.md.

agent {
  name = "machine-1"
}

consul {
  address    = "127.0.0.1:8500"
  addresses  = ["10.0.0.2:8500", "10.0.0.3:8500"]
  token_file = "/etc/consul-redis-sentinel/consul.token"
}

# The same on all three machines.
group "redis" {
  quorum           = 2
  bootstrap_expect = 3
  down_after       = "2s"
  fence_after      = "3s"
}

# The Redis server of this machine.
node "redis-1" {
  group         = "redis"
  address       = "10.0.0.1:6379"
  username      = "agent"
  password_file = "/etc/consul-redis-sentinel/redis.password"
}
