group "redis" {
  down_after = 5
  qourum     = 2
}
node "redis-a" {
  port = 6379
}
