group "redis" { quorum = 2 }
node "redis-a" {
  group = "redis"
}
