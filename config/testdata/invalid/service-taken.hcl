group "redis" {}
group "cache" {
  master_service = "redis-master"
}
