group "redis" {
  failover_timeout = "10ms"
}
