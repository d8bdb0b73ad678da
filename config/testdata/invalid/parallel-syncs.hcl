group "redis" {
  parallel_syncs = 0
}
