group "redis" { quorum = 2 }
node "redis-a" {
  group   = "redis"
  address = "0.0.0.0:6379"
}
